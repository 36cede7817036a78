// Money is whole nano-dollars; one credit is 0.01 USD, 10'000'000 of them. No floating point ever.
#pragma once

#include <compare>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

namespace turnpike::ledger {

// A sum of money, negative where it leaves an account. Sums that do not fit throw std::overflow_error.
class Money {
 public:
  static constexpr std::int64_t nanousd_per_credit = 10'000'000;

  constexpr Money() = default;
  [[nodiscard]] static constexpr Money nanousd(std::int64_t amount) { return Money(amount); }
  [[nodiscard]] static constexpr Money max() { return Money(std::numeric_limits<std::int64_t>::max()); }
  // Credits or dollars as a decimal string, exactly: "12.5", "-0.000052". nullopt when malformed, finer than a
  // nano-dollar, or too large.
  [[nodiscard]] static std::optional<Money> from_credits(std::string_view text);
  [[nodiscard]] static std::optional<Money> from_usdc(std::string_view text);

  [[nodiscard]] constexpr std::int64_t nanousd() const { return nanousd_; }
  // Whole credits, rounded down.
  [[nodiscard]] std::int64_t whole_credits() const;
  // Dollars with 2 to 9 decimals: "10.00", "-0.000052".
  [[nodiscard]] std::string to_usdc() const;

  Money& operator+=(Money other);
  Money& operator-=(Money other);
  [[nodiscard]] friend Money operator+(Money a, Money b) { return a += b; }
  [[nodiscard]] friend Money operator-(Money a, Money b) { return a -= b; }
  [[nodiscard]] Money operator-() const { return Money() - *this; }
  constexpr auto operator<=>(const Money&) const = default;

 private:
  explicit constexpr Money(std::int64_t amount) : nanousd_(amount) {}
  std::int64_t nanousd_ = 0;
};

}  // namespace turnpike::ledger
