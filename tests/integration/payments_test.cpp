// Topping up by x402, over real sockets, with a facilitator that does what the test says.
#include <gmock/gmock.h>

#include <csignal>
#include <ctime>
#include <fstream>
#include <map>
#include <sstream>

#include "common/payer.hpp"
#include "support/json_server.hpp"
#include "support/network.hpp"

namespace turnpike::test {
namespace {

using nlohmann::json;
using Asked = JsonServer::Asked;
using Reply = JsonServer::Reply;

const std::string kTransaction = "0x" + std::string(64, 'b');

Reply valid() {
  return {.body = R"({"isValid":true})"};
}
Reply settled(const json& more = json::object()) {
  json body = {{"success", true}, {"transaction", kTransaction}, {"network", "base-sepolia"}};
  body.update(more);
  return {.body = body.dump()};
}

class Payments : public NetworkTest {
 protected:
  Payments() {
    config["payments"] = {
        {"pay_to", kPayTo},
        {"facilitator", facilitator.url()},
        {"networks", {{{"name", "base-sepolia"}, {"chain_id", 84532}, {"asset", kAsset}, {"asset_name", "USDC"}}}},
        {"first_retry_ms", 50},
        {"max_retry_ms", 100}};
    config["network"] = {{"public_url", "https://gate.example"}};
  }

  [[nodiscard]] Transfer transfer(char nonce = '7') const {
    auto out = payer.transfer(static_cast<std::uint64_t>(std::time(nullptr)));
    out.nonce = "0x" + std::string(64, nonce);
    return out;
  }
  Answer top_up(const std::string& key, const Headers& more = {}, const std::string& amount = "10") const {
    Headers headers = bearer(key);
    headers.insert(headers.end(), more.begin(), more.end());
    return call(address, "POST", "/v1/credits/topup", headers, json{{"amount", amount}}.dump());
  }
  Answer pay(const std::string& key, const Transfer& what) const {
    return top_up(key, {{"X-PAYMENT", header_of(payer.payment(what))}});
  }
  Answer pay_v2(const std::string& key, const Transfer& what) const {
    return top_up(key, {{"PAYMENT-SIGNATURE", header_of(payer.payment_v2(what))}});
  }
  // A 402 that says why, and nothing was credited or asked to be settled.
  void expect_refused(const std::string& key, const Answer& answer, const std::string& why) {
    EXPECT_EQ(answer.status, 402) << answer.body;
    EXPECT_EQ(answer.json()["error"], why);
    EXPECT_EQ(answer.json()["accepts"][0]["maxAmountRequired"], "10000000");
    const auto second = json::parse(from_base64(answer.header("payment-required")).value());
    EXPECT_EQ(second["error"], why);
    EXPECT_EQ(balance_usdc(key), "0.00");
    EXPECT_EQ(facilitator.count("/settle"), 0);
  }
  [[nodiscard]] Finished turnpike(std::vector<std::string> words) const {
    words.insert(words.begin(), std::string(TURNPIKE_BINARY_DIR) + "/turnpike");
    words.insert(words.end(), {"--config", folder.file("turnpike.json")});
    return run(words, folder.file("command.log"));
  }

  Payer payer;
  JsonServer facilitator{[](const Asked& asked) { return asked.path == "/verify" ? valid() : settled(); }};
};

TEST_F(Payments, without_a_payment_a_client_is_told_how_to_pay_in_either_version) {
  start_gateway();
  const auto key = create_key("0");
  const auto answer = top_up(key);
  EXPECT_EQ(answer.status, 402);
  EXPECT_EQ(answer.header("content-type"), "application/json");
  EXPECT_EQ(answer.header("cache-control"), "no-store");
  const auto body = answer.json();
  EXPECT_EQ(body["x402Version"], 1);
  EXPECT_EQ(body["error"], "X-PAYMENT header is required");
  EXPECT_EQ(body["accepts"][0]["network"], "base-sepolia");
  EXPECT_EQ(body["accepts"][0]["maxAmountRequired"], "10000000");
  EXPECT_EQ(body["accepts"][0]["payTo"], kPayTo);
  EXPECT_EQ(body["accepts"][0]["resource"], "https://gate.example/v1/credits/topup");
  const auto second = json::parse(from_base64(answer.header("payment-required")).value());
  EXPECT_EQ(second["x402Version"], 2);
  EXPECT_EQ(second["accepts"][0]["network"], "eip155:84532");
  EXPECT_EQ(second["accepts"][0]["amount"], "10000000");
  EXPECT_EQ(top_up(key, {}, "1.5").json()["accepts"][0]["maxAmountRequired"], "1500000");
  EXPECT_TRUE(facilitator.asked().empty());
}

TEST_F(Payments, a_payment_of_either_version_becomes_credits) {
  config["payments"]["facilitator_key_env"] = "FACILITATOR_KEY";
  start_gateway({.environment = {{"FACILITATOR_KEY", "let-me-in"}}});
  const auto key = create_key("0");
  // Signed once: another second makes another payment of it.
  const auto payment = payer.payment(transfer('1'));
  const auto first = top_up(key, {{"X-PAYMENT", header_of(payment)}});
  ASSERT_EQ(first.status, 200) << first.body;
  EXPECT_EQ(first.json()["credits_added"], 1000);
  EXPECT_EQ(first.json()["balance"], 1000);
  EXPECT_EQ(first.json()["balance_usdc"], "10.00");
  EXPECT_EQ(first.json()["txHash"], kTransaction);
  const auto settlement = json::parse(from_base64(first.header("x-payment-response")).value());
  EXPECT_EQ(
      settlement,
      (json{
          {"success", true}, {"transaction", kTransaction}, {"network", "base-sepolia"}, {"payer", payer.address()}}));

  facilitator.answer_by(
      [](const Asked& asked) { return asked.path == "/verify" ? valid() : settled({{"network", "eip155:84532"}}); });
  const auto second = pay_v2(key, transfer('2'));
  ASSERT_EQ(second.status, 200) << second.body;
  EXPECT_EQ(second.json()["balance"], 2000);
  EXPECT_EQ(json::parse(from_base64(second.header("payment-response")).value())["network"], "eip155:84532");

  const auto asked = facilitator.asked();
  ASSERT_EQ(asked.size(), 4U);
  EXPECT_THAT(asked[0].head, testing::HasSubstr("Authorization: Bearer let-me-in"));
  EXPECT_EQ(asked[0].body, asked[1].body) << "what is settled is what was verified";
  EXPECT_EQ(asked[0].body["paymentPayload"], payment);
  EXPECT_EQ(asked[2].body["x402Version"], 2);

  const auto history = get(key, "/v1/credits/history")["data"];
  ASSERT_EQ(history.size(), 2U);
  EXPECT_EQ(history[0]["type"], "topup");
  EXPECT_EQ(history[0]["amount_usdc"], "10.00");
  EXPECT_EQ(history[0]["tx_hash"], kTransaction);
  EXPECT_EQ(history[0]["payment_id"], second.json()["payment_id"]);
  EXPECT_TRUE(history[0]["job_id"].is_null());
  EXPECT_EQ(metric("turnpike_payments_credited_total"), 2);
}

TEST_F(Payments, the_same_payment_ten_times_at_once_and_later_is_credited_once) {
  start_gateway();
  const auto key = create_key("0");
  const auto header = header_of(payer.payment(transfer()));
  facilitator.hold();
  std::vector<Client> clients;
  for (int i = 0; i < 10; ++i) {
    Headers headers = bearer(key);
    headers.emplace_back("X-PAYMENT", header);
    clients.emplace_back(address).request("POST", "/v1/credits/topup", headers, R"({"amount":"10"})");
  }
  facilitator.release();
  for (auto& client : clients) {
    const auto answer = client.read_answer();
    EXPECT_EQ(answer.status, 200) << answer.body;
    EXPECT_EQ(answer.json()["credits_added"], 1000);
    EXPECT_EQ(answer.json()["txHash"], kTransaction);
  }
  EXPECT_EQ(balance_usdc(key), "10.00");
  EXPECT_EQ(facilitator.count("/settle"), 1);

  ASSERT_EQ(stop_gateway(), 0);
  start_gateway();
  EXPECT_EQ(top_up(key, {{"X-PAYMENT", header}}).status, 200);
  EXPECT_EQ(balance_usdc(key), "10.00");
  const auto stranger = create_key("0");
  const auto refused = top_up(stranger, {{"X-PAYMENT", header}});
  EXPECT_EQ(refused.status, 402);
  EXPECT_EQ(refused.json()["error"], "invalid_exact_evm_nonce_already_used");
  EXPECT_EQ(balance_usdc(stranger), "0.00");
  EXPECT_EQ(facilitator.count("/settle"), 1);
}

TEST_F(Payments, what_is_wrong_with_a_payment_is_said_before_anybody_is_asked) {
  start_gateway();
  const auto key = create_key("0");
  const auto good = transfer();
  auto bad = good;
  bad.to = kAsset;
  expect_refused(key, pay(key, bad), "invalid_exact_evm_payload_recipient_mismatch");
  bad = good;
  bad.asset = kPayTo;
  expect_refused(key, pay(key, bad), "invalid_exact_evm_payload_signature");
  expect_refused(key, pay_v2(key, bad), "invalid_payment_requirements");
  bad = good;
  bad.value = "9999999";
  expect_refused(key, pay(key, bad), "invalid_exact_evm_payload_authorization_value");
  bad = good;
  bad.valid_before = bad.valid_after + 1;
  expect_refused(key, pay(key, bad), "invalid_exact_evm_payload_authorization_valid_before");
  bad = good;
  bad.valid_after = good.valid_before - 1;
  expect_refused(key, pay(key, bad), "invalid_exact_evm_payload_authorization_valid_after");
  auto payment = payer.payment(good);
  payment["network"] = "base";
  expect_refused(key, top_up(key, {{"X-PAYMENT", header_of(payment)}}), "invalid_network");
  payment = Payer(0x47).payment(good);
  expect_refused(key, top_up(key, {{"X-PAYMENT", header_of(payment)}}), "invalid_exact_evm_payload_signature");
  EXPECT_TRUE(facilitator.asked().empty());
}

TEST_F(Payments, an_unreadable_header_or_amount_is_a_400_that_names_it) {
  start_gateway();
  const auto key = create_key("0");
  const auto expect = [&](const Answer& answer, const std::string& param) {
    EXPECT_EQ(answer.status, 400) << answer.body;
    EXPECT_EQ(answer.json()["error"]["param"], param) << answer.body;
  };
  for (const std::string& header :
       {std::string("%%%"), std::string("e30"), to_base64("{"), to_base64("[]"), to_base64("{}")}) {
    expect(top_up(key, {{"X-PAYMENT", header}}), "X-PAYMENT");
    expect(top_up(key, {{"PAYMENT-SIGNATURE", header}}), "PAYMENT-SIGNATURE");
  }
  expect(top_up(key, {{"X-PAYMENT", std::string(9000, 'A')}}), "X-PAYMENT");
  const auto header = header_of(payer.payment(transfer()));
  expect(top_up(key, {{"X-PAYMENT", header}, {"PAYMENT-SIGNATURE", header}}), "PAYMENT-SIGNATURE");
  for (const auto* amount : {"", "0", "-1", "ten", "1e1", "0.99", "1000.01", "1.0000001", "99999999999999999999"}) {
    expect(top_up(key, {}, amount), "amount");
  }
  EXPECT_EQ(call(address, "POST", "/v1/credits/topup", bearer(key), R"({"amount":10})").status, 400);
  EXPECT_EQ(call(address, "POST", "/v1/credits/topup", bearer(key), "{").status, 400);
  EXPECT_EQ(call(address, "POST", "/v1/credits/topup", bearer(key), std::string(2000, ' ')).status, 413);
  EXPECT_EQ(call(address, "POST", "/v1/credits/topup", {}, R"({"amount":"10"})").status, 401);
  EXPECT_EQ(top_up(create_key("0", {"--scopes", "chat:write"})).status, 403);
  EXPECT_TRUE(facilitator.asked().empty());
}

TEST_F(Payments, a_facilitator_that_is_away_slow_or_broken_before_the_settlement_takes_nothing) {
  config["payments"]["verify_timeout_ms"] = 200;
  start_gateway();
  const auto key = create_key("0");
  const auto expect_untouched = [&](const Answer& answer) {
    EXPECT_EQ(answer.status, 503) << answer.body;
    EXPECT_THAT(answer.body, testing::HasSubstr("Nothing was taken"));
    EXPECT_GE(std::stoi(answer.header("retry-after")), 1);
    EXPECT_EQ(balance_usdc(key), "0.00");
    EXPECT_EQ(facilitator.count("/settle"), 0);
  };
  for (const Reply& reply :
       {Reply{.status = 500, .body = R"({"isValid":true})"}, Reply{.body = "<html>"}, Reply{.status = 302, .body = ""},
        Reply{.hang_up = true}, Reply{.body = std::string(300'000, ' ')}}) {
    facilitator.answer_by([reply](const Asked&) { return reply; });
    expect_untouched(pay(key, transfer()));
  }
  facilitator.hold();
  expect_untouched(pay(key, transfer()));
  facilitator.release();
  facilitator.answer_by([](const Asked&) {
    return Reply{.body = R"({"isValid":false,"invalidReason":"insufficient_funds","payer":"0x"})"};
  });
  expect_refused(key, pay(key, transfer()), "insufficient_funds");
  EXPECT_EQ(metric("turnpike_payments_pending"), 0);
}

TEST_F(Payments, a_facilitator_that_nobody_listens_at_takes_nothing) {
  config["payments"]["facilitator"] = "http://127.0.0.1:9";
  start_gateway();
  const auto key = create_key("0");
  EXPECT_EQ(pay(key, transfer()).status, 503);
  EXPECT_EQ(balance_usdc(key), "0.00");
}

TEST_F(Payments, a_settlement_whose_end_is_unknown_goes_on_by_itself) {
  config["payments"]["settle_timeout_ms"] = 200;
  config["payments"]["first_retry_ms"] = 60'000;
  config["payments"]["max_retry_ms"] = 60'000;
  start_gateway();
  const auto key = create_key("0");
  std::vector<std::string> ids;
  char nonce = 'a';
  for (const Reply& reply :
       {Reply{.status = 500, .body = settled().body}, Reply{.body = "{}"}, Reply{.hang_up = true},
        settled({{"amount", "20000000"}}), settled({{"payer", kPayTo}}), settled({{"transaction", ""}})}) {
    facilitator.answer_by([reply](const Asked& asked) { return asked.path == "/verify" ? valid() : reply; });
    const auto answer = pay(key, transfer(nonce++));
    EXPECT_EQ(answer.status, 503) << answer.body;
    EXPECT_THAT(answer.body, testing::HasSubstr("do not pay again"));
    EXPECT_EQ(balance_usdc(key), "0.00");
  }
  EXPECT_EQ(metric("turnpike_payments_pending"), 6);
  ASSERT_EQ(stop_gateway(), 0);
  // They are all finished by the next start.
  facilitator.answer_by([](const Asked& asked) { return asked.path == "/verify" ? valid() : settled(); });
  start_gateway();
  EXPECT_TRUE(eventually([&] { return balance_usdc(key) == "60.00"; })) << balance_usdc(key);
  EXPECT_EQ(metric("turnpike_payments_pending"), 0);
}

TEST_F(Payments, a_slow_settlement_is_answered_in_time_and_credited_when_it_is_done) {
  config["payments"]["answer_timeout_ms"] = 200;
  start_gateway();
  const auto key = create_key("0");
  facilitator.answer_by([this](const Asked& asked) {
    if (asked.path == "/verify") facilitator.hold();
    return asked.path == "/verify" ? valid() : settled();
  });
  EXPECT_EQ(pay(key, transfer()).status, 503);
  EXPECT_EQ(balance_usdc(key), "0.00");
  EXPECT_TRUE(eventually([&] { return facilitator.count("/settle") == 1; }));
  facilitator.release();
  EXPECT_TRUE(eventually([&] { return balance_usdc(key) == "10.00"; }));
}

TEST_F(Payments, what_the_facilitator_refuses_to_settle_is_a_402_with_its_reason) {
  start_gateway();
  const auto key = create_key("0");
  facilitator.answer_by([](const Asked& asked) {
    return asked.path == "/verify"
               ? valid()
               : Reply{.body = R"({"success":false,"errorReason":"insufficient_funds","transaction":""})"};
  });
  const auto answer = pay(key, transfer());
  EXPECT_EQ(answer.status, 402);
  EXPECT_EQ(answer.json()["error"], "insufficient_funds");
  EXPECT_EQ(balance_usdc(key), "0.00");
  EXPECT_EQ(metric("turnpike_payments_pending"), 0);
}

TEST_F(Payments, sigkill_in_mid_settlement_is_made_good_at_the_next_start) {
  start_gateway();
  const auto key = create_key("0");
  facilitator.answer_by([this](const Asked& asked) {
    if (asked.path == "/verify") facilitator.hold();
    return asked.path == "/verify" ? valid() : settled();
  });
  Client client(address);
  Headers headers = bearer(key);
  const auto header = header_of(payer.payment(transfer()));
  headers.emplace_back("X-PAYMENT", header);
  client.request("POST", "/v1/credits/topup", headers, R"({"amount":"10"})");
  EXPECT_TRUE(eventually([&] { return facilitator.count("/settle") == 1; }));
  gateway->signal(SIGKILL);
  gateway->wait();
  facilitator.release();
  start_gateway();
  EXPECT_TRUE(eventually([&] { return balance_usdc(key) == "10.00"; }));
  const auto again = top_up(key, {{"X-PAYMENT", header}});
  EXPECT_EQ(again.status, 200);
  EXPECT_EQ(again.json()["balance_usdc"], "10.00");
}

TEST_F(Payments, a_stop_in_mid_settlement_ends_in_time_and_the_next_start_goes_on) {
  config["drain_timeout_ms"] = 100;
  start_gateway();
  const auto key = create_key("0");
  facilitator.answer_by([this](const Asked& asked) {
    if (asked.path == "/verify") facilitator.hold();
    return asked.path == "/verify" ? valid() : settled();
  });
  Client client(address);
  Headers headers = bearer(key);
  headers.emplace_back("X-PAYMENT", header_of(payer.payment(transfer())));
  client.request("POST", "/v1/credits/topup", headers, R"({"amount":"10"})");
  EXPECT_TRUE(eventually([&] { return facilitator.count("/settle") == 1; }));
  gateway->signal(SIGTERM);
  EXPECT_EQ(gateway->wait(std::chrono::seconds(5)), 0) << "neither the client nor the facilitator is waited for";
  facilitator.release();
  start_gateway();
  EXPECT_TRUE(eventually([&] { return balance_usdc(key) == "10.00"; }));
}

TEST_F(Payments, a_facilitator_under_tls_must_show_a_certificate_of_its_name) {
  const auto certificate = folder.file("cert.pem");
  ASSERT_NO_FATAL_FAILURE(make_certificate(certificate, folder.file("key.pem")));
  const auto both = folder.file("both.pem");
  std::ofstream(both) << std::ifstream(certificate).rdbuf() << std::ifstream(folder.file("key.pem")).rdbuf();
  JsonServer secure([](const Asked& asked) { return asked.path == "/x402/verify" ? valid() : settled(); }, both);
  const auto url = [&](const std::string& host) {
    return "https://" + host + ":" + std::to_string(secure.port()) + "/x402";
  };
  config["payments"]["facilitator"] = url("localhost");
  start_gateway();
  const auto key = create_key("0");
  EXPECT_EQ(pay(key, transfer()).status, 503) << "the system does not know its authority";
  ASSERT_EQ(stop_gateway(), 0);
  config["payments"]["ca_file"] = certificate;
  config["payments"]["facilitator"] = url("127.0.0.1");
  start_gateway();
  EXPECT_EQ(pay(key, transfer()).status, 503) << "the certificate is another name's";
  EXPECT_TRUE(secure.asked().empty());
  ASSERT_EQ(stop_gateway(), 0);
  config["payments"]["facilitator"] = url("localhost");
  start_gateway();
  EXPECT_EQ(pay(key, transfer()).status, 200);
  EXPECT_EQ(balance_usdc(key), "10.00");
}

TEST_F(Payments, an_operator_sees_what_is_unsettled_and_closes_it) {
  config["payments"]["first_retry_ms"] = 60'000;
  config["payments"]["max_retry_ms"] = 60'000;
  start_gateway();
  const auto key = create_key("0");
  EXPECT_EQ(pay(key, transfer('1')).status, 200);
  facilitator.answer_by([](const Asked& asked) { return asked.path == "/verify" ? valid() : Reply{.status = 500}; });
  EXPECT_EQ(pay(key, transfer('2')).status, 503);
  EXPECT_EQ(pay(key, transfer('3')).status, 503);
  const auto rows = [&](const std::vector<std::string>& words) {
    const auto listed = turnpike(words);
    EXPECT_EQ(listed.code, 0) << listed.output;
    std::map<std::string, json> by_nonce;
    std::istringstream lines(listed.output);
    for (std::string line; std::getline(lines, line);) {
      auto row = json::parse(line);
      by_nonce[row["nonce"].get<std::string>().substr(2, 1)] = row;
    }
    return by_nonce;
  };
  auto unsettled = rows({"payments", "list", "--json"});
  ASSERT_EQ(unsettled.size(), 2U);
  EXPECT_EQ(unsettled["2"]["state"], "pending");
  EXPECT_EQ(unsettled["2"]["amount_usdc"], "10.00");
  EXPECT_EQ(unsettled["2"]["payer"], payer.address());
  EXPECT_FALSE(unsettled["2"].contains("request")) << "it holds the signature";
  const std::string second = unsettled["2"]["payment_id"];
  EXPECT_NE(turnpike({"payments", "resolve", second}).code, 0) << "credited or refused?";
  EXPECT_NE(turnpike({"payments", "resolve", second, "--tx", ""}).code, 0);
  EXPECT_NE(turnpike({"payments", "resolve", second, "--tx", "0x12"}).code, 0);
  EXPECT_EQ(turnpike({"payments", "resolve", second, "--tx", kTransaction}).code, 0);
  EXPECT_EQ(turnpike({"payments", "resolve", unsettled["3"]["payment_id"], "--refused"}).code, 0);
  EXPECT_NE(turnpike({"payments", "resolve", second, "--refused"}).code, 0) << "it is closed";
  EXPECT_EQ(balance_usdc(key), "20.00");
  EXPECT_TRUE(rows({"payments", "list", "--json"}).empty());
  auto all = rows({"payments", "list", "--all", "--json"});
  EXPECT_EQ(all["1"]["state"], "credited");
  EXPECT_EQ(all["2"]["tx"], kTransaction);
  EXPECT_EQ(all["3"]["state"], "refused");
  ASSERT_EQ(stop_gateway(), 0);
  const auto books = turnpike({"ledger", "check"});
  EXPECT_EQ(books.code, 0) << books.output;
}

TEST_F(Payments, no_payment_or_signature_reaches_the_log) {
  config["log"]["level"] = "trace";
  config["payments"]["facilitator_key_env"] = "FACILITATOR_KEY";
  start_gateway({.environment = {{"FACILITATOR_KEY", "let-me-in"}}});
  const auto key = create_key("0");
  const auto payment = payer.payment(transfer());
  EXPECT_EQ(top_up(key, {{"X-PAYMENT", header_of(payment)}}).status, 200);
  facilitator.answer_by([](const Asked& asked) { return Reply{.status = 500, .body = asked.body.dump()}; });
  EXPECT_EQ(pay(key, transfer('8')).status, 503);
  ASSERT_EQ(stop_gateway(), 0);
  const std::string log = gateway->output();
  const std::string signature = payment["payload"]["signature"];
  EXPECT_THAT(log, testing::HasSubstr(kTransaction));
  EXPECT_THAT(log, testing::Not(testing::HasSubstr(signature.substr(2, 40))));
  EXPECT_THAT(log, testing::Not(testing::HasSubstr(header_of(payment).substr(0, 40))));
  EXPECT_THAT(log, testing::Not(testing::HasSubstr("let-me-in")));
}

TEST_F(Payments, without_payments_in_the_configuration_there_is_no_such_route) {
  config.erase("payments");
  start_gateway();
  EXPECT_EQ(top_up(create_key("0")).status, 404);
}

TEST_F(Payments, an_address_with_a_wrong_checksum_keeps_the_gateway_from_starting) {
  config["payments"]["pay_to"] = "0x5FbDB2315678afecb367f032d93F642f64180aA3";
  EXPECT_ANY_THROW(start_gateway());
  EXPECT_NE(gateway->wait(), 0);
  EXPECT_THAT(gateway->output(), testing::HasSubstr("payments.pay_to"));
  gateway.reset();
}

}  // namespace
}  // namespace turnpike::test
