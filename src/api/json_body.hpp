// Small JSON bodies of the routes that cost does not matter for, and times as those routes write them.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "turnpike/base/clock.hpp"
#include "turnpike/base/encoding.hpp"
#include "turnpike/base/error.hpp"
#include "turnpike/http/request.hpp"

namespace turnpike::api {

// The body as an object. Errors: request_too_large, naming the `setting` that says how large it may be;
// invalid_request.
inline Result<nlohmann::json> read_object(const http::Request& request, std::size_t most_bytes,
                                          std::string_view setting) {
  if (request.body.size() > most_bytes) {
    return fail(Fault::request_too_large,
                "the body may have " + std::to_string(most_bytes) + " bytes: " + std::string(setting));
  }
  auto body = nlohmann::json::parse(request.body, nullptr, false);
  if (!body.is_object()) return fail(Fault::invalid_request, "the body must be a JSON object");
  return body;
}

// A member that must be there.
inline Result<std::string> text(const nlohmann::json& body, const char* name) {
  const auto found = body.find(name);
  if (found == body.end() || !found->is_string()) {
    return fail(Fault::invalid_request, std::string(name) + " must be a string", name);
  }
  return found->get<std::string>();
}

// A member that may be absent or null.
inline Result<std::optional<std::string>> optional_text(const nlohmann::json& body, const char* name) {
  const auto found = body.find(name);
  if (found == body.end() || found->is_null()) return std::nullopt;
  return text(body, name);
}

// The same for true or false.
inline Result<std::optional<bool>> optional_flag(const nlohmann::json& body, const char* name) {
  const auto found = body.find(name);
  if (found == body.end() || found->is_null()) return std::nullopt;
  if (!found->is_boolean()) return fail(Fault::invalid_request, std::string(name) + " must be true or false", name);
  return found->get<bool>();
}

inline std::string time_text(WallTime at) {
  return rfc3339(at.time_since_epoch().count());
}

inline nlohmann::json time_or_null(const std::optional<WallTime>& at) {
  return at ? nlohmann::json(time_text(*at)) : nlohmann::json(nullptr);
}

// Empty text as null.
inline nlohmann::json or_null(const std::string& text) {
  return text.empty() ? nlohmann::json(nullptr) : nlohmann::json(text);
}

// A page's next_cursor, as text.
inline nlohmann::json cursor_or_null(const std::optional<std::int64_t>& cursor) {
  return cursor ? nlohmann::json(std::to_string(*cursor)) : nlohmann::json(nullptr);
}

// A member `expires_at`: a time of RFC 3339 that is to come.
inline Result<WallTime> read_expiry(std::string_view value, WallTime now) {
  const auto micros = parse_rfc3339(value);
  if (!micros || WallTime(std::chrono::microseconds(*micros)) <= now) {
    return fail(Fault::invalid_request, "expires_at must be a time to come, as 2030-01-31T12:00:00Z", "expires_at");
  }
  return WallTime(std::chrono::microseconds(*micros));
}

}  // namespace turnpike::api
