// Errors as values: what a caller can act on travels as Result<T>; exceptions are for the unforeseen.
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace turnpike {

// The faults the wire contract knows. The status and `type` of each are a dialect's to say (dialect::ErrorBody).
enum class Fault : std::uint8_t {
  invalid_request,
  invalid_api_key,
  invalid_signature,
  insufficient_credits,
  insufficient_scope,
  model_not_found,
  not_found,
  method_not_allowed,
  request_timeout,
  conflict,
  request_too_large,
  unsupported_media_type,
  idempotency_mismatch,
  rate_limit_exceeded,
  headers_too_large,
  internal_error,
  node_error,
  invalid_node_output,
  unfit_answer,  // no node's answer is what was asked for; on the wire it is invalid_node_output
  service_unavailable,
  node_timeout,
};

struct Error {
  Fault fault = Fault::internal_error;
  std::string message;     // one sentence for the client: no key, prompt or answer in it
  std::string param = {};  // the request member at fault, as `messages[2].role`; empty: none
  std::optional<std::chrono::seconds> retry_after = std::nullopt;  // sent as Retry-After
};

template <class T>
using Result = std::expected<T, Error>;

inline std::unexpected<Error> fail(Fault fault, std::string message, std::string param = {}) {
  return std::unexpected(Error{.fault = fault, .message = std::move(message), .param = std::move(param)});
}

}  // namespace turnpike
