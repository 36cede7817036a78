// GET /v1/nodes/{id}/earnings.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "turnpike/api/guard.hpp"
#include "turnpike/http/router.hpp"
#include "turnpike/ledger/ledger.hpp"
#include "turnpike/scheduler/registry.hpp"

namespace turnpike::api {

// {"object":"list","node_id","earned":12,"earned_usdc":"0.123","data":[{"id","amount_usdc","earned_usdc","usage",
// "created_at"}],"next_cursor":…}: whole credits are rounded down; an entry's earned_usdc is what it made the total.
nlohmann::json render_earnings(std::string_view node_id, const ledger::EarningsPage& page);

// What `owner` has earned by a node, as the query's `limit` and `cursor` ask. Errors: invalid_request; not_found for
// who neither owns the node now nor has earned by it.
boost::asio::awaitable<Result<ledger::EarningsPage>> read_earnings(ledger::Ledger& ledger,
                                                                   const scheduler::NodeRegistry& nodes,
                                                                   ledger::AccountId owner,
                                                                   const http::Request& request);

// Loop thread only.
class NodesApi {
 public:
  NodesApi(const Guard& guard, ledger::Ledger& ledger, const scheduler::NodeRegistry& nodes)
      : guard_(guard), ledger_(ledger), nodes_(nodes) {}
  void add_routes(http::Router& router);

  // The caller's own. `request` must stay valid until the answer is there.
  [[nodiscard]] boost::asio::awaitable<http::Response> earnings(const http::Request& request) const;

 private:
  const Guard& guard_;
  ledger::Ledger& ledger_;
  const scheduler::NodeRegistry& nodes_;
};

}  // namespace turnpike::api
