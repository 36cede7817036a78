#include "turnpike/base/decimal.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace turnpike {
namespace {

TEST(Decimal, reads_exactly_what_was_written) {
  EXPECT_EQ(parse_decimal("0.05", 9), 50'000'000);
  EXPECT_EQ(parse_decimal("12.345", 9), 12'345'000'000);
  EXPECT_EQ(parse_decimal("-1", 2), -100);
  EXPECT_EQ(parse_decimal("9223372036854775807", 0), std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(parse_decimal("-9223372036854775808", 0), std::numeric_limits<std::int64_t>::min());
}

TEST(Decimal, refuses_what_it_cannot_hold_exactly) {
  for (const auto* text : {"", "-", ".", "1.", ".5", "1e3", " 1", "1 ", "+1", "0x1", "1,5", "1.0000000001",
                           "9223372036854775808", "99999999999999999999"}) {
    EXPECT_EQ(parse_decimal(text, 9), std::nullopt) << text;
  }
}

TEST(Decimal, writes_back_what_it_read) {
  EXPECT_EQ(format_decimal(10'000'000'000, 9, 2), "10.00");
  EXPECT_EQ(format_decimal(-52'000, 9, 2), "-0.000052");
  EXPECT_EQ(format_decimal(1, 9, 2), "0.000000001");
  EXPECT_EQ(format_decimal(7, 0, 0), "7");
  EXPECT_EQ(format_decimal(std::numeric_limits<std::int64_t>::min(), 9, 2), "-9223372036.854775808");
}

}  // namespace
}  // namespace turnpike
