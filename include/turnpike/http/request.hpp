// A request as a handler sees it, and the answer it gives.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "turnpike/base/error.hpp"
#include "turnpike/http/message.hpp"

namespace turnpike::http {

// Bytes past the end of Request::body that may be read (not used): what a vectorised JSON reader needs.
inline constexpr std::size_t kBodyPadding = 64;

// Views into the session's buffer: valid until the handler returns.
struct Request {
  Verb verb = Verb::unknown;
  std::string_view method;
  std::string_view target;  // as sent
  std::string_view path;    // without the query
  std::string_view query;   // without the '?'
  Fields fields;
  std::string_view body;
  std::string_view peer;  // address of the client, without the port; behind trusted proxies as they say
  std::string id;         // x-request-id, made by the gateway
  bool http11 = true;
  bool keep_alive = true;
  // What whoever looked the head's sender up noted, for later requests with the same head over the same connection;
  // empty where the head is a new one.
  mutable std::string known_sender;
  std::vector<std::string> parameters;  // the {…} parts of the route's pattern, percent-decoded

  // The head moved by `by`: so do the views into it.
  void rebase(std::ptrdiff_t by);
  // The value of a query member, percent-decoded; nullopt when absent.
  [[nodiscard]] std::optional<std::string> query_value(std::string_view name) const;
  // True when Accept names `media_type` itself (not by a wildcard).
  [[nodiscard]] bool accepts_by_name(std::string_view media_type) const;
};

struct Response {
  int status = 200;
  std::string body;
  std::string content_type = "application/json";
  std::vector<std::pair<std::string, std::string>> headers;
  bool close = false;  // the connection ends after this answer
};

}  // namespace turnpike::http
