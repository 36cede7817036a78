#include "turnpike/api/webhooks_api.hpp"

#include <nlohmann/json.hpp>
#include <utility>

#include "json_body.hpp"
#include "paging.hpp"
#include "reply.hpp"

namespace turnpike::api {

using boost::asio::awaitable;
using nlohmann::json;

namespace {

constexpr std::string_view kBodySetting = "webhooks.max_body_bytes";

json render(const webhooks::Endpoint& endpoint) {
  json events = json::array();
  for (std::size_t i = 0; i < events::kTypes; ++i) {
    const auto type = static_cast<events::Type>(i);
    if (endpoint.types.has(type)) events.push_back(events::to_string(type));
  }
  return {{"object", "webhook"},
          {"id", endpoint.id},
          {"url", endpoint.url},
          {"events", std::move(events)},
          {"status", endpoint.disabled.empty() ? "active" : "disabled"},
          {"disabled_reason", or_null(endpoint.disabled)},
          {"pending", endpoint.pending},
          {"old_secret_expires_at", time_or_null(endpoint.old_secret_ends_at)},
          {"created_at", time_text(endpoint.created_at)}};
}

json render(const webhooks::WithSecret& shown) {
  json endpoint = render(shown.endpoint);
  endpoint["secret"] = shown.secret;
  return endpoint;
}

json render(const webhooks::Delivery& delivery) {
  return {{"object", "webhook.delivery"},
          {"id", "whd_" + std::to_string(delivery.id)},
          {"event_id", delivery.event_id},
          {"type", delivery.type},
          {"state", delivery.state},
          {"attempts", delivery.attempts},
          {"next_attempt_at", time_or_null(delivery.next_attempt_at)},
          {"response_status", delivery.status == 0 ? json(nullptr) : json(delivery.status)},
          {"error", or_null(delivery.fault)},
          {"created_at", time_text(delivery.created_at)},
          {"completed_at", time_or_null(delivery.closed_at)}};
}

// A list of at least one type. Error: invalid_request, with the element's place.
Result<events::Types> read_events(const json& body) {
  const auto found = body.find("events");
  if (found == body.end() || !found->is_array() || found->empty()) {
    return fail(Fault::invalid_request, "events must be a list of event types, as [\"job.completed\"]", "events");
  }
  events::Types types;
  for (std::size_t i = 0; i < found->size(); ++i) {
    const json& element = (*found)[i];
    const auto type = element.is_string() ? events::parse_type(element.get<std::string>()) : std::nullopt;
    const std::string place = "events[" + std::to_string(i) + "]";
    if (!type) return fail(Fault::invalid_request, place + " is not a type of event", place);
    types.add(*type);
  }
  return types;
}

Result<webhooks::Change> read_change(const json& body) {
  webhooks::Change change;
  auto url = optional_text(body, "url");
  if (!url) return std::unexpected(std::move(url).error());
  change.url = *std::move(url);
  if (body.contains("events")) {
    const auto types = read_events(body);
    if (!types) return std::unexpected(types.error());
    change.types = *types;
  }
  const auto status = optional_text(body, "status");
  if (!status) return std::unexpected(status.error());
  if (*status) {
    if (**status != "active" && **status != "disabled") {
      return fail(Fault::invalid_request, "status must be active or disabled", "status");
    }
    change.active = **status == "active";
  }
  return change;
}

}  // namespace

void WebhooksApi::add_routes(http::Router& router) {
  using http::Verb;
  const std::string all = "/v1/webhooks";
  const std::string one = "/v1/webhooks/{id}";
  router.add(Verb::get, all, reply([this](const http::Request& request) { return list(request); }));
  router.add(Verb::post, all, reply([this](const http::Request& request) { return create(request); }));
  router.add(Verb::get, one + "/deliveries",
             reply([this](const http::Request& request) { return deliveries(request); }));
  router.add(Verb::post, one + "/test", reply([this](const http::Request& request) { return test(request); }));
  router.add(Verb::post, one + "/rotate", reply([this](const http::Request& request) { return rotate(request); }));
  router.add(Verb::get, one, reply([this](const http::Request& request) { return show(request); }));
  router.add(Verb::patch, one, reply([this](const http::Request& request) { return change(request); }));
  router.add(Verb::delete_, one, reply([this](const http::Request& request) { return remove(request); }));
}

http::Response WebhooksApi::list(const http::Request& request) const {
  const auto caller = guard_.identify(request, identity::Scope::usage_read);
  if (!caller) return guard_.refuse(&request, caller.error());
  json data = json::array();
  for (const auto& endpoint : webhooks_.list(caller->account)) data.push_back(render(endpoint));
  http::Response response;
  response.body = json{{"object", "list"}, {"data", std::move(data)}}.dump();
  return response;
}

http::Response WebhooksApi::show(const http::Request& request) const {
  const auto caller = guard_.identify(request, identity::Scope::usage_read);
  if (!caller) return guard_.refuse(&request, caller.error());
  const auto endpoint = webhooks_.find(caller->account, request.parameters.at(0));
  if (!endpoint) return guard_.refuse(&request, endpoint.error());
  http::Response response;
  response.body = render(*endpoint).dump();
  return response;
}

awaitable<http::Response> WebhooksApi::create(const http::Request& request) {
  return answer(request, identity::Scope::keys_manage, 201, &WebhooksApi::create_for);
}
awaitable<http::Response> WebhooksApi::change(const http::Request& request) {
  return answer(request, identity::Scope::keys_manage, 200, &WebhooksApi::change_for);
}
awaitable<http::Response> WebhooksApi::rotate(const http::Request& request) {
  return answer(request, identity::Scope::keys_manage, 200, &WebhooksApi::rotate_for);
}
awaitable<http::Response> WebhooksApi::remove(const http::Request& request) {
  return answer(request, identity::Scope::keys_manage, 200, &WebhooksApi::remove_for);
}
awaitable<http::Response> WebhooksApi::test(const http::Request& request) {
  return answer(request, identity::Scope::keys_manage, 202, &WebhooksApi::test_for);
}
awaitable<http::Response> WebhooksApi::deliveries(const http::Request& request) {
  return answer(request, identity::Scope::usage_read, 200, &WebhooksApi::deliveries_for);
}

awaitable<http::Response> WebhooksApi::answer(const http::Request& request, identity::Scope scope, int status,
                                              Work work) {
  const auto caller = guard_.identify(request, scope);
  if (!caller) co_return guard_.refuse(&request, caller.error());
  if (scope == identity::Scope::keys_manage) {
    const auto verdict = changes_.admit(std::to_string(caller->account), clock_.now());
    if (!verdict.allowed) co_return guard_.refuse(&request, limits::too_many(verdict));
  }
  const auto result = co_await (this->*work)(*caller, request);
  if (!result) co_return guard_.refuse(&request, result.error());
  http::Response response;
  response.status = status;
  response.body = result->dump();
  response.headers.emplace_back("Cache-Control", "no-store");
  co_return response;
}

WebhooksApi::Answer WebhooksApi::create_for(const Caller& caller, const http::Request& request) {
  const auto body = read_object(request, max_body_bytes_, kBodySetting);
  if (!body) co_return std::unexpected(body.error());
  auto url = text(*body, "url");
  if (!url) co_return std::unexpected(std::move(url).error());
  const auto types = read_events(*body);
  if (!types) co_return std::unexpected(types.error());
  auto secret = optional_text(*body, "secret");
  if (!secret) co_return std::unexpected(std::move(secret).error());
  webhooks::NewEndpoint wanted{
      .account = caller.account, .url = *std::move(url), .types = *types, .secret = *std::move(secret)};
  const auto created = co_await webhooks_.create(std::move(wanted));
  if (!created) co_return std::unexpected(created.error());
  co_return render(*created);
}

WebhooksApi::Answer WebhooksApi::change_for(const Caller& caller, const http::Request& request) {
  const auto body = read_object(request, max_body_bytes_, kBodySetting);
  if (!body) co_return std::unexpected(body.error());
  auto change = read_change(*body);
  if (!change) co_return std::unexpected(std::move(change).error());
  const auto changed = co_await webhooks_.change(caller.account, request.parameters.at(0), *std::move(change));
  if (!changed) co_return std::unexpected(changed.error());
  co_return render(*changed);
}

WebhooksApi::Answer WebhooksApi::rotate_for(const Caller& caller, const http::Request& request) {
  json body = json::object();
  if (!request.body.empty()) {
    auto read = read_object(request, max_body_bytes_, kBodySetting);
    if (!read) co_return std::unexpected(std::move(read).error());
    body = *std::move(read);
  }
  auto secret = optional_text(body, "secret");
  if (!secret) co_return std::unexpected(std::move(secret).error());
  const auto rotated = co_await webhooks_.rotate(caller.account, request.parameters.at(0), *std::move(secret));
  if (!rotated) co_return std::unexpected(rotated.error());
  co_return render(*rotated);
}

WebhooksApi::Answer WebhooksApi::remove_for(const Caller& caller, const http::Request& request) {
  const std::string& id = request.parameters.at(0);
  if (auto removed = co_await webhooks_.remove(caller.account, id); !removed) {
    co_return std::unexpected(std::move(removed).error());
  }
  co_return json{{"object", "webhook"}, {"id", id}, {"deleted", true}};
}

WebhooksApi::Answer WebhooksApi::test_for(const Caller& caller, const http::Request& request) {
  const auto queued = co_await webhooks_.test(caller.account, request.parameters.at(0));
  if (!queued) co_return std::unexpected(queued.error());
  co_return render(*queued);
}

WebhooksApi::Answer WebhooksApi::deliveries_for(const Caller& caller, const http::Request& request) {
  const auto paging = read_paging(request);
  if (!paging) co_return std::unexpected(paging.error());
  const auto page =
      co_await webhooks_.deliveries(caller.account, request.parameters.at(0), paging->limit, paging->before);
  if (!page) co_return std::unexpected(page.error());
  json data = json::array();
  for (const auto& delivery : page->deliveries) data.push_back(render(delivery));
  co_return json{{"object", "list"}, {"data", std::move(data)}, {"next_cursor", cursor_or_null(page->next_cursor)}};
}

}  // namespace turnpike::api
