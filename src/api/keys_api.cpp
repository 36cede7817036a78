#include "turnpike/api/keys_api.hpp"

#include <nlohmann/json.hpp>
#include <utility>

#include "json_body.hpp"
#include "reply.hpp"

namespace turnpike::api {

using boost::asio::awaitable;
using nlohmann::json;

namespace {

constexpr std::string_view kBodySetting = "keys.max_body_bytes";

json render(const identity::KeyInfo& key) {
  json out = {{"object", "api_key"},
              {"id", key.id},
              {"display", key.display},
              {"dialect", key.dialect},
              {"tier", key.tier},
              {"scopes", key.scopes.to_string()},
              {"created_at", time_text(key.created_at)},
              {"expires_at", time_or_null(key.expires_at)},
              {"revoked_at", time_or_null(key.revoked_at)},
              {"last_used_at", time_or_null(key.last_used_at)}};
  render_signing(out, key.signing);
  return out;
}

json render(const identity::CreatedKey& created) {
  json key = render(*created.info);
  key["api_key"] = created.api_key;
  return key;
}

// What the new key shall be able to, or the giver's own where the body names nothing. Errors: invalid_request,
// insufficient_scope.
Result<identity::Grant> read_grant(const json& body, const identity::Grant& giver, WallTime now) {
  identity::Grant given = giver;
  const auto scopes = optional_text(body, "scopes");
  if (!scopes) return std::unexpected(scopes.error());
  if (*scopes) {
    const auto parsed = identity::Scopes::parse(**scopes);
    if (!parsed) return std::unexpected(parsed.error());
    given.scopes = *parsed;
  }
  const auto expires_at = optional_text(body, "expires_at");
  if (!expires_at) return std::unexpected(expires_at.error());
  if (*expires_at) {
    const auto time = read_expiry(**expires_at, now);
    if (!time) return std::unexpected(time.error());
    given.expires_at = *time;
  }
  if (auto may = identity::may_hand_out(giver, given); !may) return std::unexpected(std::move(may).error());
  return given;
}

}  // namespace

std::string_view prefix_like(const identity::KeyInfo& key, const dialect::Dialects& dialects) {
  const auto* dialect = dialects.by_id(key.dialect);
  if (dialect == nullptr) dialect = &dialects.fallback();
  for (const auto& prefix : dialect->key_prefixes) {
    if (key.display.starts_with(prefix)) return prefix;
  }
  return dialect->key_prefixes.front();
}

Result<identity::Signing> read_signing(const json& body, const identity::Signing& giver) {
  identity::Signing signing = giver;
  const auto pem = optional_text(body, "public_key");
  if (!pem) return std::unexpected(pem.error());
  if (*pem) {
    auto key = identity::PublicKey::parse(**pem);
    if (!key) return std::unexpected(std::move(key).error());
    signing.public_key = *std::move(key);
  }
  const auto required = optional_flag(body, "require_signature");
  if (!required) return std::unexpected(required.error());
  signing.required = required->value_or(giver.required);
  if (giver.required && !signing.required) {
    return fail(Fault::insufficient_scope, "A key that must sign can hand out none that need not.",
                "require_signature");
  }
  if (signing.required && !signing.public_key) {
    return fail(Fault::invalid_request, "require_signature needs a public_key to check signatures by",
                "require_signature");
  }
  return signing;
}

void render_signing(json& answer, const identity::Signing& signing) {
  answer["public_key"] = signing.public_key ? json(signing.public_key->pem()) : json(nullptr);
  answer["require_signature"] = signing.required;
}

void KeysApi::add_routes(http::Router& router) {
  router.add(http::Verb::get, "/v1/keys", reply([this](const http::Request& request) { return list(request); }));
  router.add(http::Verb::post, "/v1/keys", reply([this](const http::Request& request) { return create(request); }));
  router.add(http::Verb::post, "/v1/keys/{id}/rotate",
             reply([this](const http::Request& request) { return rotate(request); }));
  router.add(http::Verb::delete_, "/v1/keys/{id}",
             reply([this](const http::Request& request) { return revoke(request); }));
}

http::Response KeysApi::list(const http::Request& request) const {
  const auto caller = guard_.identify(request, identity::Scope::keys_manage);
  if (!caller) return guard_.refuse(&request, caller.error());
  json data = json::array();
  for (const auto* key : keys_.list(caller->account)) data.push_back(render(*key));
  http::Response response;
  response.body = json{{"object", "list"}, {"data", std::move(data)}}.dump();
  return response;
}

awaitable<http::Response> KeysApi::create(const http::Request& request) {
  return answer(request, 201, &KeysApi::create_for);
}
awaitable<http::Response> KeysApi::rotate(const http::Request& request) {
  return answer(request, 201, &KeysApi::rotate_for);
}
awaitable<http::Response> KeysApi::revoke(const http::Request& request) {
  return answer(request, 200, &KeysApi::revoke_for);
}

awaitable<http::Response> KeysApi::answer(const http::Request& request, int status, Work work) {
  const auto caller = guard_.identify(request, identity::Scope::keys_manage);
  if (!caller) co_return guard_.refuse(&request, caller.error());
  const auto result = co_await (this->*work)(*caller, request);
  if (!result) co_return guard_.refuse(&request, result.error());
  http::Response response;
  response.status = status;
  response.body = result->dump();
  response.headers.emplace_back("Cache-Control", "no-store");
  co_return response;
}

// Another account's key is one that is not there.
Result<const identity::KeyInfo*> KeysApi::own_key(const Caller& caller, const http::Request& request) const {
  const auto* key = keys_.find_by_id(request.parameters.at(0));
  if (key == nullptr || key->account_id != caller.account) return fail(Fault::not_found, "there is no such key");
  return key;
}

KeysApi::Answer KeysApi::create_for(const Caller& caller, const http::Request& request) {
  const auto body = read_object(request, max_body_bytes_, kBodySetting);
  if (!body) co_return std::unexpected(body.error());
  const auto grant = read_grant(*body, caller.grant, clock_.wall());
  if (!grant) co_return std::unexpected(grant.error());
  const auto signing = read_signing(*body, caller.key->signing);
  if (!signing) co_return std::unexpected(signing.error());
  const auto named = optional_text(*body, "dialect");
  if (!named) co_return std::unexpected(named.error());
  const auto* dialect = *named ? dialects_.by_id(**named) : caller.dialect;
  if (dialect == nullptr) {
    co_return fail(Fault::invalid_request, "dialect must be the name of a dialect", "dialect");
  }
  const identity::NewKey wanted{.account_id = caller.account,
                                .prefix = dialect->key_prefixes.front(),
                                .dialect = dialect->id,
                                .tier = caller.key->tier,
                                .scopes = grant->scopes,
                                .expires_at = grant->expires_at,
                                .signing = *signing};
  const auto created = co_await keys_.create(wanted);
  if (!created) co_return std::unexpected(created.error());
  co_return render(*created);
}

KeysApi::Answer KeysApi::rotate_for(const Caller& caller, const http::Request& request) {
  const auto key = own_key(caller, request);
  if (!key) co_return std::unexpected(key.error());
  json body = json::object();
  if (!request.body.empty()) {
    auto read = read_object(request, max_body_bytes_, kBodySetting);
    if (!read) co_return std::unexpected(std::move(read).error());
    body = *std::move(read);
  }
  const auto expires_at = optional_text(body, "expires_at");
  if (!expires_at) co_return std::unexpected(expires_at.error());
  identity::Grant given = (*key)->grant();
  if (*expires_at) {
    const auto time = read_expiry(**expires_at, clock_.wall());
    if (!time) co_return std::unexpected(time.error());
    given.expires_at = *time;
  }
  if (caller.key->signing.required && !(*key)->signing.required) {
    co_return fail(Fault::insufficient_scope, "A key that must sign can hand out none that need not.",
                   "require_signature");
  }
  // Of another key than the caller's too: its successor is handed to the caller.
  if (auto may = identity::may_hand_out(caller.grant, given); !may) co_return std::unexpected(std::move(may).error());
  if ((*key)->tier != caller.key->tier) {
    co_return fail(Fault::insufficient_scope, "A key can hand out no tier but its own.", "tier");
  }
  const std::string id = (*key)->id;
  const identity::Rotation rotation{.prefix = prefix_like(**key, dialects_), .expires_at = given.expires_at};
  auto rotated = keys_.rotate(id, rotation);
  const auto end = (*key)->expires_at;  // read before the wait, in which a dead key may be forgotten
  const auto created = co_await std::move(rotated);
  if (!created) co_return std::unexpected(created.error());
  json answer = render(*created);
  answer["replaces"] = id;
  answer["replaced_expires_at"] = time_or_null(end);
  co_return answer;
}

KeysApi::Answer KeysApi::revoke_for(const Caller& caller, const http::Request& request) {
  const auto key = own_key(caller, request);
  if (!key) co_return std::unexpected(key.error());
  auto ending = keys_.revoke((*key)->id);
  json answer = render(**key);  // before the wait, in which a dead key may be forgotten
  const auto revoked = co_await std::move(ending);
  if (!revoked) co_return std::unexpected(revoked.error());
  co_return answer;
}

}  // namespace turnpike::api
