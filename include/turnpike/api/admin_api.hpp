// The routes of the admin listener: keys, credits, nodes, jobs, payments. Every one of them needs the admin token.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "turnpike/api/guard.hpp"
#include "turnpike/base/clock.hpp"
#include "turnpike/base/error.hpp"
#include "turnpike/dialect/dialect.hpp"
#include "turnpike/http/router.hpp"
#include "turnpike/identity/key_ring.hpp"
#include "turnpike/jobs/job_queue.hpp"
#include "turnpike/ledger/ledger.hpp"
#include "turnpike/payments/top_up.hpp"
#include "turnpike/receipts/keys.hpp"
#include "turnpike/scheduler/registry.hpp"

namespace turnpike::api {

// POST   /admin/keys                {dialect?, tier?, account?, name?, credits?, scopes?, expires_at?}
// GET    /admin/keys
// DELETE /admin/keys/{id}
// POST   /admin/keys/{id}/rotate
// POST   /admin/keys/{id}/expire    {expires_at}
// POST   /admin/credits/grant       {account, credits, note?}
// GET    /admin/credits/balance     ?account=
// GET    /admin/credits/history     ?account=&limit=&cursor=
// PUT    /admin/credits/alert       {account, below?}           credits, or "none"; left out: as configured
// GET    /admin/limits              ?account=
// PUT    /admin/limits              {account, tier?, requests_per_minute?, tokens_per_minute?, tokens_per_day?,
//                                    concurrent_requests?, concurrent_jobs?}
// GET    /admin/nodes
// POST   /admin/nodes/{id}/drain    {drain?: true}
// GET    /admin/nodes/{id}/earnings ?account=&limit=&cursor=    of its owner, or of an account that was
// GET    /admin/jobs                ?state=&account=&model=&limit=&cursor=
// GET    /admin/jobs/{id}
// POST   /admin/jobs/{id}/requeue                               a dead one
// POST   /admin/jobs/purge          {state?, older_than?}       of those that are over
// GET    /admin/payments            ?all=true
// POST   /admin/payments/{id}/resolve {tx} or {refused: true}
// POST   /admin/receipts/rotate
//
// Credits are decimal strings, scopes one string separated by spaces, times RFC 3339 in UTC. A limit is a number or
// "none"; what is left out or null is as the key's tier says.
//
// What a gateway may do without; nullptr: it does.
struct AdminParts {
  payments::TopUp* top_up = nullptr;
  jobs::JobQueue* queue = nullptr;
  receipts::Keys* receipt_keys = nullptr;
};

// Loop thread only.
class AdminApi {
 public:
  // `token` is what the operator must present as `Authorization: Bearer`. `optional`: what a gateway may do without.
  AdminApi(std::string token, ledger::Ledger& ledger, identity::KeyRing& keys, const dialect::Dialects& dialects,
           const Tiers& tiers, limits::AccountLimits& account_limits, scheduler::NodeRegistry& nodes,
           const Clock& clock, AdminParts optional = {});
  void add_routes(http::Router& router);

  using Answer = boost::asio::awaitable<Result<nlohmann::json>>;
  using Work = Answer (AdminApi::*)(const http::Request& request);
  // What `work` answers, for whoever has the token. `request` must stay valid until then.
  boost::asio::awaitable<http::Response> answer(const http::Request& request, Work work);

  // The work of each route, without the token.
  Answer create_key(const http::Request& request);
  Answer list_keys(const http::Request& request);
  Answer revoke_key(const http::Request& request);
  Answer rotate_key(const http::Request& request);
  Answer expire_key(const http::Request& request);
  Answer grant(const http::Request& request);
  Answer balance(const http::Request& request);
  Answer history(const http::Request& request);
  Answer set_alert(const http::Request& request);
  Answer show_limits(const http::Request& request);
  Answer set_limits(const http::Request& request);
  Answer list_nodes(const http::Request& request);
  Answer drain_node(const http::Request& request);
  Answer node_earnings(const http::Request& request);
  Answer list_jobs(const http::Request& request);
  Answer show_job(const http::Request& request);
  Answer requeue_job(const http::Request& request);
  Answer purge_jobs(const http::Request& request);
  Answer list_payments(const http::Request& request);
  Answer resolve_payment(const http::Request& request);
  Answer rotate_receipt_key(const http::Request& request);

 private:
  void route(http::Router& router, http::Verb verb, std::string_view path, Work work);
  [[nodiscard]] bool may_enter(const http::Request& request) const;
  [[nodiscard]] Result<ledger::AccountId> account_named(const std::string& public_id, std::string_view member) const;
  boost::asio::awaitable<Result<ledger::AccountId>> account_for_key(const std::string& public_id,
                                                                    const std::string& name);

  std::string token_;
  ledger::Ledger& ledger_;
  identity::KeyRing& keys_;
  const dialect::Dialects& dialects_;
  const Tiers& tiers_;
  limits::AccountLimits& account_limits_;
  scheduler::NodeRegistry& nodes_;
  const Clock& clock_;
  payments::TopUp* top_up_;
  jobs::JobQueue* queue_;
  receipts::Keys* receipt_keys_;
};

}  // namespace turnpike::api
