#include "turnpike/base/private_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

namespace turnpike {
namespace {

namespace fs = std::filesystem;

// A file that nobody else can read, not even for a moment. Errors: what the system says.
std::error_code write_private(const fs::path& file, std::string_view text) {
  const int handle = ::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, S_IRUSR | S_IWUSR);
  if (handle < 0) return {errno, std::system_category()};
  const bool written = ::fchmod(handle, S_IRUSR | S_IWUSR) == 0 &&
                       ::write(handle, text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
                       ::fsync(handle) == 0;
  const std::error_code failed(written ? 0 : errno, std::system_category());
  ::close(handle);
  return failed;
}

}  // namespace

std::expected<std::string, std::string> read_private_file(const std::string& file) {
  struct stat about{};
  if (::stat(file.c_str(), &about) != 0 || !S_ISREG(about.st_mode)) return std::unexpected("is not a file");
  if ((about.st_mode & (S_IRWXG | S_IRWXO)) != 0) return std::unexpected("may be read by others: chmod 600");
  std::ifstream stream(file, std::ios::binary);
  if (!stream) return std::unexpected("cannot be read");
  return std::string((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
}

std::expected<void, std::string> write_private_file(const std::string& file, std::string_view text) {
  // Under another name first: a start that is cut short leaves no half of a key.
  const fs::path part = file + ".part";
  std::error_code failed = write_private(part, text);
  if (!failed) fs::rename(part, file, failed);
  if (failed) return std::unexpected("cannot be written: " + failed.message());
  return {};
}

}  // namespace turnpike
