#include "turnpike/ledger/money.hpp"

#include <stdexcept>

#include "turnpike/base/decimal.hpp"

namespace turnpike::ledger {
namespace {

constexpr int kDollarDecimals = 9;
constexpr int kCreditDecimals = 7;

}  // namespace

std::optional<Money> Money::from_credits(std::string_view text) {
  return parse_decimal(text, kCreditDecimals).transform([](std::int64_t amount) { return Money(amount); });
}

std::optional<Money> Money::from_usdc(std::string_view text) {
  return parse_decimal(text, kDollarDecimals).transform([](std::int64_t amount) { return Money(amount); });
}

std::int64_t Money::whole_credits() const {
  const bool below = nanousd_ < 0 && nanousd_ % nanousd_per_credit != 0;
  return nanousd_ / nanousd_per_credit - (below ? 1 : 0);
}

std::string Money::to_usdc() const {
  return format_decimal(nanousd_, kDollarDecimals, 2);
}

Money& Money::operator+=(Money other) {
  if (__builtin_add_overflow(nanousd_, other.nanousd_, &nanousd_)) throw std::overflow_error("money does not fit");
  return *this;
}

Money& Money::operator-=(Money other) {
  if (__builtin_sub_overflow(nanousd_, other.nanousd_, &nanousd_)) throw std::overflow_error("money does not fit");
  return *this;
}

}  // namespace turnpike::ledger
