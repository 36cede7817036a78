#include "turnpike/api/guard.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace turnpike::api {

Guard::Presented Guard::presented_key(const http::Request& request) {
  if (const auto authorization = request.fields.find(http::Field::authorization)) {
    constexpr std::string_view kScheme = "bearer ";
    if (authorization->size() > kScheme.size() &&
        http::equals_ignoring_case(authorization->substr(0, kScheme.size()), kScheme)) {
      auto key = authorization->substr(kScheme.size());
      while (key.starts_with(' ')) key.remove_prefix(1);
      return {.key = key, .field = "authorization"};
    }
    return {};
  }
  return {.key = request.fields.find("x-api-key").value_or(std::string_view{}), .field = "x-api-key"};
}

Result<Caller> Guard::identify(const http::Request& request, identity::Scope scope) const {
  const auto [presented, field] = presented_key(request);
  if (presented.empty()) {
    return fail(Fault::invalid_api_key, "an API key is needed: Authorization: Bearer KEY, or X-API-Key: KEY");
  }
  Caller caller;
  if (presented.starts_with(identity::kTokenPrefix)) {
    auto bearer = identify_token(presented);
    if (!bearer) return bearer;
    caller = *std::move(bearer);
  } else {
    const auto found = keys_.find(presented, clock_.wall());
    if (!found) return fail(Fault::invalid_api_key, "the API key is " + std::string(to_string(found.error())));
    caller.key = *found;
    caller.grant = (*found)->grant();
  }
  if (auto good = check_signature(*caller.key, request, field); !good) return std::unexpected(std::move(good).error());
  if (!caller.grant.scopes.has(scope)) {
    return fail(Fault::insufficient_scope, "the API key lacks the scope that this needs");
  }
  caller.account = caller.key->account_id;
  caller.dialect = &dialect_named(caller.key->dialect);
  return caller;
}

Result<void> Guard::check_signature(const identity::KeyInfo& key, const http::Request& request) const {
  return check_signature(key, request, {});
}

Result<void> Guard::check_signature(const identity::KeyInfo& key, const http::Request& request,
                                    std::string_view key_field) const {
  // Nearly every request ends here.
  if (!key.signing.public_key && !request.fields.find("content-digest")) return {};
  std::vector<identity::FieldView> fields;
  fields.reserve(request.fields.all().size());
  for (const auto& field : request.fields.all()) fields.push_back({.name = field.name, .value = field.value});
  return signatures_.check(key, {.method = request.method,
                                 .host = request.fields.find(http::Field::host).value_or(std::string_view()),
                                 .target = request.target,
                                 .fields = fields,
                                 .body = request.body,
                                 .key_field = key_field});
}

// The key behind a token, with no more scopes than either has, and no longer.
Result<Caller> Guard::identify_token(std::string_view token) const {
  const WallTime now = clock_.wall();
  const auto claims = tokens_.verify(token, now);
  if (!claims) return fail(Fault::invalid_api_key, "the access token is " + std::string(to_string(claims.error())));
  const auto key = keys_.find_live((*claims)->key_id, now);
  if (!key) return fail(Fault::invalid_api_key, "the access token's key is " + std::string(to_string(key.error())));
  Caller caller;
  caller.key = *key;
  caller.grant = (*claims)->grant;
  caller.grant.scopes = caller.grant.scopes.shared_with((*key)->scopes);
  if ((*key)->expires_at) caller.grant.expires_at = std::min(*caller.grant.expires_at, *(*key)->expires_at);
  return caller;
}

const dialect::Dialect& Guard::dialect_named(const std::string& id) const {
  const auto* dialect = dialects_.by_id(id);
  return dialect != nullptr ? *dialect : dialects_.fallback();
}

// Of a token it is its key's, where it is a good one.
const dialect::Dialect& Guard::dialect_of(std::string_view presented, const Error& error) const {
  if (!presented.starts_with(identity::kTokenPrefix) || error.fault == Fault::invalid_api_key) {
    return dialects_.by_key_prefix(presented);
  }
  const auto bearer = identify_token(presented);
  return bearer ? dialect_named(bearer->key->dialect) : dialects_.fallback();
}

Result<void> Guard::admit(Caller& caller) const {
  const auto tier = tiers_.find(caller.key->tier);
  if (tier == tiers_.end()) return {};
  caller.admission = limiter_.admit(caller.account, tier->second, clock_.now());
  if (caller.admission.verdict.allowed) return {};
  return too_many(caller.admission.verdict);
}

std::unexpected<Error> Guard::too_many(const limits::Verdict& verdict) {
  Error error{.fault = Fault::rate_limit_exceeded, .message = std::string(verdict.reason)};
  error.retry_after = std::max(std::chrono::ceil<std::chrono::seconds>(verdict.wait), std::chrono::seconds(1));
  return std::unexpected(std::move(error));
}

namespace {

// Hands each field's name and value to `take`.
template <class Take>
void each_limit_field(const limits::Verdict& verdict, Take take) {
  if (!verdict.limit) return;
  const auto field = [&](std::string_view name, std::uint64_t value, std::string_view unit) {
    std::array<char, 24> text{};
    char* end = std::to_chars(text.data(), text.data() + text.size() - unit.size(), value).ptr;
    end = std::ranges::copy(unit, end).out;
    take(name, std::string_view(text.data(), end));
  };
  field("x-ratelimit-limit-requests", *verdict.limit, "");
  field("x-ratelimit-remaining-requests", verdict.remaining, "");
  field("x-ratelimit-reset-requests", static_cast<std::uint64_t>(verdict.reset.count()), "ms");
}

}  // namespace

std::vector<std::pair<std::string, std::string>> Guard::limit_fields(const limits::Verdict& verdict) {
  std::vector<std::pair<std::string, std::string>> fields;
  each_limit_field(verdict, [&](auto name, auto value) { fields.emplace_back(name, value); });
  return fields;
}

void Guard::append_limit_lines(std::string& head, const limits::Verdict& verdict) {
  each_limit_field(verdict,
                   [&](auto name, auto value) { head.append(name).append(": ").append(value).append("\r\n"); });
}

http::Response Guard::refuse(const http::Request* request, const Error& error) const {
  return refuse(request, error, request != nullptr ? presented_key(*request).key : std::string_view{});
}

http::Response Guard::refuse(const http::Request* request, const Error& error, std::string_view presented) const {
  const bool accepts_json = request != nullptr && request->accepts_by_name("application/json");
  auto body = dialect::render_error(dialect_of(presented, error), error, accepts_json);
  http::Response response;
  response.status = body.status;
  response.content_type = body.content_type;
  response.body = std::move(body.body);
  if (body.retry_after) response.headers.emplace_back("Retry-After", *body.retry_after);
  if (body.status == 401) response.headers.emplace_back("WWW-Authenticate", "Bearer");
  return response;
}

}  // namespace turnpike::api
