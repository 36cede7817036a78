// A try of a queued job: the same inference as a live request's.
#pragma once

#include <functional>
#include <string>

#include "turnpike/base/clock.hpp"
#include "turnpike/dialect/dialect.hpp"
#include "turnpike/inference/inference.hpp"
#include "turnpike/jobs/job_queue.hpp"
#include "turnpike/limits/rate_limiter.hpp"

namespace turnpike::jobs {

// What a try needs; must outlive it. Loop thread only.
struct InferenceParts {
  inference::Inference& inference;
  const dialect::Dialects& dialects;
  limits::RateLimiter& limiter;
  // What an account may do now, by the tier of the key that asked.
  std::function<limits::Tier(ledger::AccountId account, const std::string& tier)> tier_of;
  const Clock& clock;
};

[[nodiscard]] Run run_by(InferenceParts parts);

}  // namespace turnpike::jobs
