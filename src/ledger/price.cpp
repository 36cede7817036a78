#include "turnpike/ledger/price.hpp"

#include <algorithm>
#include <cassert>

namespace turnpike::ledger {
namespace {

__extension__ using Wide = unsigned __int128;

constexpr std::uint64_t kMostTokens = std::uint64_t{1} << 48;
constexpr Wide kPerMillion = 1'000'000;

// At most 2^63, so that a product with kMostTokens leaves room for the sum of four.
Wide wide(Money price) {
  assert(price >= Money());
  return static_cast<Wide>(std::max<std::int64_t>(price.nanousd(), 0));
}

}  // namespace

Money times(Money amount, std::uint64_t factor, std::uint64_t over) {
  const Wide product = (wide(amount) * factor + over - 1) / over;
  return Money::nanousd(static_cast<std::int64_t>(std::min(product, static_cast<Wide>(Money::max().nanousd()))));
}

Money Price::cost(TokenCounts tokens) const {
  const Wide prompt = std::min(tokens.prompt, kMostTokens);
  const Wide completion = std::min(tokens.completion, kMostTokens);
  const Wide included = included_output_tokens;
  const Wide beyond = completion > included ? completion - included : 0;
  // In millionths of a nano-dollar. 2^48 × 2^63 × 1'000 is the largest part: below 2^121.
  const Wide millionths = prompt * wide(prompt_per_million) + completion * wide(completion_per_million) +
                          wide(per_request) * kPerMillion + beyond * wide(per_thousand_beyond) * 1'000;
  const Wide nanousd = (millionths + kPerMillion - 1) / kPerMillion;
  const Wide most = static_cast<Wide>(Money::max().nanousd());
  return Money::nanousd(static_cast<std::int64_t>(std::min(nanousd, most)));
}

}  // namespace turnpike::ledger
