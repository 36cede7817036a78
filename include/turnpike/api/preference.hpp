// What a request prefers, by RFC 7240: `Prefer: respond-async, wait=10`.
#pragma once

#include <chrono>
#include <optional>

#include "turnpike/http/message.hpp"

namespace turnpike::api {

struct Preference {
  bool respond_async = false;
  std::optional<std::chrono::seconds> wait = {};
};

// Of all Prefer fields of a head. The first of several counts; what is malformed or not known is ignored, as section 2
// has it.
[[nodiscard]] Preference read_preference(const http::Fields& fields);

}  // namespace turnpike::api
