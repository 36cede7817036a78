// Webhooks over real sockets: who is told, how, how often, and who is not called.
#include <gmock/gmock.h>

#include <algorithm>
#include <csignal>
#include <ctime>
#include <fstream>

#include "common/payer.hpp"
#include "support/json_server.hpp"
#include "support/network.hpp"
#include "turnpike/base/encoding.hpp"
#include "turnpike/webhooks/signature.hpp"

namespace turnpike::test {
namespace {

using nlohmann::json;
using Asked = JsonServer::Asked;
using Reply = JsonServer::Reply;

std::string field(const Asked& asked, const std::string& name) {
  const auto at = asked.head.find("\r\n" + name + ": ");
  if (at == std::string::npos) return "";
  const auto from = at + name.size() + 4;
  return asked.head.substr(from, asked.head.find("\r\n", from) - from);
}

class Webhooks : public NetworkTest {
 protected:
  Webhooks() { config["webhooks"] = {{"allow_private_targets", true}}; }

  Answer send(const std::string& method, const std::string& path, const json& body = json::object()) const {
    return call(address, method, "/v1/webhooks" + path, bearer(key), body.dump());
  }
  // The endpoint as its creation showed it.
  json create(const std::string& url, const json& events = {"credit.topup"}) const {
    const auto made = send("POST", "", {{"url", url}, {"events", events}});
    EXPECT_EQ(made.status, 201) << made.body;
    return made.json();
  }
  [[nodiscard]] std::string path_of(const json& hook) const { return "/" + hook["id"].get<std::string>(); }
  [[nodiscard]] json show(const json& hook) const { return get(key, "/v1/webhooks" + path_of(hook)); }
  void test(const json& hook) const { EXPECT_EQ(send("POST", path_of(hook) + "/test").status, 202); }
  [[nodiscard]] json newest(const json& hook) const {
    const auto listed = get(key, "/v1/webhooks" + path_of(hook) + "/deliveries");
    return listed["data"].empty() ? json::object() : listed["data"][0];
  }
  // The newest delivery once it was tried, and did not go well.
  [[nodiscard]] json failed(const json& hook) const {
    json delivery;
    EXPECT_TRUE(eventually([&] {
      delivery = newest(hook);
      return delivery.value("attempts", 0) > 0;
    }));
    EXPECT_EQ(delivery["state"], "pending") << delivery;
    return delivery;
  }
  void start() {
    start_gateway();
    key = create_key("0");
  }
  // The outcome's count.
  [[nodiscard]] std::string metrics() const { return call(admin, "GET", "/metrics", {}).body; }

  std::string key;
  JsonServer server{[](const Asked&) { return Reply{.status = 204}; }};
};

TEST_F(Webhooks, an_endpoint_gets_what_it_asked_for_signed_by_the_secret_it_was_shown) {
  start();
  const auto hook = create(server.url() + "/in?for=me");
  test(hook);
  ASSERT_TRUE(eventually([&] { return newest(hook)["state"] == "delivered"; }));
  const auto asked = server.asked();
  ASSERT_EQ(asked.size(), 1U);
  EXPECT_EQ(asked[0].path, "/in?for=me");
  EXPECT_EQ(field(asked[0], "Content-Type"), "application/json");
  EXPECT_EQ(asked[0].body["type"], "webhook.test");
  EXPECT_EQ(asked[0].body["data"]["webhook_id"], hook["id"]);
  const auto timestamp = std::stol(field(asked[0], "webhook-timestamp"));
  EXPECT_NEAR(static_cast<double>(timestamp), static_cast<double>(std::time(nullptr)), 30);
  const auto secret = webhooks::read_secret(hook["secret"].get<std::string>()).value();
  EXPECT_EQ(field(asked[0], "webhook-signature"),
            webhooks::sign(secret, field(asked[0], "webhook-id"), timestamp, asked[0].text));
  EXPECT_EQ(newest(hook)["event_id"], field(asked[0], "webhook-id"));
  EXPECT_THAT(metrics(), testing::HasSubstr("turnpike_webhook_attempts_total{outcome=\"delivered\"} 1\n"));
  EXPECT_EQ(metric("turnpike_webhook_pending"), 0);
  EXPECT_EQ(metric("turnpike_webhook_endpoints"), 1);
}

TEST_F(Webhooks, low_credits_are_told_once_for_each_time_that_a_charge_takes_them_there) {
  add_node();
  config["models"][0]["pricing"] = {{"per_request_usd", "0.01"}};
  config["ledger"] = {{"low_threshold_usd", "0.05"}};
  start_gateway();
  key = create_key("6");
  create(server.url(), {"credit.low"});
  for (int i = 0; i < 4; ++i) EXPECT_EQ(ask(key, chat("hello")).status, 200);
  ASSERT_TRUE(eventually([&] { return server.count("/") == 1; }));
  const auto told = server.asked()[0].body;
  EXPECT_EQ(told["type"], "credit.low");
  EXPECT_EQ(told["data"], (json{{"threshold_usdc", "0.05"},
                                {"balance", 4},
                                {"balance_usdc", "0.04"},
                                {"job_id", charges(key)[2]["job_id"]}}));
  EXPECT_EQ(metric("turnpike_low_credits_total"), 1);
}

TEST_F(Webhooks, an_endpoint_that_hangs_delays_no_other) {
  JsonServer slow([](const Asked&) { return Reply{.status = 204}; });
  slow.hold();
  start();
  const auto first = create(slow.url());
  const auto second = create(server.url());
  for (int i = 0; i < 3; ++i) test(first);
  EXPECT_TRUE(eventually([&] { return slow.count("/") == 1; }));
  for (int i = 0; i < 3; ++i) test(second);
  EXPECT_TRUE(eventually([&] { return server.count("/") == 3; }));
  EXPECT_EQ(slow.count("/"), 1) << "one after the other";
  EXPECT_TRUE(eventually([&] { return metric("turnpike_webhook_running") == 1; }));
  EXPECT_EQ(metric("turnpike_webhook_pending"), 3);
  slow.release();
  EXPECT_TRUE(eventually([&] { return slow.count("/") == 3; }));
}

TEST_F(Webhooks, an_endpoint_that_does_not_answer_in_time_is_asked_again) {
  config["webhooks"]["timeout_ms"] = 200;
  server.hold();
  start();
  const auto hook = create(server.url());
  test(hook);
  EXPECT_EQ(failed(hook)["error"], "it did not answer in time");
  server.release();
}

TEST_F(Webhooks, an_endpoint_that_is_gone_is_disabled) {
  server.answer_by([](const Asked&) { return Reply{.status = 410}; });
  start();
  const auto hook = create(server.url());
  test(hook);
  ASSERT_TRUE(eventually([&] { return show(hook)["status"] == "disabled"; }));
  EXPECT_EQ(show(hook)["disabled_reason"], "it answered with status 410");
  EXPECT_EQ(send("POST", path_of(hook) + "/test").status, 409);
}

TEST_F(Webhooks, a_retry_after_is_waited_for_and_a_redirect_leads_nowhere) {
  JsonServer elsewhere([](const Asked&) { return Reply{.status = 204}; });
  start();
  server.answer_by([](const Asked&) { return Reply{.status = 503, .head = "Retry-After: 1234\r\n"}; });
  const auto hook = create(server.url());
  test(hook);
  const auto busy = failed(hook);
  EXPECT_EQ(busy["response_status"], 503);
  const auto pause = parse_rfc3339(busy["next_attempt_at"].get<std::string>()).value() / 1'000'000 - std::time(nullptr);
  EXPECT_NEAR(static_cast<double>(pause), 1234, 30);
  server.answer_by(
      [&](const Asked&) { return Reply{.status = 307, .head = "Location: " + elsewhere.url() + "/there\r\n"}; });
  test(hook);  // the oldest is tried at once
  ASSERT_TRUE(eventually([&] {
    const auto listed = get(key, "/v1/webhooks" + path_of(hook) + "/deliveries");
    return listed["data"][1]["attempts"] == 2;
  }));
  const auto listed = get(key, "/v1/webhooks" + path_of(hook) + "/deliveries");
  EXPECT_EQ(listed["data"][1]["error"], "it answered with status 307; redirects are not followed");
  EXPECT_TRUE(elsewhere.asked().empty());
}

TEST_F(Webhooks, an_answer_counts_by_its_status_however_long_its_body_is) {
  config["webhooks"]["max_answer_bytes"] = 1'000;
  server.answer_by([](const Asked&) { return Reply{.status = 200, .body = std::string(5'000'000, 'x')}; });
  start();
  const auto hook = create(server.url());
  test(hook);
  EXPECT_TRUE(eventually([&] { return newest(hook)["state"] == "delivered"; }));
}

TEST_F(Webhooks, a_kill_in_mid_delivery_delivers_again_under_the_same_id) {
  expect_clean_exit = false;
  server.hold();
  start();
  const auto hook = create(server.url());
  test(hook);
  ASSERT_TRUE(eventually([&] { return server.count("/") == 1; }));
  gateway->signal(SIGKILL);
  gateway->wait();
  server.release();
  start_gateway();
  ASSERT_TRUE(eventually([&] { return newest(hook)["state"] == "delivered"; }));
  const auto asked = server.asked();
  ASSERT_EQ(asked.size(), 2U);
  EXPECT_EQ(field(asked[0], "webhook-id"), field(asked[1], "webhook-id"));
  EXPECT_EQ(asked[0].text, asked[1].text);
  const auto secret = webhooks::read_secret(hook["secret"].get<std::string>()).value();
  EXPECT_EQ(field(asked[1], "webhook-signature"),
            webhooks::sign(secret, field(asked[1], "webhook-id"), std::stol(field(asked[1], "webhook-timestamp")),
                           asked[1].text))
      << "the secret is the same after a restart";
}

TEST_F(Webhooks, a_stop_in_a_pause_ends_in_time) {
  server.answer_by([](const Asked&) { return Reply{.status = 503, .head = "Retry-After: 1234\r\n"}; });
  start();
  const auto hook = create(server.url());
  test(hook);
  EXPECT_EQ(failed(hook)["attempts"], 1);
  gateway->signal(SIGTERM);
  EXPECT_EQ(gateway->wait(std::chrono::seconds(5)), 0);
}

TEST_F(Webhooks, a_stop_in_mid_delivery_ends_in_time) {
  server.hold();
  start();
  const auto hook = create(server.url());
  test(hook);
  ASSERT_TRUE(eventually([&] { return server.count("/") == 1; }));
  gateway->signal(SIGTERM);
  EXPECT_EQ(gateway->wait(std::chrono::seconds(5)), 0);
  server.release();
}

TEST_F(Webhooks, a_top_up_is_told_to_its_own_account) {
  const Payer payer;
  JsonServer facilitator([](const Asked& asked) {
    return Reply{.body = asked.path == "/verify" ? R"({"isValid":true})"
                                                 : R"({"success":true,"network":"base-sepolia","transaction":"0x)" +
                                                       std::string(64, 'b') + R"("})"};
  });
  config["payments"] = {
      {"pay_to", kPayTo},
      {"facilitator", facilitator.url()},
      {"networks", {{{"name", "base-sepolia"}, {"chain_id", 84532}, {"asset", kAsset}, {"asset_name", "USDC"}}}}};
  start();
  const auto hook = create(server.url() + "/own");
  const auto payer_key = key;
  key = create_key("0");
  create(server.url() + "/other");
  key = payer_key;
  auto headers = bearer(key);
  headers.emplace_back("X-PAYMENT",
                       header_of(payer.payment(payer.transfer(static_cast<std::uint64_t>(std::time(nullptr))))));
  ASSERT_EQ(call(address, "POST", "/v1/credits/topup", headers, R"({"amount":"10"})").status, 200);
  ASSERT_TRUE(eventually([&] { return server.count("/own") == 1; }));
  const auto event = server.asked()[0].body;
  EXPECT_EQ(event["type"], "credit.topup");
  EXPECT_EQ(event["data"]["credits_added"], 1000);
  EXPECT_EQ(event["data"]["balance_usdc"], "10.00");
  EXPECT_EQ(event["data"]["txHash"], "0x" + std::string(64, 'b'));
  EXPECT_EQ(server.count("/other"), 0);
}

TEST_F(Webhooks, private_targets_are_refused_by_their_address_when_they_are_named_and_when_they_are_called) {
  config.erase("webhooks");
  start();
  const auto port = std::to_string(server.port());
  for (const auto& url :
       {"http://127.0.0.1:" + port, "http://[::1]:" + port, "http://[::ffff:127.0.0.1]:" + port,
        "http://0.0.0.0:" + port, "http://2130706433:" + port, "http://0x7f000001:" + port, "http://0177.0.0.1:" + port,
        "http://127.1:" + port, "http://user:pass@localhost:" + port, std::string("http://169.254.169.254/"),
        std::string("http://10.0.0.1/"), std::string("ftp://localhost/")}) {
    const auto refused = send("POST", "", {{"url", url}, {"events", {"credit.topup"}}});
    EXPECT_EQ(refused.status, 400) << url;
    EXPECT_EQ(refused.json()["error"]["param"], "url");
  }
  const auto hook = create("http://localhost:" + port);
  test(hook);
  EXPECT_EQ(failed(hook)["error"], "its address is not one that may be called");
  EXPECT_TRUE(server.asked().empty());
}

TEST_F(Webhooks, a_name_that_turns_to_a_private_address_later_is_refused_then) {
  // Nobody answers at the first address, which is public; the test's server listens at the second.
  config["webhooks"] = {{"timeout_ms", 300}};
  start_gateway(
      {.environment = {{"LD_PRELOAD", TURNPIKE_TEST_NAMES},
                       {"TURNPIKE_TEST_NAMES", "turns.example=25.0.0.1,127.0.0.1;both.example=25.0.0.1+127.0.0.1"}}});
  key = create_key("0");
  const auto port = std::to_string(server.port());
  const auto turns = create("http://turns.example:" + port);
  test(turns);
  EXPECT_NE(failed(turns)["error"], "its address is not one that may be called");
  EXPECT_EQ(send("PATCH", path_of(turns), {{"status", "active"}}).status, 200);  // at once once more
  ASSERT_TRUE(eventually([&] { return newest(turns)["attempts"] == 2; }));
  EXPECT_EQ(newest(turns)["error"], "its address is not one that may be called");
  const auto both = create("http://both.example:" + port);
  test(both);
  EXPECT_EQ(failed(both)["error"], "its address is not one that may be called");
  EXPECT_TRUE(server.asked().empty());
}

TEST_F(Webhooks, a_target_under_tls_must_show_a_certificate_of_its_name) {
  const auto certificate = folder.file("cert.pem");
  ASSERT_NO_FATAL_FAILURE(make_certificate(certificate, folder.file("key.pem")));
  const auto both = folder.file("both.pem");
  std::ofstream(both) << std::ifstream(certificate).rdbuf() << std::ifstream(folder.file("key.pem")).rdbuf();
  JsonServer secure([](const Asked&) { return Reply{.status = 204}; }, both);
  config["webhooks"]["ca_file"] = certificate;
  start();
  const auto other = create("https://127.0.0.1:" + std::to_string(secure.port()));
  test(other);
  EXPECT_THAT(failed(other)["error"].get<std::string>(), testing::HasSubstr("no TLS connection"));
  EXPECT_TRUE(secure.asked().empty());
  const auto named = create("https://localhost:" + std::to_string(secure.port()));
  test(named);
  EXPECT_TRUE(eventually([&] { return newest(named)["state"] == "delivered"; }));
  EXPECT_TRUE(eventually([&] { return secure.said_end() == 1; })) << "a TLS connection does not end in silence";
}

}  // namespace
}  // namespace turnpike::test
