// Text with the readable bytes behind it that a Scanner asks for.
#pragma once

#include <string>
#include <string_view>

#include "turnpike/scan/scan.hpp"

namespace turnpike::test {

class Padded {
 public:
  explicit Padded(std::string_view text) : bytes_(text), size_(text.size()) { bytes_.resize(size_ + scan::kPadding); }
  [[nodiscard]] std::string_view view() const { return std::string_view(bytes_).substr(0, size_); }

 private:
  std::string bytes_;
  std::size_t size_;
};

}  // namespace turnpike::test
