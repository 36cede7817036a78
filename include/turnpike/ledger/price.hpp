// What an inference costs: a pure rule.
#pragma once

#include <cstdint>

#include "turnpike/ledger/money.hpp"

namespace turnpike::ledger {

struct TokenCounts {
  std::uint64_t prompt = 0;
  std::uint64_t completion = 0;
  bool operator==(const TokenCounts&) const = default;
};

// amount * factor / over, rounded up to a nano-dollar; at most Money::max(). The amount must not be negative, `over`
// not zero.
[[nodiscard]] Money times(Money amount, std::uint64_t factor, std::uint64_t over);

// The price of a model. Its parts add up; a model priced by tokens leaves the last three at zero, one priced by the
// request leaves the first two.
struct Price {
  Money prompt_per_million = {};
  Money completion_per_million = {};
  Money per_request = {};
  std::uint64_t included_output_tokens = 0;  // completion tokens that per_request pays for
  Money per_thousand_beyond = {};            // for completion tokens past those, in proportion
  bool operator==(const Price&) const = default;

  // Exact, rounded up to a nano-dollar once. Counts past 2^48 count as 2^48, and a cost past Money::max() is
  // Money::max(): an absurd claim is dear, never wrapped around. Prices must not be negative.
  [[nodiscard]] Money cost(TokenCounts tokens) const;
};

}  // namespace turnpike::ledger
