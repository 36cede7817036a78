// Errors as a client sees them (API.md, "Errors").
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "turnpike/base/error.hpp"

namespace turnpike::dialect {

struct Dialect;

struct ErrorBody {
  int status = 500;
  std::string_view content_type;  // static: "application/json" or "text/plain; charset=utf-8"
  std::string body;
  std::optional<std::string> retry_after;  // the value of Retry-After in whole seconds, at least 1
};

struct ErrorKind {
  int status;
  std::string_view code;
  std::string_view type;
};

// Status, code and type of a fault in a dialect. The views are good as long as the dialect.
[[nodiscard]] ErrorKind kind_of(const Dialect& dialect, Fault fault);

// The code of a fault where a dialect has none of its own, and the fault that it stands for; nullopt: none does.
[[nodiscard]] std::string_view code_of(Fault fault);
[[nodiscard]] std::optional<Fault> fault_of(std::string_view code);

// An answer that is an error. `accepts_json`: the client's Accept names application/json. A 429 or 503 without a
// `retry_after` of its own gets one second.
[[nodiscard]] ErrorBody render_error(const Dialect& dialect, const Error& error, bool accepts_json);

// The JSON alone, without a line end: {"error":{"message":…,"type":…,"code":…,"param":…}}.
[[nodiscard]] std::string error_json(const Dialect& dialect, const Error& error);

// A server-sent event: `data: {"error":{…}}` and an empty line.
[[nodiscard]] std::string error_event(const Dialect& dialect, const Error& error);

// Appends `text` as a JSON string with its quotes; invalid UTF-8 becomes U+FFFD.
void append_json_string(std::string& out, std::string_view text);

}  // namespace turnpike::dialect
