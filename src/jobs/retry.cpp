#include "turnpike/jobs/retry.hpp"

#include <algorithm>
#include <random>

namespace turnpike::jobs {

using std::chrono::milliseconds;

Pause pause_after(const RetryRules& rules, std::size_t tries) {
  milliseconds middle = std::min(rules.first, rules.most);
  for (std::size_t i = 1; i < tries && middle < rules.most; ++i) middle = std::min(2 * middle, rules.most);
  const milliseconds jitter = middle * static_cast<std::int64_t>(rules.jitter_percent) / 100;
  return {.least = middle - jitter, .most = middle + jitter};
}

milliseconds draw(const Pause& pause, Rng& rng) {
  return milliseconds(std::uniform_int_distribution<std::int64_t>(pause.least.count(), pause.most.count())(rng));
}

bool may_mend(Fault fault) {
  switch (fault) {
    case Fault::node_error:
    case Fault::invalid_node_output:
    case Fault::service_unavailable:
    case Fault::node_timeout:
    case Fault::internal_error:
      return true;
    default:
      return false;
  }
}

}  // namespace turnpike::jobs
