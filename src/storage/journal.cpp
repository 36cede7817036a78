#include "journal.hpp"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <system_error>
#include <vector>

#include "turnpike/base/encoding.hpp"
#include "turnpike/storage/connection.hpp"

namespace turnpike::storage {
namespace {

// Before each record, in the machine's byte order: the file is this machine's alone. The sum covers what follows it.
struct RecordHead {
  std::uint32_t sum;
  std::uint32_t size;
  std::uint64_t number;
};
static_assert(sizeof(RecordHead) == 16);

[[noreturn]] void raise(const std::string& path, int code) {
  throw StorageError(path + ": " + std::generic_category().message(code), false);
}

std::string contents(int file, const std::string& path) {
  struct stat facts{};
  if (::fstat(file, &facts) != 0) raise(path, errno);
  std::string bytes(static_cast<std::size_t>(facts.st_size), '\0');
  std::size_t have = 0;
  while (have < bytes.size()) {
    const ssize_t count = ::pread(file, bytes.data() + have, bytes.size() - have, static_cast<off_t>(have));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) raise(path, errno);
    if (count == 0) break;
    have += static_cast<std::size_t>(count);
  }
  bytes.resize(have);
  return bytes;
}

struct Found {
  std::uint64_t number = 0;
  std::string_view record;
};

// The whole records at the start of a segment. Their numbers are consecutive: what follows the last is older.
std::vector<Found> records_of(std::string_view bytes) {
  std::vector<Found> found;
  while (bytes.size() >= sizeof(RecordHead)) {
    RecordHead head{};
    std::memcpy(&head, bytes.data(), sizeof head);
    if (head.number == 0 || head.size > bytes.size() - sizeof head) break;
    if (!found.empty() && head.number != found.back().number + 1) break;
    const std::string_view whole = bytes.substr(0, sizeof head + head.size);
    // What is left of an older record behind the last one must not pass for a record.
    if (crc32c(whole.substr(sizeof head.sum)) != head.sum) break;
    found.push_back({.number = head.number, .record = whole.substr(sizeof head)});
    bytes.remove_prefix(whole.size());
  }
  return found;
}

}  // namespace

Journal::Journal(const std::string& file, std::size_t bytes_each) : bytes_each_(bytes_each) {
  for (std::size_t i = 0; i < segments_.size(); ++i) {
    Segment& segment = segments_.at(i);
    segment.path = file + "-" + std::to_string(i);
    segment.file = ::open(segment.path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (segment.file < 0) raise(segment.path, errno);
    // Not posix_fallocate, which writes zeros where the file system cannot set space aside: then we do without.
    if (::fallocate(segment.file, FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(bytes_each)) != 0 && errno != EOPNOTSUPP) {
      spdlog::warn("storage: no space set aside for {}: {}", segment.path, std::generic_category().message(errno));
    }
  }
}

Journal::~Journal() {
  for (const Segment& segment : segments_) {
    if (segment.file >= 0) ::close(segment.file);
  }
}

void Journal::read(const std::function<void(std::string_view record)>& visit) {
  std::array<std::string, 2> bytes;
  std::vector<Found> all;
  for (std::size_t i = 0; i < segments_.size(); ++i) {
    bytes.at(i) = contents(segments_.at(i).file, segments_.at(i).path);
    for (const Found& found : records_of(bytes.at(i))) all.push_back(found);
  }
  std::ranges::sort(all, {}, &Found::number);
  for (const Found& found : all) visit(found.record);
  if (!all.empty()) last_ = all.back().number;
  committed_.store(last_, std::memory_order_release);
}

Journal::Segment& Journal::segment_for(std::size_t bytes) {
  Segment& active = segments_.at(active_);
  if (active.used + bytes <= bytes_each_) return active;
  Segment& other = segments_.at(1 - active_);
  // Not yet: the active one grows past its size, by no more than the queue of changes can hold.
  if (other.last > committed_.load(std::memory_order_acquire)) return active;
  active_ = 1 - active_;
  other.used = 0;
  return other;
}

std::uint64_t Journal::append(std::string_view record) {
  if (failed_ || record.size() > std::numeric_limits<std::uint32_t>::max()) return 0;
  RecordHead head{.sum = 0, .size = static_cast<std::uint32_t>(record.size()), .number = last_ + 1};
  buffer_.resize(sizeof head);
  buffer_ += record;
  std::memcpy(buffer_.data(), &head, sizeof head);
  head.sum = crc32c(std::string_view(buffer_).substr(sizeof head.sum));
  std::memcpy(buffer_.data(), &head.sum, sizeof head.sum);

  Segment& segment = segment_for(buffer_.size());
  ssize_t count = -1;
  do {
    count = ::pwrite(segment.file, buffer_.data(), buffer_.size(), static_cast<off_t>(segment.used));
  } while (count < 0 && errno == EINTR);
  if (count != static_cast<ssize_t>(buffer_.size())) {
    failed_ = true;
    spdlog::error("storage: {} cannot be written, every charge now waits for its transaction: {}", segment.path,
                  count < 0 ? std::generic_category().message(errno) : "no space left");
    return 0;
  }
  segment.used += buffer_.size();
  segment.last = ++last_;
  return last_;
}

void Journal::clear() {
  for (Segment& segment : segments_) {
    if (::ftruncate(segment.file, 0) != 0) raise(segment.path, errno);
    segment.used = 0;
    segment.last = 0;
  }
}

}  // namespace turnpike::storage
