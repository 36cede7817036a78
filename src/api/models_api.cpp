#include "turnpike/api/models_api.hpp"

#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "reply.hpp"
#include "turnpike/base/decimal.hpp"

namespace turnpike::api {

using nlohmann::json;

namespace {

constexpr int kNanoScale = 9;

std::string pool_of(const http::Request& request) {
  return request.query_value("pool").value_or(std::string(scheduler::kDefaultPool));
}

json pricing(const ledger::Price& price) {
  const auto usd = [](ledger::Money money) { return format_decimal(money.nanousd(), kNanoScale, 2); };
  json out = {{"prompt_per_million_usd", usd(price.prompt_per_million)},
              {"completion_per_million_usd", usd(price.completion_per_million)},
              {"price_id", ledger::price_id(price)}};
  if (price.per_request != ledger::Money() || price.per_thousand_beyond != ledger::Money()) {
    out["per_request_usd"] = usd(price.per_request);
    out["included_output_tokens"] = price.included_output_tokens;
    out["per_thousand_beyond_usd"] = usd(price.per_thousand_beyond);
  }
  return out;
}

std::string credits(ledger::Money money) {
  // One credit is 10^7 nano-dollars.
  return format_decimal(money.nanousd(), 7, 0);
}

}  // namespace

void ModelsApi::add_routes(http::Router& router) {
  router.add(http::Verb::get, "/v1/models", reply([this](const http::Request& request) { return list(request); }));
  router.add(http::Verb::get, "/v1/models/{id}", reply([this](const http::Request& request) { return get(request); }));
}

json ModelsApi::render(const inference::Model& model, const Caller& caller, std::string_view pool) const {
  const auto state = nodes_.state_of(model.id, pool, clock_.now());
  if (state.live == 0) return nullptr;
  const auto latency = std::llround(state.median_latency_ms);
  const auto price = model.price_at(state.in_flight, state.capacity);
  json out = {{"id", model.id},
              {"object", "model"},
              {"created", model.created},
              {"owned_by", model.owned_by},
              {"capabilities",
               {{"chat", model.chat},
                {"completion", model.completion},
                {"embeddings", model.embeddings},
                {"vision", model.vision},
                {"structured_output", model.structured_output}}},
              {"context_window", model.context_window},
              {"nodes", state.live},
              {"median_latency_ms", latency},
              {"pricing", pricing(price)}};
  if (!caller.dialect->model_extras.empty()) {
    const auto beyond = price.per_thousand_beyond != ledger::Money()
                            ? price.per_thousand_beyond
                            : ledger::Money::nanousd(price.completion_per_million.nanousd() / 1000);
    out[caller.dialect->model_extras] = {{"tier", caller.key->tier},
                                         {"credits_per_request", credits(price.per_request)},
                                         {"credits_per_1k_tokens", credits(beyond)},
                                         {"active_workers", state.live},
                                         {"median_latency_ms", latency},
                                         {"parameters", nullptr},
                                         {"context_window", model.context_window}};
  }
  return out;
}

http::Response ModelsApi::list(const http::Request& request) const {
  const auto caller = guard_.identify(request, identity::Scope::models_read);
  if (!caller) return guard_.refuse(&request, caller.error());
  const auto pool = pool_of(request);
  json data = json::array();
  for (const auto& model : catalogue_.all()) {
    if (auto rendered = render(*model, *caller, pool); !rendered.is_null()) data.push_back(std::move(rendered));
  }
  http::Response response;
  response.body = json{{"object", "list"}, {"data", std::move(data)}}.dump();
  return response;
}

http::Response ModelsApi::get(const http::Request& request) const {
  const auto caller = guard_.identify(request, identity::Scope::models_read);
  if (!caller) return guard_.refuse(&request, caller.error());
  const auto& id = request.parameters.front();
  const auto model = catalogue_.find(id);
  const json rendered = model ? render(*model, *caller, pool_of(request)) : json(nullptr);
  if (rendered.is_null()) {
    const Error error{.fault = Fault::model_not_found,
                      .message = "the model " + id.substr(0, 200) + (model ? " has no live node" : " does not exist"),
                      .param = "model"};
    return guard_.refuse(&request, error);
  }
  http::Response response;
  response.body = rendered.dump();
  return response;
}

}  // namespace turnpike::api
