#include "job_events.hpp"

#include <nlohmann/json.hpp>

#include "turnpike/base/encoding.hpp"
#include "turnpike/dialect/error_body.hpp"

namespace turnpike::jobs {
namespace {

std::string_view status_of(events::Type type) {
  switch (type) {
    case events::Type::job_submitted:
      return to_string(State::queued);
    case events::Type::job_processing:
      return to_string(State::processing);
    case events::Type::job_timeout:
      return to_string(State::queued);
    default:
      return to_string(State::dead);
  }
}

}  // namespace

events::Event event_of(events::Type type, const Request& request, std::size_t tries, WallTime now,
                       const Failure* failure, std::optional<WallTime> next_try) {
  nlohmann::json data{
      {"job_id", request.id}, {"model", request.model}, {"status", status_of(type)}, {"retries", tries}};
  if (failure != nullptr) {
    data["error"] = {{"code", dialect::code_of(failure->fault)}, {"message", failure->message}};
    if (!next_try) data["status"] = to_string(State::dead);
  }
  if (next_try) data["next_attempt_at"] = rfc3339(next_try->time_since_epoch().count());
  return {.account = request.account, .type = type, .data = data.dump(), .created_at = now};
}

}  // namespace turnpike::jobs
