// GET, POST and DELETE /v1/keys: an account's keys, for whoever has one with the scope `keys:manage`. A key hands out
// nothing that it has not itself: no other account, scope or tier, and no longer life.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "turnpike/api/guard.hpp"
#include "turnpike/http/router.hpp"
#include "turnpike/identity/key_ring.hpp"

namespace turnpike::api {

// What a rotated key's successor begins with: what the key itself does, where its dialect still knows that.
[[nodiscard]] std::string_view prefix_like(const identity::KeyInfo& key, const dialect::Dialects& dialects);

// The members `public_key` and `require_signature` of a new key, or the giver's own where the body does not name them.
// Errors: invalid_request; insufficient_scope when the giver must sign and the key would not have to.
[[nodiscard]] Result<identity::Signing> read_signing(const nlohmann::json& body, const identity::Signing& giver);
// The same two members of an answer.
void render_signing(nlohmann::json& answer, const identity::Signing& signing);

// Loop thread only.
class KeysApi {
 public:
  KeysApi(const Guard& guard, identity::KeyRing& keys, const dialect::Dialects& dialects, const Clock& clock,
          std::size_t max_body_bytes)
      : guard_(guard), keys_(keys), dialects_(dialects), clock_(clock), max_body_bytes_(max_body_bytes) {}
  void add_routes(http::Router& router);

  // → 200 {object:"list", data:[{id, display, dialect, tier, scopes, created_at, expires_at, revoked_at,
  // last_used_at, public_key, require_signature}]}
  [[nodiscard]] http::Response list(const http::Request& request) const;

  // `request` must stay valid until the answer is there.
  //
  // {scopes?, expires_at?, dialect?, public_key?, require_signature?} → 201 {api_key, id, …}. What is not named is the
  // caller's.
  [[nodiscard]] boost::asio::awaitable<http::Response> create(const http::Request& request);
  // {expires_at?} → 201 {api_key, id, …, replaces, replaced_expires_at}: a key like that one, which dies after a while.
  [[nodiscard]] boost::asio::awaitable<http::Response> rotate(const http::Request& request);
  // → 200 {id, …, revoked_at}
  [[nodiscard]] boost::asio::awaitable<http::Response> revoke(const http::Request& request);

 private:
  using Answer = boost::asio::awaitable<Result<nlohmann::json>>;
  Answer create_for(const Caller& caller, const http::Request& request);
  Answer rotate_for(const Caller& caller, const http::Request& request);
  Answer revoke_for(const Caller& caller, const http::Request& request);
  using Work = Answer (KeysApi::*)(const Caller& caller, const http::Request& request);
  boost::asio::awaitable<http::Response> answer(const http::Request& request, int status, Work work);
  [[nodiscard]] Result<const identity::KeyInfo*> own_key(const Caller& caller, const http::Request& request) const;

  const Guard& guard_;
  identity::KeyRing& keys_;
  const dialect::Dialects& dialects_;
  const Clock& clock_;
  std::size_t max_body_bytes_;
};

}  // namespace turnpike::api
