// POST /v1/credits/topup: credits for USDC, by x402.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <stop_token>
#include <string_view>

#include "turnpike/api/guard.hpp"
#include "turnpike/http/router.hpp"
#include "turnpike/ledger/ledger.hpp"
#include "turnpike/payments/top_up.hpp"

namespace turnpike::api {

struct TopUpLimits {
  ledger::Money least;
  ledger::Money most;
  std::size_t max_header_bytes = 0;
  std::size_t max_body_bytes = 0;
};

// Loop thread only.
class TopUpApi {
 public:
  TopUpApi(const Guard& guard, payments::TopUp& top_up, const ledger::Ledger& ledger, const Clock& clock,
           TopUpLimits limits)
      : guard_(guard), top_up_(top_up), ledger_(ledger), clock_(clock), limits_(limits) {}
  void add_routes(http::Router& router);

  // {"amount":"10"}, in dollars. Without a payment: 402 and how to pay. With one in X-PAYMENT or PAYMENT-SIGNATURE: 200
  // {credits_added, balance, balance_usdc, txHash, payment_id}, 402 with the reason when it is refused, 503 while it is
  // not known what becomes of it. `request` must stay valid until the answer is there; `left` ends the wait.
  [[nodiscard]] boost::asio::awaitable<http::Response> top_up(const http::Request& request, std::stop_token left);

 private:
  [[nodiscard]] Result<payments::Units> read_amount(const http::Request& request) const;
  [[nodiscard]] boost::asio::awaitable<http::Response> pay(const http::Request& request, ledger::AccountId account,
                                                           payments::Units units, payments::Version version,
                                                           std::string_view header, std::stop_token left);
  [[nodiscard]] http::Response ask_for_payment(payments::Units units, std::string_view error) const;
  [[nodiscard]] http::Response render(const http::Request& request, ledger::AccountId account, payments::Units units,
                                      const payments::Outcome& outcome) const;

  const Guard& guard_;
  payments::TopUp& top_up_;
  const ledger::Ledger& ledger_;
  const Clock& clock_;
  TopUpLimits limits_;
};

}  // namespace turnpike::api
