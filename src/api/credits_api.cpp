#include "turnpike/api/credits_api.hpp"

#include <nlohmann/json.hpp>
#include <utility>

#include "json_body.hpp"
#include "paging.hpp"
#include "reply.hpp"
#include "turnpike/base/encoding.hpp"

namespace turnpike::api {

using boost::asio::awaitable;
using nlohmann::json;

namespace {}  // namespace

json render_balance(const ledger::Ledger& ledger, ledger::AccountId account) {
  const auto available = ledger.available(account);
  return {{"balance", available.whole_credits()}, {"balance_usdc", available.to_usdc()}};
}

json render_history(const ledger::HistoryPage& page) {
  json data = json::array();
  for (const auto& entry : page.entries) {
    const bool topup = entry.type == ledger::EntryType::topup;
    json row = {{"id", "txn_" + std::to_string(entry.id)},
                {"type", ledger::to_string(entry.type)},
                {"amount_usdc", entry.amount.to_usdc()},
                {"balance_usdc", entry.balance.to_usdc()},
                {"job_id", topup ? json(nullptr) : or_null(entry.job_id)},
                {"model", or_null(entry.model)},
                {"basis", or_null(entry.basis)},
                {"created_at", rfc3339(entry.created_at.time_since_epoch().count())}};
    if (entry.type == ledger::EntryType::charge) {
      row["usage"] = {{"prompt_tokens", entry.tokens.prompt}, {"completion_tokens", entry.tokens.completion}};
      row["node_id"] = or_null(entry.node_id);
    }
    if (topup) {
      row["payment_id"] = or_null(entry.job_id);
      row["tx_hash"] = or_null(entry.note);
    }
    data.push_back(std::move(row));
  }
  return {{"object", "list"}, {"data", std::move(data)}, {"next_cursor", cursor_or_null(page.next_cursor)}};
}

awaitable<Result<ledger::HistoryPage>> read_history(ledger::Ledger& ledger, ledger::AccountId account,
                                                    const http::Request& request) {
  const auto paging = read_paging(request);
  if (!paging) co_return std::unexpected(paging.error());
  co_return co_await ledger.history(account, paging->limit, paging->before);
}

void CreditsApi::add_routes(http::Router& router) {
  router.add(http::Verb::get, "/v1/credits/balance",
             reply([this](const http::Request& request) { return balance(request); }));
  router.add(http::Verb::get, "/v1/credits/history",
             reply([this](const http::Request& request) { return history(request); }));
}

http::Response CreditsApi::balance(const http::Request& request) const {
  const auto caller = guard_.identify(request, identity::Scope::usage_read);
  if (!caller) return guard_.refuse(&request, caller.error());
  http::Response response;
  response.body = render_balance(ledger_, caller->account).dump();
  return response;
}

awaitable<http::Response> CreditsApi::history(const http::Request& request) const {
  const auto caller = guard_.identify(request, identity::Scope::usage_read);
  if (!caller) co_return guard_.refuse(&request, caller.error());
  const auto page = co_await read_history(ledger_, caller->account, request);
  if (!page) co_return guard_.refuse(&request, page.error());
  http::Response response;
  response.body = render_history(*page).dump();
  co_return response;
}

}  // namespace turnpike::api
