// A part of a file in memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace turnpike::storage {

// All of its pages are asked for when it is made: a disk that fails is told by error(), and not by a signal later. The
// file must not be made shorter meanwhile.
class Mapping {
 public:
  enum class For : std::uint8_t { reading, writing };
  Mapping() = default;
  Mapping(int file, std::size_t begin, std::size_t size, For use);
  ~Mapping();
  Mapping(Mapping&& other) noexcept { *this = std::move(other); }
  Mapping& operator=(Mapping&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    std::swap(error_, other.error_);
    return *this;
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  [[nodiscard]] std::span<char> bytes() const { return bytes_; }
  [[nodiscard]] int error() const { return error_; }  // an errno; 0: none

 private:
  std::span<char> bytes_;
  int error_ = 0;
};

}  // namespace turnpike::storage
