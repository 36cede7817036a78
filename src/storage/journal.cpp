#include "journal.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <sys/vfs.h>
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

constexpr std::size_t kWindowBytes = std::size_t{64} << 10U;

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

// Whether what is set aside on it stays so when it is written again: where a write takes new blocks (copy on write), a
// full disk would end the program by a signal.
bool overwrites_in_place(int file) {
  struct statfs facts{};
  return ::fstatfs(file, &facts) == 0 && (facts.f_type == EXT4_SUPER_MAGIC || facts.f_type == TMPFS_MAGIC);
}

std::size_t page_bytes() {
  static const auto bytes = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return bytes;
}

Mapping contents(int file, const std::string& path) {
  struct stat facts{};
  if (::fstat(file, &facts) != 0) raise(path, errno);
  Mapping mapping(file, 0, static_cast<std::size_t>(facts.st_size), Mapping::For::reading);
  if (mapping.error() != 0) raise(path, mapping.error());
  return mapping;
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
    if (::fallocate(segment.file, 0, 0, static_cast<off_t>(bytes_each)) == 0) {
      segment.set_aside = overwrites_in_place(segment.file);
    } else if (errno != EOPNOTSUPP) {
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
  std::array<Mapping, 2> files;
  std::vector<Found> all;
  for (std::size_t i = 0; i < segments_.size(); ++i) {
    files.at(i) = contents(segments_.at(i).file, segments_.at(i).path);
    const auto bytes = files.at(i).bytes();
    for (const Found& found : records_of({bytes.data(), bytes.size()})) all.push_back(found);
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

char* Journal::Window::find(const Segment& of, std::size_t at, std::size_t bytes) const {
  if (segment != &of || at < begin || at + bytes > begin + mapping.bytes().size()) return nullptr;
  return mapping.bytes().subspan(at - begin).data();
}

// Where the next record of so many bytes goes; nullptr: through the file.
char* Journal::window_at(Segment& segment, std::size_t bytes) {
  if (!segment.set_aside || segment.used + bytes > bytes_each_) return nullptr;
  if (char* at = window_.find(segment, segment.used, bytes)) return at;
  const std::size_t begin = segment.used - segment.used % page_bytes();
  window_ = {.segment = &segment,
             .begin = begin,
             .mapping = {segment.file, begin, std::min(kWindowBytes, bytes_each_ - begin), Mapping::For::writing}};
  if (window_.mapping.error() != 0) {
    window_ = {};
    segment.set_aside = false;
  }
  // A record may be larger than a window.
  return window_.find(segment, segment.used, bytes);
}

void Journal::put_record(char* at, std::string_view record) const {
  const RecordHead head{.sum = 0, .size = static_cast<std::uint32_t>(record.size()), .number = last_ + 1};
  std::memcpy(at, &head, sizeof head);
  std::ranges::copy(record, at + sizeof head);
  const std::string_view whole(at, sizeof head + record.size());
  const std::uint32_t sum = crc32c(whole.substr(sizeof head.sum));
  std::memcpy(at, &sum, sizeof sum);
}

bool Journal::write(Segment& segment, std::string_view record) {
  const std::size_t size = sizeof(RecordHead) + record.size();
  if (char* at = window_at(segment, size)) {
    put_record(at, record);
    return true;
  }
  buffer_.resize(size);
  put_record(buffer_.data(), record);
  ssize_t count = -1;
  do {
    count = ::pwrite(segment.file, buffer_.data(), size, static_cast<off_t>(segment.used));
  } while (count < 0 && errno == EINTR);
  if (count == static_cast<ssize_t>(size)) return true;
  spdlog::error("storage: {} cannot be written, every charge now waits for its transaction: {}", segment.path,
                count < 0 ? std::generic_category().message(errno) : "no space left");
  return false;
}

std::uint64_t Journal::append(std::string_view record) {
  if (failed_ || record.size() > std::numeric_limits<std::uint32_t>::max()) return 0;
  Segment& segment = segment_for(sizeof(RecordHead) + record.size());
  if (!write(segment, record)) {
    failed_ = true;
    return 0;
  }
  segment.used += sizeof(RecordHead) + record.size();
  segment.last = ++last_;
  return last_;
}

void Journal::clear() {
  window_ = {};
  for (Segment& segment : segments_) {
    segment.set_aside = false;
    if (::ftruncate(segment.file, 0) != 0) raise(segment.path, errno);
    segment.used = 0;
    segment.last = 0;
  }
}

}  // namespace turnpike::storage
