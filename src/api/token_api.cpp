#include "turnpike/api/token_api.hpp"

#include <nlohmann/json.hpp>
#include <utility>

#include "json_body.hpp"
#include "reply.hpp"
#include "turnpike/api/client_address.hpp"

namespace turnpike::api {

using nlohmann::json;

namespace {

Result<std::chrono::seconds> read_lifetime(const json& body, std::chrono::seconds otherwise) {
  constexpr std::chrono::seconds kLongest = identity::kLongestToken;
  const auto found = body.find("expires_in");
  if (found == body.end() || found->is_null()) return otherwise;
  if (found->is_number_unsigned()) {
    const auto value = found->get<std::uint64_t>();
    if (value >= 1 && value <= static_cast<std::uint64_t>(kLongest.count())) return std::chrono::seconds(value);
  }
  return fail(Fault::invalid_request, "expires_in must be a whole number of seconds from 1 to 86400", "expires_in");
}

// Those of the key's that are asked for (RFC 6749, section 3.3).
Result<identity::Scopes> read_scope(const json& body, identity::Scopes of_key) {
  const auto wanted = optional_text(body, "scope");
  if (!wanted) return std::unexpected(wanted.error());
  if (!*wanted) return of_key;
  auto scopes = identity::Scopes::parse(**wanted);
  if (!scopes) {
    scopes.error().param = "scope";
    return scopes;
  }
  if (!of_key.has_all(*scopes)) {
    return fail(Fault::insufficient_scope, "A key can hand out no scope that it lacks.", "scope");
  }
  return scopes;
}

}  // namespace

TokenApi::TokenApi(const Guard& guard, const identity::KeyRing& keys, const identity::AccessTokens& tokens,
                   const ledger::Ledger& ledger, const Clock& clock, TokenLimits limits)
    : guard_(guard),
      keys_(keys),
      tokens_(tokens),
      ledger_(ledger),
      clock_(clock),
      limits_(limits),
      asked_(limits.tokens_per_minute, limits.max_clients) {}

void TokenApi::add_routes(http::Router& router) {
  router.add(http::Verb::post, "/v1/auth/token",
             reply([this](const http::Request& request) { return exchange(request); }));
  router.add(http::Verb::get, "/.well-known/jwks.json", reply([this](const http::Request& request) {
               const auto admitted = guard_.admit_stranger(request);
               return admitted ? jwk_set() : guard_.refuse(&request, admitted.error());
             }));
}

http::Response TokenApi::exchange(const http::Request& request) {
  const auto verdict = asked_.admit(client_address(request), clock_.now());
  const Result<json> body = verdict.allowed ? read_object(request, limits_.max_body_bytes, "keys.max_body_bytes")
                                            : std::unexpected(limits::too_many(verdict));
  const Result<std::string> api_key = body ? text(*body, "api_key") : std::unexpected(body.error());
  const Result<json> result = api_key ? make_token(request, *body, *api_key) : std::unexpected(api_key.error());
  http::Response response;
  if (result) {
    response.body = result->dump();
  } else {
    response = guard_.refuse(&request, result.error(), api_key.value_or(""));
  }
  for (auto& field : Guard::limit_fields(verdict)) response.headers.push_back(std::move(field));
  response.headers.emplace_back("Cache-Control", "no-store");  // RFC 6749, section 5.1
  return response;
}

Result<json> TokenApi::make_token(const http::Request& request, const json& body, const std::string& api_key) const {
  const WallTime now = clock_.wall();
  const auto key = keys_.find(api_key, now);
  if (!key) return fail(Fault::invalid_api_key, "the API key is " + std::string(to_string(key.error())), "api_key");
  if (auto good = guard_.check_signature(**key, request); !good) return std::unexpected(std::move(good).error());
  const auto lifetime = read_lifetime(body, limits_.lifetime);
  if (!lifetime) return std::unexpected(lifetime.error());
  const auto scopes = read_scope(body, (*key)->scopes);
  if (!scopes) return std::unexpected(scopes.error());
  const auto issued = tokens_.issue({.subject = ledger_.find((*key)->account_id)->public_id,
                                     .key_id = (*key)->id,
                                     .scopes = *scopes,
                                     .lifetime = *lifetime,
                                     .not_after = (*key)->expires_at},
                                    now);
  if (!issued) return std::unexpected(issued.error());
  return json{{"access_token", issued->token},
              {"token_type", "Bearer"},
              {"expires_in", issued->lifetime.count()},
              {"scope", scopes->to_string()}};
}

http::Response TokenApi::jwk_set() const {
  http::Response response;
  response.body = tokens_.jwk_set();
  response.headers.emplace_back("Cache-Control", "public, max-age=300");
  return response;
}

}  // namespace turnpike::api
