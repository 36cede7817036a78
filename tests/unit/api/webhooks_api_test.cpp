#include "turnpike/api/webhooks_api.hpp"

#include <memory>
#include <string>
#include <utility>

#include "api_fixture.hpp"
#include "turnpike/base/deadlines.hpp"
#include "turnpike/base/task_group.hpp"
#include "turnpike/events/subscriptions.hpp"

namespace turnpike::api {
namespace {

using boost::asio::awaitable;
using nlohmann::json;
using test::Asked;

// The deliveries themselves are the room webhooks' to test: here they are never begun.
class WebhooksApiTest : public test::ApiTest {
 protected:
  void SetUp() override {
    ApiTest::SetUp();
    const auto send = [](http::Place, http::Post,
                         std::stop_token) -> awaitable<std::expected<http::PostAnswer, std::string>> {
      co_return http::PostAnswer{.status = 204};
    };
    hooks = webhooks::Webhooks::open(loop.executor(), deadlines, tasks, *database, subscriptions, send,
                                     {.key_file = folder.file("webhooks.key"),
                                      .max_endpoints = 10,
                                      .max_endpoints_per_account = 2,
                                      .max_pending = 10,
                                      .max_concurrent = 0,
                                      .max_url_bytes = 100,
                                      .rotation_grace = std::chrono::hours(1),
                                      .retention = std::chrono::hours(1)})
                .value();
    api = std::make_unique<WebhooksApi>(
        *guard, *hooks, clock, WebhookLimits{.max_body_bytes = 1'000, .changes_per_minute = 20, .max_accounts = 10});
    key = make_key();
  }
  void TearDown() override {
    api = nullptr;
    hooks = nullptr;
    ApiTest::TearDown();
  }
  using Route = awaitable<http::Response> (WebhooksApi::*)(const http::Request&);
  http::Response call(Route route, const std::string& with, const std::string& id = "", const std::string& body = "",
                      const std::string& query = "") {
    Asked asked;
    asked.key(with).field("Accept", "application/json").body(body).query(query);
    if (!id.empty()) asked.parameter(id);
    return loop.run((api.get()->*route)(asked.request()));
  }
  http::Response create(const json& body) { return call(&WebhooksApi::create, key, "", body.dump()); }
  http::Response change(const std::string& id, const json& body) {
    return call(&WebhooksApi::change, key, id, body.dump());
  }
  json show(const std::string& id) {
    return json_of(api->show(Asked().key(key).field("Accept", "application/json").parameter(id).request()));
  }
  static std::string param(const http::Response& response) {
    const auto body = json_of(response);
    return body["error"]["param"].is_string() ? body["error"]["param"].get<std::string>() : "";
  }

  Deadlines deadlines{loop.executor(), clock};
  TaskGroup tasks{loop.executor()};
  events::Subscriptions subscriptions;
  std::unique_ptr<webhooks::Webhooks> hooks;
  std::unique_ptr<WebhooksApi> api;
  std::string key;
  const json good = {{"url", "https://hooks.example/in"}, {"events", {"job.completed", "credit.low"}}};
};

TEST_F(WebhooksApiTest, reading_needs_usage_read_and_all_else_keys_manage) {
  const auto id = json_of(create(good))["id"].get<std::string>();
  const auto reader = make_key(with_scopes("usage:read"));
  Asked request;
  request.key(reader).parameter(id);
  EXPECT_EQ(api->list(request.request()).status, 200);
  EXPECT_EQ(api->show(request.request()).status, 200);
  EXPECT_EQ(call(&WebhooksApi::deliveries, reader, id).status, 200);
  for (const Route route :
       {&WebhooksApi::create, &WebhooksApi::change, &WebhooksApi::rotate, &WebhooksApi::remove, &WebhooksApi::test}) {
    EXPECT_EQ(call(route, reader, id, good.dump()).status, 403);
    EXPECT_EQ(call(route, "", id, good.dump()).status, 401);
  }
  const auto other = make_key(with_scopes("keys:manage chat:write"));
  EXPECT_EQ(api->list(Asked().key(other).request()).status, 403);
  EXPECT_EQ(hooks->list(account).size(), 1U);
}

TEST_F(WebhooksApiTest, a_secret_is_shown_when_it_is_made_and_never_again) {
  const auto created = create(good);
  EXPECT_EQ(created.status, 201);
  EXPECT_EQ(header_of(created, "Cache-Control"), "no-store");
  const auto made = json_of(created);
  EXPECT_TRUE(made["id"].get<std::string>().starts_with("wh_"));
  EXPECT_EQ(made["url"], "https://hooks.example/in");
  EXPECT_EQ(made["events"], json({"job.completed", "credit.low"}));
  EXPECT_EQ(made["status"], "active");
  EXPECT_TRUE(made["secret"].get<std::string>().starts_with("whsec_"));
  EXPECT_FALSE(show(made["id"]).contains("secret"));
  const auto rotated = call(&WebhooksApi::rotate, key, made["id"]);
  EXPECT_EQ(rotated.status, 200);
  EXPECT_NE(json_of(rotated)["secret"], made["secret"]);
  EXPECT_TRUE(json_of(rotated)["old_secret_expires_at"].is_string());
  EXPECT_FALSE(show(made["id"]).contains("secret"));
}

TEST_F(WebhooksApiTest, what_is_wrong_is_named) {
  const auto refused = [&](json body) { return param(create(body)); };
  EXPECT_EQ(refused({{"events", {"credit.low"}}}), "url");
  EXPECT_EQ(refused({{"url", 7}, {"events", {"credit.low"}}}), "url");
  EXPECT_EQ(refused({{"url", "https://127.0.0.1/"}, {"events", {"credit.low"}}}), "url");
  EXPECT_EQ(refused({{"url", "https://hooks.example/" + std::string(100, 'a')}, {"events", {"credit.low"}}}), "url");
  EXPECT_EQ(refused({{"url", "https://hooks.example/"}}), "events");
  EXPECT_EQ(refused({{"url", "https://hooks.example/"}, {"events", json::array()}}), "events");
  EXPECT_EQ(refused({{"url", "https://hooks.example/"}, {"events", {"credit.low", "credit.high"}}}), "events[1]");
  EXPECT_EQ(refused({{"url", "https://hooks.example/"}, {"events", {"credit.low"}}, {"secret", "mine"}}), "secret");
  EXPECT_EQ(call(&WebhooksApi::create, key, "", "[]").status, 400);
  EXPECT_EQ(call(&WebhooksApi::create, key, "", std::string(1'001, ' ')).status, 413);
  EXPECT_TRUE(hooks->list(account).empty());
}

TEST_F(WebhooksApiTest, a_change_changes_what_it_names) {
  const auto id = json_of(create(good))["id"].get<std::string>();
  EXPECT_EQ(json_of(change(id, {{"events", {"credit.topup"}}}))["events"], json({"credit.topup"}));
  EXPECT_EQ(json_of(change(id, {{"status", "disabled"}}))["disabled_reason"], "by its owner");
  EXPECT_EQ(json_of(change(id, {{"url", "https://other.example/"}}))["status"], "disabled");
  const auto after = json_of(change(id, {{"status", "active"}}));
  EXPECT_EQ(after["status"], "active");
  EXPECT_EQ(after["url"], "https://other.example/");
  EXPECT_EQ(param(change(id, {{"status", "asleep"}})), "status");
  EXPECT_EQ(param(change(id, {{"url", "http://10.0.0.1/"}})), "url");
  EXPECT_EQ(param(change(id, {{"events", nullptr}})), "events");
  EXPECT_EQ(show(id)["url"], "https://other.example/");
}

TEST_F(WebhooksApiTest, one_more_than_an_account_may_have_is_a_conflict) {
  EXPECT_EQ(create(good).status, 201);
  EXPECT_EQ(create(good).status, 201);
  EXPECT_EQ(create(good).status, 409);
}

TEST_F(WebhooksApiTest, a_test_is_queued_and_listed) {
  const auto id = json_of(create(good))["id"].get<std::string>();
  const auto queued = call(&WebhooksApi::test, key, id);
  EXPECT_EQ(queued.status, 202);
  const auto listed = json_of(call(&WebhooksApi::deliveries, key, id));
  EXPECT_EQ(listed["data"][0]["event_id"], json_of(queued)["event_id"]);
  EXPECT_EQ(listed["data"][0]["type"], "webhook.test");
  EXPECT_EQ(listed["next_cursor"], nullptr);
  EXPECT_EQ(param(call(&WebhooksApi::deliveries, key, id, "", "limit=0")), "limit");
  EXPECT_EQ(param(call(&WebhooksApi::deliveries, key, id, "", "cursor=x")), "cursor");
}

TEST_F(WebhooksApiTest, an_account_makes_the_gateway_call_others_no_oftener_than_it_may) {
  const auto id = json_of(create(good))["id"].get<std::string>();
  for (int i = 0; i < 19; ++i) EXPECT_LT(call(&WebhooksApi::test, key, id).status, 410) << i;
  EXPECT_EQ(call(&WebhooksApi::test, key, id).status, 429);
  EXPECT_EQ(change(id, {{"status", "active"}}).status, 429);
  EXPECT_EQ(call(&WebhooksApi::deliveries, key, id).status, 200) << "reading is free";
  clock.advance(std::chrono::seconds(3));
  EXPECT_EQ(change(id, {{"status", "active"}}).status, 200);
}

TEST_F(WebhooksApiTest, what_is_removed_is_not_there) {
  const auto id = json_of(create(good))["id"].get<std::string>();
  EXPECT_EQ(call(&WebhooksApi::remove, key, id).status, 200);
  EXPECT_EQ(call(&WebhooksApi::remove, key, id).status, 404);
  EXPECT_EQ(change(id, {{"status", "active"}}).status, 404);
  EXPECT_EQ(call(&WebhooksApi::test, key, id).status, 404);
}

}  // namespace
}  // namespace turnpike::api
