// /v1/webhooks: where an account wants to be told what. Reading needs the scope `usage:read`, all else `keys:manage`:
// an endpoint tells what the account does to whoever is behind it, for longer than the key lives that made it.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <nlohmann/json_fwd.hpp>

#include "turnpike/api/guard.hpp"
#include "turnpike/http/router.hpp"
#include "turnpike/webhooks/webhooks.hpp"

namespace turnpike::api {

// Loop thread only.
class WebhooksApi {
 public:
  WebhooksApi(const Guard& guard, webhooks::Webhooks& webhooks, std::size_t max_body_bytes)
      : guard_(guard), webhooks_(webhooks), max_body_bytes_(max_body_bytes) {}
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
  std::size_t max_body_bytes_;
};

}  // namespace turnpike::api
