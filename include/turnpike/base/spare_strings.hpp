// Strings that were used and keep their memory for the next user: a large allocation a request costs more than what is
// written into it. Not thread-safe.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace turnpike {

class SpareStrings {
 public:
  // Keeps up to `most` strings of up to `most_bytes` of memory each.
  SpareStrings(std::size_t most, std::size_t most_bytes) : most_(most), most_bytes_(most_bytes) {}

  // Empty.
  std::string take() {
    if (spare_.empty()) return {};
    std::string string = std::move(spare_.back());
    spare_.pop_back();
    return string;
  }

  void give_back(std::string string) {
    const bool has_memory = string.capacity() > std::string().capacity();
    if (!has_memory || spare_.size() >= most_ || string.capacity() > most_bytes_) return;
    string.clear();
    spare_.push_back(std::move(string));
  }

  [[nodiscard]] std::size_t size() const { return spare_.size(); }

 private:
  std::size_t most_;
  std::size_t most_bytes_;
  std::vector<std::string> spare_;
};

}  // namespace turnpike
