// The write-ahead journal: changes in bytes, in the page cache before their transaction is. Two files that take turns,
// so that one can be reused while the other's changes are still being committed. Where the disk keeps space set aside,
// records are written through a window of memory onto it: no system call a record.
//
// Thread: committed() any; the rest one at a time.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "mapping.hpp"

namespace turnpike::storage {

class Journal {
 public:
  // Opens or makes FILE-0 and FILE-1 with mode 0600 and sets aside `bytes_each` of disk for either, so that a disk that
  // fills up later is noticed by the database first. Blocks. Throws StorageError.
  Journal(const std::string& file, std::size_t bytes_each);
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  // Every whole record that earlier runs left, oldest first, whether it was committed or not. A record that the end of
  // a run cut short is left out: nobody was told that it is there. Throws StorageError.
  void read(const std::function<void(std::string_view record)>& visit);

  // Writes a record: once it returns, the record survives the end of the program, however that comes. 0: it could not
  // be written, and none will be any more, for what is written must stay a prefix of what happened. Requires that what
  // read() finds has been committed.
  [[nodiscard]] std::uint64_t append(std::string_view record);

  // The change with this number, and all before it, are in the database: the space of their records may be used again.
  void committed(std::uint64_t number) { committed_.store(number, std::memory_order_release); }

  // Drops all records. Throws StorageError.
  void clear();

 private:
  struct Segment {
    int file = -1;
    std::string path;
    bool set_aside = false;  // the disk has room for all of it, whatever else is written
    std::size_t used = 0;
    std::uint64_t last = 0;  // the number of its last record; 0: none
  };
  // The part of a segment that is in memory to be written.
  struct Window {
    const Segment* segment = nullptr;
    std::size_t begin = 0;
    Mapping mapping;
    // Where `bytes` of `of` from `at` are to be written; nullptr: they do not lie in it.
    [[nodiscard]] char* find(const Segment& of, std::size_t at, std::size_t bytes) const;
  };

  Segment& segment_for(std::size_t bytes);
  [[nodiscard]] char* window_at(Segment& segment, std::size_t bytes);
  [[nodiscard]] bool write(Segment& segment, std::string_view record);
  void put_record(char* at, std::string_view record) const;

  std::array<Segment, 2> segments_;
  Window window_;
  std::size_t active_ = 0;
  std::size_t bytes_each_;
  std::uint64_t last_ = 0;
  bool failed_ = false;
  std::atomic<std::uint64_t> committed_ = 0;
  std::string buffer_;
};

}  // namespace turnpike::storage
