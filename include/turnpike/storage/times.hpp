// Times as tables and records hold them: microseconds of Unix time.
#pragma once

#include <chrono>
#include <cstdint>

#include "turnpike/base/clock.hpp"

namespace turnpike::storage {

[[nodiscard]] inline std::int64_t micros(WallTime at) {
  return at.time_since_epoch().count();
}

[[nodiscard]] inline WallTime wall_time(std::int64_t unix_micros) {
  return WallTime(std::chrono::microseconds(unix_micros));
}

}  // namespace turnpike::storage
