#include "turnpike/api/guard.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace turnpike::api {

std::string_view Guard::presented_key(const http::Request& request) {
  if (const auto authorization = request.fields.find(http::Field::authorization)) {
    constexpr std::string_view kScheme = "bearer ";
    if (authorization->size() > kScheme.size() &&
        http::equals_ignoring_case(authorization->substr(0, kScheme.size()), kScheme)) {
      auto key = authorization->substr(kScheme.size());
      while (key.starts_with(' ')) key.remove_prefix(1);
      return key;
    }
    return {};
  }
  return request.fields.find("x-api-key").value_or(std::string_view{});
}

Result<Caller> Guard::identify(const http::Request& request, identity::Scope scope) const {
  const auto presented = presented_key(request);
  if (presented.empty()) {
    return fail(Fault::invalid_api_key, "an API key is needed: Authorization: Bearer KEY, or X-API-Key: KEY");
  }
  const auto found = keys_.find(presented, clock_.wall());
  if (!found) return fail(Fault::invalid_api_key, "the API key is " + std::string(identity::to_string(found.error())));
  if (!(*found)->scopes.has(scope))
    return fail(Fault::insufficient_scope, "the API key lacks the scope that this needs");
  Caller caller;
  caller.key = *found;
  caller.account = (*found)->account_id;
  const auto* dialect = dialects_.by_id((*found)->dialect);
  caller.dialect = dialect != nullptr ? dialect : &dialects_.fallback();
  return caller;
}

Result<void> Guard::admit(Caller& caller) const {
  const auto tier = tiers_.find(caller.key->tier);
  if (tier == tiers_.end()) return {};
  caller.admission = limiter_.admit(caller.account, tier->second, clock_.now());
  const auto& verdict = caller.admission.verdict;
  if (verdict.allowed) return {};
  Error error{.fault = Fault::rate_limit_exceeded, .message = std::string(verdict.reason)};
  error.retry_after = std::max(std::chrono::ceil<std::chrono::seconds>(verdict.wait), std::chrono::seconds(1));
  return std::unexpected(std::move(error));
}

std::vector<std::pair<std::string, std::string>> Guard::limit_fields(const Caller& caller) {
  const auto& verdict = caller.admission.verdict;
  if (!verdict.limit) return {};
  return {{"x-ratelimit-limit-requests", std::to_string(*verdict.limit)},
          {"x-ratelimit-remaining-requests", std::to_string(verdict.remaining)},
          {"x-ratelimit-reset-requests", std::to_string(verdict.reset.count()) + "ms"}};
}

void Guard::append_limit_lines(std::string& head, const Caller& caller) {
  const auto& verdict = caller.admission.verdict;
  if (!verdict.limit) return;
  const auto append = [&head](std::string_view name, std::uint64_t value, std::string_view unit) {
    std::array<char, 24> digits{};
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
    head.append(name).append(digits.data(), end).append(unit).append("\r\n");
  };
  append("x-ratelimit-limit-requests: ", *verdict.limit, "");
  append("x-ratelimit-remaining-requests: ", verdict.remaining, "");
  append("x-ratelimit-reset-requests: ", static_cast<std::uint64_t>(verdict.reset.count()), "ms");
}

http::Response Guard::refuse(const http::Request* request, const Error& error) const {
  const auto presented = request != nullptr ? presented_key(*request) : std::string_view{};
  const bool accepts_json = request != nullptr && request->accepts_by_name("application/json");
  auto body = dialect::render_error(dialects_.by_key_prefix(presented), error, accepts_json);
  http::Response response;
  response.status = body.status;
  response.content_type = body.content_type;
  response.body = std::move(body.body);
  if (body.retry_after) response.headers.emplace_back("Retry-After", *body.retry_after);
  if (error.fault == Fault::invalid_api_key) response.headers.emplace_back("WWW-Authenticate", "Bearer");
  return response;
}

}  // namespace turnpike::api
