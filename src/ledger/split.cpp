#include "turnpike/ledger/split.hpp"

#include <cassert>

namespace turnpike::ledger {
namespace {

__extension__ using Wide = unsigned __int128;

Wide wide(Money amount) {
  assert(amount >= Money());
  return static_cast<Wide>(amount.nanousd());
}

}  // namespace

void split(Money charged, std::span<Part> parts) {
  Wide costs = 0;
  for (const Part& part : parts) costs += wide(part.cost);
  if (costs == 0) return;
  for (Part& part : parts) {
    assert(part.share_millionths <= kWholeShare);
    // Each factor is below 2^63.
    const Wide of_charge = wide(charged) * wide(part.cost) / costs;
    part.earned = Money::nanousd(static_cast<std::int64_t>(of_charge * part.share_millionths / kWholeShare));
  }
}

}  // namespace turnpike::ledger
