// A folder of a test's own, gone with it.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>

namespace turnpike::test {

class TempFolder {
 public:
  TempFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "turnpike-test-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
    path_ = name;
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  [[nodiscard]] std::string file(const std::string& name) const { return (path_ / name).string(); }
  // Of its folder `name` as it is now, whoever has it open: what a program that is killed leaves behind. The copy's
  // name.
  [[nodiscard]] std::string copy_of(const std::string& name) {
    auto copy = name + '-' + std::to_string(++copies_);
    std::filesystem::copy(path_ / name, path_ / copy);
    return copy;
  }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  int copies_ = 0;
};

}  // namespace turnpike::test
