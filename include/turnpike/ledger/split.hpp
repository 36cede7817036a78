// How a charge is divided between the owners of the nodes that served it and the network: a pure rule.
#pragma once

#include <cstdint>
#include <span>

#include "turnpike/ledger/money.hpp"

namespace turnpike::ledger {

inline constexpr std::uint32_t kWholeShare = 1'000'000;  // shares are in millionths

// One node's part in a charge.
struct Part {
  Money cost;  // of its tokens at the request's price: its weight beside the others'; not negative
  std::uint32_t share_millionths = 0;  // of its part, for its owner; at most kWholeShare
  Money earned = {};                   // by split()
};

// Says what each part earns of `charged` (not negative): the charge is divided by what the parts cost, and each owner
// gets the share of the part. Both are rounded down to a nano-dollar, so all parts together never earn more than was
// charged, and what is left is the network's. Parts that cost nothing earn nothing.
void split(Money charged, std::span<Part> parts);

}  // namespace turnpike::ledger
