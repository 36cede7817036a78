// GET /v1/credits/balance, GET /v1/credits/history.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <nlohmann/json_fwd.hpp>

#include "turnpike/api/guard.hpp"
#include "turnpike/http/router.hpp"
#include "turnpike/ledger/ledger.hpp"

namespace turnpike::api {

// {"balance":1000,"balance_usdc":"10.00"}: what is available, whole credits rounded down.
nlohmann::json render_balance(const ledger::Ledger& ledger, ledger::AccountId account);

// {"object":"list","data":[…],"next_cursor":…}
nlohmann::json render_history(const ledger::HistoryPage& page);

// A page of history as asked for by `limit` and `cursor`. Errors: invalid_request, and what the ledger says.
boost::asio::awaitable<Result<ledger::HistoryPage>> read_history(ledger::Ledger& ledger, ledger::AccountId account,
                                                                 const http::Request& request);

// Loop thread only.
class CreditsApi {
 public:
  CreditsApi(const Guard& guard, ledger::Ledger& ledger) : guard_(guard), ledger_(ledger) {}
  void add_routes(http::Router& router);

  // The caller's own. `request` must stay valid until the answer is there.
  [[nodiscard]] http::Response balance(const http::Request& request) const;
  [[nodiscard]] boost::asio::awaitable<http::Response> history(const http::Request& request) const;

 private:
  const Guard& guard_;
  ledger::Ledger& ledger_;
};

}  // namespace turnpike::api
