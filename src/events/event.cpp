#include "turnpike/events/event.hpp"

#include <algorithm>

namespace turnpike::events {
namespace {

constexpr std::array<std::string_view, kTypes> kNames = {
    "job.submitted", "job.processing", "job.completed", "job.failed",
    "job.timeout",   "job.dead",       "credit.low",    "credit.topup",
};

}  // namespace

std::string_view to_string(Type type) {
  return kNames.at(static_cast<std::size_t>(type));
}

std::optional<Type> parse_type(std::string_view text) {
  const auto found = std::ranges::find(kNames, text);
  if (found == kNames.end()) return std::nullopt;
  return static_cast<Type>(found - kNames.begin());
}

}  // namespace turnpike::events
