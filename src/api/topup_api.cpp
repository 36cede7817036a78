#include "turnpike/api/topup_api.hpp"

#include <nlohmann/json.hpp>
#include <utility>

#include "json_body.hpp"
#include "turnpike/base/decimal.hpp"

namespace turnpike::api {

using boost::asio::awaitable;
using ledger::Money;
using nlohmann::json;

namespace {

constexpr int kDecimals = 6;  // of the token
constexpr std::chrono::seconds kWaitForSettlement{5};

}  // namespace

void TopUpApi::add_routes(http::Router& router) {
  router.add(http::Verb::post, "/v1/credits/topup", [this](http::Exchange& exchange) -> awaitable<void> {
    const http::Response response = co_await top_up(exchange.request(), exchange.client_gone());
    co_await exchange.send(response);
  });
}

awaitable<http::Response> TopUpApi::top_up(const http::Request& request, std::stop_token left) {
  auto caller = guard_.identify(request, identity::Scope::usage_read);
  if (!caller) co_return guard_.refuse(&request, caller.error());
  if (const auto admitted = guard_.admit(*caller); !admitted) co_return guard_.refuse(&request, admitted.error());
  const auto units = read_amount(request);
  if (!units) co_return guard_.refuse(&request, units.error());
  const auto v1 = request.fields.find(payments::request_header(payments::Version::v1));
  const auto v2 = request.fields.find(payments::request_header(payments::Version::v2));
  if (!v1 && !v2) co_return ask_for_payment(*units, {});
  if (v1 && v2) {
    co_return guard_.refuse(&request, Error{.fault = Fault::invalid_request,
                                            .message = "X-PAYMENT and PAYMENT-SIGNATURE exclude each other",
                                            .param = "PAYMENT-SIGNATURE"});
  }
  const auto version = v1 ? payments::Version::v1 : payments::Version::v2;
  co_return co_await pay(request, caller->account, *units, version, v1 ? *v1 : *v2, std::move(left));
}

Result<payments::Units> TopUpApi::read_amount(const http::Request& request) const {
  const auto body = read_object(request, limits_.max_body_bytes, "payments.max_body_bytes");
  if (!body) return std::unexpected(body.error());
  const auto amount = text(*body, "amount");
  if (!amount) return std::unexpected(amount.error());
  const auto units = parse_decimal(*amount, kDecimals);
  if (!units) {
    return fail(Fault::invalid_request, "amount must be dollars as a decimal string of at most 6 decimals, as \"10\"",
                "amount");
  }
  const bool within = *units > 0 && *units <= limits_.most.nanousd() / payments::money_of(1).nanousd() &&
                      payments::money_of(static_cast<payments::Units>(*units)) >= limits_.least;
  if (!within) {
    return fail(Fault::invalid_request,
                "amount must be " + limits_.least.to_usdc() + " to " + limits_.most.to_usdc() + " dollars", "amount");
  }
  return static_cast<payments::Units>(*units);
}

http::Response TopUpApi::ask_for_payment(payments::Units units, std::string_view error) const {
  http::Response response;
  response.status = 402;
  response.body = payments::payment_required_body(top_up_.terms(), units, error);
  response.headers.emplace_back("PAYMENT-REQUIRED", payments::payment_required_header(top_up_.terms(), units, error));
  response.headers.emplace_back("Cache-Control", "no-store");
  return response;
}

awaitable<http::Response> TopUpApi::pay(const http::Request& request, ledger::AccountId account, payments::Units units,
                                        payments::Version version, std::string_view header, std::stop_token left) {
  auto payment = payments::read_payment(version, header, limits_.max_header_bytes);
  if (!payment) co_return guard_.refuse(&request, payment.error());
  const auto now = static_cast<std::uint64_t>(unix_seconds(clock_.wall()));
  const auto network = payments::check_payment(*payment, top_up_.terms(), units, now);
  if (!network) co_return ask_for_payment(units, network.error());
  const std::string payer = payment->authorization.from;
  const auto outcome = co_await top_up_.pay(account, *std::move(payment), **network, std::move(left));
  http::Response response = render(request, account, units, outcome);
  if (outcome.kind == payments::Outcome::Kind::credited) {
    response.headers.emplace_back(payments::response_header(version),
                                  payments::payment_response((*network)->name_in(version), payer, outcome.transaction));
  }
  co_return response;
}

http::Response TopUpApi::render(const http::Request& request, ledger::AccountId account, payments::Units units,
                                const payments::Outcome& outcome) const {
  using Kind = payments::Outcome::Kind;
  switch (outcome.kind) {
    case Kind::refused:
      return ask_for_payment(units, outcome.reason);
    case Kind::unavailable:
      return guard_.refuse(&request, {.fault = Fault::service_unavailable, .message = outcome.reason});
    case Kind::unsettled:
      return guard_.refuse(&request,
                           {.fault = Fault::service_unavailable,
                            .message = "The payment is not settled yet and goes on by itself (" + outcome.id +
                                       "): do not pay again. Send the same request again, or see the credits' history.",
                            .retry_after = kWaitForSettlement});
    case Kind::credited:
      break;
  }
  const Money available = ledger_.available(account);
  http::Response response;
  response.body = json{
      {"credits_added", payments::money_of(outcome.units).whole_credits()},
      {"balance", available.whole_credits()},
      {"balance_usdc", available.to_usdc()},
      {"txHash", outcome.transaction},
      {"payment_id",
       outcome.id}}.dump();
  response.headers.emplace_back("Cache-Control", "no-store");
  return response;
}

}  // namespace turnpike::api
