#include "turnpike/api/auth_api.hpp"

#include <nlohmann/json.hpp>
#include <utility>

#include "json_body.hpp"
#include "reply.hpp"
#include "turnpike/api/client_address.hpp"

namespace turnpike::api {

using boost::asio::awaitable;
using nlohmann::json;

namespace {

// The dialect that the key shall be of: the one that is named, or the default one.
Result<const dialect::Dialect*> dialect_of(const json& body, const dialect::Dialects& dialects) {
  const auto found = body.find("dialect");
  if (found == body.end() || found->is_null()) return &dialects.fallback();
  const auto* dialect = found->is_string() ? dialects.by_id(found->get<std::string>()) : nullptr;
  if (dialect == nullptr) return fail(Fault::invalid_request, "dialect must be the name of a dialect", "dialect");
  return dialect;
}

}  // namespace

AuthApi::AuthApi(const Guard& guard, identity::WalletLogin& login, identity::WalletAccounts& wallets,
                 identity::KeyRing& keys, ledger::Ledger& ledger, const dialect::Dialects& dialects, const Clock& clock,
                 AuthLimits limits)
    : guard_(guard),
      login_(login),
      wallets_(wallets),
      keys_(keys),
      ledger_(ledger),
      dialects_(dialects),
      clock_(clock),
      max_body_bytes_(limits.max_body_bytes),
      challenges_(limits.challenges_per_minute, limits.max_clients),
      logins_(limits.logins_per_minute, limits.max_clients) {}

void AuthApi::add_routes(http::Router& router) {
  router.add(http::Verb::post, "/v1/auth/challenge",
             reply([this](const http::Request& request) { return challenge(request); }));
  router.add(http::Verb::post, "/v1/auth/wallet",
             reply([this](const http::Request& request) { return log_in(request); }));
}

http::Response AuthApi::challenge(const http::Request& request) {
  const auto verdict = challenges_.admit(client_address(request), clock_.now());
  const Result<json> result = verdict.allowed ? make_challenge(request) : std::unexpected(limits::too_many(verdict));
  return render(request, 200, result, verdict);
}

awaitable<http::Response> AuthApi::log_in(const http::Request& request) {
  const auto verdict = logins_.admit(client_address(request), clock_.now());
  Result<json> result = std::unexpected(limits::too_many(verdict));
  if (verdict.allowed) result = co_await make_key(request);
  co_return render(request, 201, result, verdict);
}

Result<json> AuthApi::read_body(const http::Request& request) const {
  return read_object(request, max_body_bytes_, "wallets.max_body_bytes");
}

Result<json> AuthApi::make_challenge(const http::Request& request) {
  const auto body = read_body(request);
  if (!body) return std::unexpected(body.error());
  const auto address = text(*body, "address");
  if (!address) return std::unexpected(address.error());
  const auto chain = text(*body, "chain");
  if (!chain) return std::unexpected(chain.error());
  auto challenge = login_.challenge(*address, *chain);
  if (!challenge) return std::unexpected(std::move(challenge).error());
  return json{{"message", std::move(challenge->message)},
              {"nonce", std::move(challenge->nonce)},
              {"expires_at", time_text(challenge->expires_at)}};
}

// Account, wallet and key are queued without a wait between them: the key's commit is the commit of all three, and no
// second login of a new wallet comes in between.
awaitable<Result<json>> AuthApi::make_key(const http::Request& request) {
  const auto body = read_body(request);
  if (!body) co_return std::unexpected(body.error());
  const auto message = text(*body, "message");
  if (!message) co_return std::unexpected(message.error());
  const auto signature = text(*body, "signature");
  if (!signature) co_return std::unexpected(signature.error());
  const auto dialect = dialect_of(*body, dialects_);
  if (!dialect) co_return std::unexpected(dialect.error());
  const auto wallet = login_.verify(*message, *signature);
  if (!wallet) co_return std::unexpected(wallet.error());
  const auto account = account_of(*wallet);
  if (!account) co_return std::unexpected(account.error());
  const identity::NewKey wanted{.account_id = *account,
                                .prefix = (*dialect)->key_prefixes.front(),
                                .dialect = (*dialect)->id,
                                .tier = (*dialect)->default_tier};
  const auto created = co_await keys_.create(wanted);
  if (!created) co_return std::unexpected(created.error());
  co_return json{{"api_key", created->api_key},
                 {"address", wallet->address},
                 {"account_id", ledger_.find(*account)->public_id},
                 {"created_at", time_text(created->info->created_at)}};
}

Result<ledger::AccountId> AuthApi::account_of(const identity::Wallet& wallet) {
  if (const auto known = wallets_.find(wallet)) return *known;
  const auto opened = ledger_.open_account(wallet.address);
  if (!opened) return std::unexpected(opened.error());
  if (auto tied = wallets_.tie(wallet, opened->id); !tied) return std::unexpected(std::move(tied).error());
  return opened->id;
}

http::Response AuthApi::render(const http::Request& request, int status, const Result<json>& result,
                               const limits::Verdict& verdict) const {
  http::Response response;
  if (result) {
    response.status = status;
    response.body = result->dump();
  } else {
    response = guard_.refuse(&request, result.error());
  }
  for (auto& field : Guard::limit_fields(verdict)) response.headers.push_back(std::move(field));
  response.headers.emplace_back("Cache-Control", "no-store");
  return response;
}

}  // namespace turnpike::api
