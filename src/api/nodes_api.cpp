#include "turnpike/api/nodes_api.hpp"

#include <nlohmann/json.hpp>
#include <utility>

#include "json_body.hpp"
#include "paging.hpp"
#include "reply.hpp"

namespace turnpike::api {

using boost::asio::awaitable;
using nlohmann::json;

json render_earnings(std::string_view node_id, const ledger::EarningsPage& page) {
  json data = json::array();
  for (const auto& earning : page.earnings) {
    data.push_back(
        {{"id", "txn_" + std::to_string(earning.entry_id)},
         {"amount_usdc", earning.amount.to_usdc()},
         {"earned_usdc", earning.total.to_usdc()},
         {"usage", {{"prompt_tokens", earning.tokens.prompt}, {"completion_tokens", earning.tokens.completion}}},
         {"created_at", time_text(earning.created_at)}});
  }
  return {{"object", "list"},
          {"node_id", node_id},
          {"earned", page.total.whole_credits()},
          {"earned_usdc", page.total.to_usdc()},
          {"data", std::move(data)},
          {"next_cursor", cursor_or_null(page.next_cursor)}};
}

awaitable<Result<ledger::EarningsPage>> read_earnings(ledger::Ledger& ledger, const scheduler::NodeRegistry& nodes,
                                                      ledger::AccountId owner, const http::Request& request) {
  const auto paging = read_paging(request);
  if (!paging) co_return std::unexpected(paging.error());
  const std::string& node_id = request.parameters.at(0);
  const auto node = nodes.find(node_id);
  const bool owns = node != nullptr && node->spec().payee.account == owner;
  auto page = co_await ledger.earnings(owner, node_id, paging->limit, paging->before);
  // A node that is gone is still known to whoever earned by it. Whether it is another's is nobody's business.
  if (page && !owns && page->total == ledger::Money()) {
    co_return fail(Fault::not_found, "you own no node \"" + node_id.substr(0, 200) + "\"");
  }
  co_return page;
}

void NodesApi::add_routes(http::Router& router) {
  router.add(http::Verb::get, "/v1/nodes/{id}/earnings",
             reply([this](const http::Request& request) { return earnings(request); }));
}

awaitable<http::Response> NodesApi::earnings(const http::Request& request) const {
  const auto caller = guard_.identify(request, identity::Scope::usage_read);
  if (!caller) co_return guard_.refuse(&request, caller.error());
  const auto page = co_await read_earnings(ledger_, nodes_, caller->account, request);
  if (!page) co_return guard_.refuse(&request, page.error());
  http::Response response;
  response.body = render_earnings(request.parameters.at(0), *page).dump();
  co_return response;
}

}  // namespace turnpike::api
