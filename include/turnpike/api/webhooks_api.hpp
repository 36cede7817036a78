// /v1/webhooks: where an account wants to be told what. Reading needs the scope `usage:read`, all else `keys:manage`:
// an endpoint tells what the account does to whoever is behind it, for longer than the key lives that made it.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>

#include "turnpike/api/guard.hpp"
#include "turnpike/base/clock.hpp"
#include "turnpike/http/router.hpp"
#include "turnpike/limits/address_limiter.hpp"
#include "turnpike/webhooks/webhooks.hpp"

namespace turnpike::api {

struct WebhookLimits {
  std::size_t max_body_bytes = 0;
  std::uint64_t changes_per_minute = 0;  // of an account: each may make the gateway call somebody
  std::size_t max_accounts = 0;          // that are remembered for it
};

// Loop thread only.
class WebhooksApi {
 public:
  WebhooksApi(const Guard& guard, webhooks::Webhooks& webhooks, const Clock& clock, WebhookLimits limits)
      : guard_(guard),
        webhooks_(webhooks),
        clock_(clock),
        max_body_bytes_(limits.max_body_bytes),
        changes_(limits.changes_per_minute, limits.max_accounts) {}
  void add_routes(http::Router& router);

  // An endpoint is {object:"webhook", id, url, events, status:"active|disabled", disabled_reason, pending,
  // old_secret_expires_at, created_at}; `secret` is shown by create and rotate alone.

  // → 200 {object:"list", data:[…]}
  [[nodiscard]] http::Response list(const http::Request& request) const;
  [[nodiscard]] http::Response show(const http::Request& request) const;
  // {url, events, secret?} → 201 with the secret. Errors: 400, 409 when there are too many.
  [[nodiscard]] boost::asio::awaitable<http::Response> create(const http::Request& request);
  // {url?, events?, status?} → 200
  [[nodiscard]] boost::asio::awaitable<http::Response> change(const http::Request& request);
  // {secret?} → 200 with the new secret; the old one signs beside it until old_secret_expires_at.
  [[nodiscard]] boost::asio::awaitable<http::Response> rotate(const http::Request& request);
  // → 200 {id, object:"webhook", deleted:true}
  [[nodiscard]] boost::asio::awaitable<http::Response> remove(const http::Request& request);
  // → 202 and the delivery of an event `webhook.test`.
  [[nodiscard]] boost::asio::awaitable<http::Response> test(const http::Request& request);
  // ?limit&cursor → 200 {object:"list", data:[{id, event_id, type, state, attempts, next_attempt_at, response_status,
  // error, created_at, completed_at}], next_cursor}, newest first.
  [[nodiscard]] boost::asio::awaitable<http::Response> deliveries(const http::Request& request);

 private:
  using Answer = boost::asio::awaitable<Result<nlohmann::json>>;
  using Work = Answer (WebhooksApi::*)(const Caller& caller, const http::Request& request);
  // What only reads, and what changes something: by its scope, and that as often as an account may.
  boost::asio::awaitable<http::Response> answer(const http::Request& request, identity::Scope scope, int status,
                                                Work work);
  Answer create_for(const Caller& caller, const http::Request& request);
  Answer change_for(const Caller& caller, const http::Request& request);
  Answer rotate_for(const Caller& caller, const http::Request& request);
  Answer remove_for(const Caller& caller, const http::Request& request);
  Answer test_for(const Caller& caller, const http::Request& request);
  Answer deliveries_for(const Caller& caller, const http::Request& request);
  const Guard& guard_;
  webhooks::Webhooks& webhooks_;
  const Clock& clock_;
  std::size_t max_body_bytes_;
  limits::AddressLimiter changes_;  // by account
};

}  // namespace turnpike::api
