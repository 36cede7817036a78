// When a job is tried again: a pure rule.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "turnpike/base/error.hpp"
#include "turnpike/base/random.hpp"

namespace turnpike::jobs {

struct RetryRules {
  std::chrono::milliseconds first{10'000};  // after the first try; twice as long after each further one
  std::chrono::milliseconds most{300'000};
  std::uint64_t jitter_percent = 20;  // either way
  std::size_t tries = 50;             // the first one among them
};

// How long to wait after `tries` tries (at least 1) that failed, and the bounds that it is drawn from evenly.
struct Pause {
  std::chrono::milliseconds least;
  std::chrono::milliseconds most;
};
[[nodiscard]] Pause pause_after(const RetryRules& rules, std::size_t tries);
[[nodiscard]] std::chrono::milliseconds draw(const Pause& pause, Rng& rng);

// Whether another try may mend it: what the request itself is at fault for stays a fault.
[[nodiscard]] bool may_mend(Fault fault);

}  // namespace turnpike::jobs
