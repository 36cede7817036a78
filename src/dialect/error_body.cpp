#include "turnpike/dialect/error_body.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "turnpike/dialect/dialect.hpp"

namespace turnpike::dialect {
namespace {

constexpr std::string_view kInvalid = "invalid_request_error";
constexpr std::string_view kServer = "server_error";

ErrorKind common_kind(Fault fault) {
  switch (fault) {
    case Fault::invalid_request:
      return {400, "invalid_request", kInvalid};
    case Fault::invalid_api_key:
      return {401, "invalid_api_key", kInvalid};
    case Fault::invalid_signature:
      return {401, "invalid_signature", kInvalid};
    case Fault::insufficient_credits:
      return {402, "insufficient_credits", "payment_error"};
    case Fault::insufficient_scope:
      return {403, "insufficient_scope", "permission_error"};
    case Fault::model_not_found:
      return {404, "model_not_found", kInvalid};
    case Fault::not_found:
      return {404, "not_found", kInvalid};
    case Fault::method_not_allowed:
      return {405, "method_not_allowed", kInvalid};
    case Fault::request_timeout:
      return {408, "request_timeout", kInvalid};
    case Fault::conflict:
      return {409, "conflict", kInvalid};
    case Fault::request_too_large:
      return {413, "request_too_large", kInvalid};
    case Fault::unsupported_media_type:
      return {415, "unsupported_media_type", kInvalid};
    case Fault::idempotency_mismatch:
      return {422, "idempotency_mismatch", kInvalid};
    case Fault::rate_limit_exceeded:
      return {429, "rate_limit_exceeded", "rate_limit_error"};
    case Fault::headers_too_large:
      return {431, "headers_too_large", kInvalid};
    case Fault::node_error:
      return {502, "node_error", kServer};
    case Fault::invalid_node_output:
    case Fault::unfit_answer:
      return {502, "invalid_node_output", kServer};
    case Fault::service_unavailable:
      return {503, "service_unavailable", kServer};
    case Fault::node_timeout:
      return {504, "node_timeout", kServer};
    case Fault::internal_error:
      break;
  }
  return {500, "internal_error", kServer};
}

// Whole seconds to wait, for the faults that pass.
std::optional<std::int64_t> wait_of(const Error& error) {
  const bool passes = error.fault == Fault::rate_limit_exceeded || error.fault == Fault::service_unavailable;
  if (!passes && !error.retry_after) return std::nullopt;
  return std::max<std::int64_t>(1, error.retry_after.value_or(std::chrono::seconds(1)).count());
}

std::string dump(const nlohmann::ordered_json& json) {
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

// The text as JSON has it: what is not UTF-8 is U+FFFD.
std::string well_formed(const std::string& text) {
  return nlohmann::ordered_json::parse(dump(text)).get<std::string>();
}

}  // namespace

std::string_view code_of(Fault fault) {
  return common_kind(fault).code;
}

std::optional<Fault> fault_of(std::string_view code) {
  for (int i = 0; i <= static_cast<int>(Fault::node_timeout); ++i) {
    if (common_kind(static_cast<Fault>(i)).code == code) return static_cast<Fault>(i);
  }
  return std::nullopt;
}

ErrorKind kind_of(const Dialect& dialect, Fault fault) {
  if (fault == Fault::insufficient_credits) {
    return {dialect.insufficient_credits_status, dialect.insufficient_credits_code, dialect.insufficient_credits_type};
  }
  return common_kind(fault);
}

std::string error_json(const Dialect& dialect, const Error& error) {
  const ErrorKind kind = kind_of(dialect, error.fault);
  nlohmann::ordered_json body{{"message", error.message}, {"type", kind.type}, {"code", kind.code}, {"param", nullptr}};
  if (!error.param.empty()) body["param"] = error.param;
  if (error.fault == Fault::service_unavailable) body["retry_after"] = wait_of(error).value_or(1);
  return dump({{"error", std::move(body)}});
}

ErrorBody render_error(const Dialect& dialect, const Error& error, bool accepts_json) {
  ErrorBody answer;
  answer.status = kind_of(dialect, error.fault).status;
  if (const auto wait = wait_of(error)) answer.retry_after = std::to_string(*wait);
  if (dialect.text_errors && !accepts_json) {
    answer.content_type = "text/plain; charset=utf-8";
    answer.body = well_formed(error.message) + "\n";
  } else {
    answer.content_type = "application/json";
    answer.body = error_json(dialect, error);
  }
  return answer;
}

std::string error_event(const Dialect& dialect, const Error& error) {
  return "data: " + error_json(dialect, error) + "\n\n";
}

void append_json_string(std::string& out, std::string_view text) {
  // Ids and model names are plain: only other text is worth a JSON library.
  unsigned other = 0;  // without a branch, so that the loop is vectorised
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    other |= static_cast<unsigned>(byte < 0x20) | static_cast<unsigned>(byte > 0x7E) |
             static_cast<unsigned>(byte == '"') | static_cast<unsigned>(byte == '\\');
  }
  if (other == 0) {
    out.reserve(out.size() + text.size() + 2);
    out += '"';
    out.append(text) += '"';
  } else {
    out += dump(text);
  }
}

}  // namespace turnpike::dialect
