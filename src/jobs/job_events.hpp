// What a queued job tells its account's webhooks. That it is complete is told by its charge, as of every inference.
#pragma once

#include <cstddef>
#include <optional>

#include "turnpike/events/event.hpp"
#include "turnpike/jobs/job.hpp"

namespace turnpike::jobs {

// `tries`: that failed so far. `failure`: of the last one. `next_try`: when there will be another.
[[nodiscard]] events::Event event_of(events::Type type, const Request& request, std::size_t tries, WallTime now,
                                     const Failure* failure = nullptr, std::optional<WallTime> next_try = {});

}  // namespace turnpike::jobs
