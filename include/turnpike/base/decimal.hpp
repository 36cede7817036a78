// Decimal strings read exactly: money and prices never pass through floating point.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace turnpike {

// "12.345" with `scale` 9 is 12'345'000'000. Accepts [-]digits[.digits] and nothing else; nullopt when malformed, when
// it has more than `scale` decimals, or when it does not fit.
[[nodiscard]] std::optional<std::int64_t> parse_decimal(std::string_view text, int scale);

// The reverse: at least `min_decimals` and at most `scale` decimals, no trailing zeros beyond the minimum.
[[nodiscard]] std::string format_decimal(std::int64_t value, int scale, int min_decimals);

}  // namespace turnpike
