#include "turnpike/base/decimal.hpp"

#include <limits>

namespace turnpike {

std::optional<std::int64_t> parse_decimal(std::string_view text, int scale) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  // Gathered as a negative number: its range is the larger by one.
  std::int64_t value = 0;
  int decimals = -1;
  bool any_digit = false;
  const auto push = [&value](int digit) {
    return !__builtin_mul_overflow(value, std::int64_t{10}, &value) &&
           !__builtin_sub_overflow(value, std::int64_t{digit}, &value);
  };
  for (const char c : text) {
    if (c == '.' && decimals < 0 && any_digit) {
      decimals = 0;
      any_digit = false;
      continue;
    }
    if (c < '0' || c > '9' || !push(c - '0')) return std::nullopt;
    any_digit = true;
    if (decimals >= 0 && ++decimals > scale) return std::nullopt;
  }
  if (!any_digit) return std::nullopt;
  for (int i = decimals < 0 ? 0 : decimals; i < scale; ++i) {
    if (!push(0)) return std::nullopt;
  }
  if (negative) return value;
  if (value == std::numeric_limits<std::int64_t>::min()) return std::nullopt;
  return -value;
}

std::string format_decimal(std::int64_t value, int scale, int min_decimals) {
  const bool negative = value < 0;
  auto magnitude = negative ? ~static_cast<std::uint64_t>(value) + 1 : static_cast<std::uint64_t>(value);
  std::string digits = std::to_string(magnitude);
  const auto places = static_cast<std::size_t>(scale);
  if (digits.size() <= places) digits.insert(0, places + 1 - digits.size(), '0');
  std::string whole = digits.substr(0, digits.size() - places);
  std::string fraction = digits.substr(digits.size() - places);
  while (fraction.size() > static_cast<std::size_t>(min_decimals) && fraction.ends_with('0')) fraction.pop_back();
  return (negative ? "-" : "") + whole + (fraction.empty() ? "" : "." + fraction);
}

}  // namespace turnpike
