// Logging in with a wallet, over real sockets.
#include <gmock/gmock.h>

#include <fstream>
#include <set>
#include <thread>

#include "common/wallet_keys.hpp"
#include "support/network.hpp"

namespace turnpike::test {
namespace {

using nlohmann::json;

const Headers kJson = {{"Content-Type", "application/json"}, {"Accept", "application/json"}};

class Wallets : public NetworkTest {
 protected:
  Answer challenge(const std::string& wallet, const std::string& chain) {
    return call(address, "POST", "/v1/auth/challenge", kJson, json{{"address", wallet}, {"chain", chain}}.dump());
  }
  Answer log_in(const std::string& message, const std::string& signature, const json& more = json::object()) {
    json body = {{"message", message}, {"signature", signature}};
    body.update(more);
    return call(address, "POST", "/v1/auth/wallet", kJson, body.dump());
  }
  std::string message_for(const EthereumKey& key) { return challenge(key.address(), "eip155:8453").json()["message"]; }
  // The answer to a login that is right.
  json let_in(const EthereumKey& key, const json& more = json::object()) {
    const auto message = message_for(key);
    const auto answer = log_in(message, key.sign_as_text(message), more);
    EXPECT_EQ(answer.status, 201) << answer.body;
    return answer.json();
  }
  static std::string param(const Answer& answer) {
    const auto body = answer.json();
    return body["error"]["param"].is_string() ? body["error"]["param"].get<std::string>() : "";
  }

  EthereumKey ethereum{0x46};
  SolanaKey solana{0x46};
};

TEST_F(Wallets, a_stranger_with_an_ethereum_wallet_gets_an_account_and_a_key) {
  config["network"] = {{"public_url", "https://gate.example"}};
  start_gateway();
  const auto asked = challenge(ethereum.address(), "eip155:8453");
  EXPECT_EQ(asked.status, 200) << asked.body;
  EXPECT_EQ(asked.header("cache-control"), "no-store");
  const std::string message = asked.json()["message"];
  EXPECT_THAT(message, testing::StartsWith("gate.example wants you to sign in with your Ethereum account:\n" +
                                           ethereum.address() + "\n"));
  EXPECT_THAT(message, testing::HasSubstr("\nURI: https://gate.example\n"));
  EXPECT_THAT(message, testing::HasSubstr("\nNonce: " + asked.json()["nonce"].get<std::string>() + "\n"));
  EXPECT_THAT(message, testing::EndsWith("\nExpiration Time: " + asked.json()["expires_at"].get<std::string>()));

  const auto answer = log_in(message, ethereum.sign_as_text(message));
  ASSERT_EQ(answer.status, 201) << answer.body;
  EXPECT_EQ(answer.header("cache-control"), "no-store");
  const auto made = answer.json();
  EXPECT_THAT(made["api_key"].get<std::string>(), testing::StartsWith("dkn_live_"));
  EXPECT_EQ(made["address"], ethereum.address());
  EXPECT_THAT(made["account_id"].get<std::string>(), testing::StartsWith("acct_"));
  EXPECT_THAT(made["created_at"].get<std::string>(), testing::EndsWith("Z"));
  const auto balance = get(made["api_key"], "/v1/credits/balance");
  EXPECT_EQ(balance["balance"], 0);
  EXPECT_EQ(balance["balance_usdc"], "0.00");
}

TEST_F(Wallets, a_stranger_with_a_solana_wallet_gets_an_account_and_a_key) {
  start_gateway();
  std::set<std::string> accounts;
  // Signatures as the libraries of wallets write them.
  using Writer = std::string (*)(std::string_view);
  for (const Writer write : {Writer(to_base58), Writer(to_base64), Writer(to_hex)}) {
    const std::string message = challenge(solana.address(), "solana").json()["message"];
    const auto answer = log_in(message, write(solana.sign(message)));
    ASSERT_EQ(answer.status, 201) << answer.body;
    EXPECT_EQ(answer.json()["address"], solana.address());
    EXPECT_EQ(get(answer.json()["api_key"], "/v1/credits/balance")["balance"], 0);
    accounts.insert(answer.json()["account_id"]);
  }
  EXPECT_EQ(accounts.size(), 1U);
}

TEST_F(Wallets, a_wallet_is_one_account_in_every_dialect_on_every_chain_and_after_a_restart) {
  add_node();
  start_gateway();
  const auto first = let_in(ethereum);
  const auto second = let_in(ethereum, {{"dialect", "one-adn"}});
  EXPECT_THAT(second["api_key"].get<std::string>(), testing::StartsWith("sk_live_"));
  EXPECT_NE(first["api_key"], second["api_key"]);
  EXPECT_EQ(first["account_id"], second["account_id"]);

  ASSERT_EQ(stop_gateway(), 0);
  start_gateway();
  const std::string message = challenge(ethereum.address(), "eip155:1").json()["message"];
  const auto third = log_in(message, ethereum.sign_as_text(message), {{"dialect", "decentral"}}).json();
  EXPECT_THAT(third["api_key"].get<std::string>(), testing::StartsWith("dcntrl_live_"));
  EXPECT_EQ(third["account_id"], first["account_id"]);

  // Credits on one are credits on all.
  const auto granted = run({std::string(TURNPIKE_BINARY_DIR) + "/turnpike", "credits", "grant", "--config",
                            folder.file("turnpike.json"), "--account", first["account_id"], "--credits", "100"},
                           folder.file("grant.log"));
  ASSERT_EQ(granted.code, 0) << granted.output;
  for (const auto& key : {first["api_key"], second["api_key"], third["api_key"]}) {
    EXPECT_EQ(get(key, "/v1/credits/balance")["balance"], 100);
  }
  EXPECT_TRUE(eventually([&] { return ask(first["api_key"], chat("hello")).status == 200; }));
  EXPECT_NE(let_in(EthereumKey(0x47))["account_id"], first["account_id"]);
}

TEST_F(Wallets, the_same_new_wallet_at_the_same_time_is_one_account) {
  start_gateway();
  std::vector<std::string> messages;
  for (int i = 0; i < 8; ++i) messages.push_back(message_for(ethereum));
  std::vector<Client> clients;
  for (const auto& message : messages) {
    const json body = {{"message", message}, {"signature", ethereum.sign_as_text(message)}};
    clients.emplace_back(address).request("POST", "/v1/auth/wallet", kJson, body.dump());
  }
  std::set<std::string> accounts;
  std::set<std::string> keys;
  for (auto& client : clients) {
    const auto made = client.read_answer().json();
    accounts.insert(made["account_id"]);
    keys.insert(made["api_key"]);
  }
  EXPECT_EQ(accounts.size(), 1U);
  EXPECT_EQ(keys.size(), 8U);
}

TEST_F(Wallets, a_login_that_is_sent_again_is_refused) {
  start_gateway();
  const auto message = message_for(ethereum);
  const auto signature = ethereum.sign_as_text(message);
  EXPECT_EQ(log_in(message, signature).status, 201);
  const auto again = log_in(message, signature);
  EXPECT_EQ(again.status, 401);
  EXPECT_EQ(again.json()["error"]["code"], "invalid_api_key");
}

TEST_F(Wallets, a_changed_byte_another_signer_another_domain_and_an_old_nonce_are_refused) {
  config["wallets"] = {{"nonce_lifetime_ms", 1000}, {"logins_per_minute", 1'000'000}};
  start_gateway();
  auto message = message_for(ethereum);
  const auto signature = ethereum.sign_as_text(message);
  for (std::size_t i = 0; i < message.size(); ++i) {
    auto changed = message;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    ASSERT_EQ(log_in(changed, signature).status, 401) << i;
  }
  EXPECT_EQ(log_in(message, EthereumKey(0x47).sign_as_text(message)).status, 401);

  message = message_for(ethereum);
  auto elsewhere = message;
  elsewhere.replace(0, elsewhere.find(' '), "evil.example");
  EXPECT_EQ(log_in(elsewhere, ethereum.sign_as_text(elsewhere)).status, 401);

  message = message_for(ethereum);
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));  // what is tested is that time passes
  const auto late = log_in(message, ethereum.sign_as_text(message));
  EXPECT_EQ(late.status, 401) << late.body;
}

TEST_F(Wallets, a_malformed_body_is_refused_with_the_member_at_fault) {
  config["wallets"] = {{"challenges_per_minute", 1000}, {"logins_per_minute", 1000}};
  start_gateway();
  const auto expect = [&](const std::string& path, const json& body, const std::string& member) {
    const auto answer = call(address, "POST", path, kJson, body.is_string() ? body.get<std::string>() : body.dump());
    EXPECT_EQ(answer.status, 400) << body;
    EXPECT_EQ(param(answer), member) << body;
  };
  const auto wallet = ethereum.address();
  for (const auto* path : {"/v1/auth/challenge", "/v1/auth/wallet"}) {
    expect(path, "", "");
    expect(path, "{", "");
    expect(path, json::array(), "");
  }
  expect("/v1/auth/challenge", json::object(), "address");
  expect("/v1/auth/challenge", {{"address", 7}, {"chain", "eip155:1"}}, "address");
  expect("/v1/auth/challenge", {{"address", "0x12"}, {"chain", "eip155:1"}}, "address");
  expect("/v1/auth/challenge", {{"address", wallet}, {"chain", "solana"}}, "address");
  expect("/v1/auth/challenge", {{"address", wallet}}, "chain");
  expect("/v1/auth/challenge", {{"address", wallet}, {"chain", nullptr}}, "chain");
  expect("/v1/auth/challenge", {{"address", wallet}, {"chain", "eip155:x"}}, "chain");
  const auto message = message_for(ethereum);
  const auto signature = ethereum.sign_as_text(message);
  expect("/v1/auth/wallet", json::object(), "message");
  expect("/v1/auth/wallet", {{"message", 7}, {"signature", signature}}, "message");
  expect("/v1/auth/wallet", {{"message", "hello"}, {"signature", signature}}, "message");
  expect("/v1/auth/wallet", {{"message", message}}, "signature");
  expect("/v1/auth/wallet", {{"message", message}, {"signature", "0x12"}}, "signature");
  expect("/v1/auth/wallet", {{"message", message}, {"signature", signature}, {"dialect", "latin"}}, "dialect");
  expect("/v1/auth/wallet", {{"message", message}, {"signature", signature}, {"dialect", 7}}, "dialect");
  EXPECT_EQ(log_in(message, signature).status, 201) << "none of that spent the nonce";
  EXPECT_EQ(log_in(std::string(20'000, 'x'), signature).status, 413);
  EXPECT_EQ(call(address, "GET", "/v1/auth/wallet", kJson).status, 405);
}

TEST_F(Wallets, challenges_and_logins_are_limited_by_client_address) {
  config["wallets"] = {{"challenges_per_minute", 3}, {"logins_per_minute", 2}};
  start_gateway();
  const auto message = message_for(ethereum);
  EXPECT_EQ(challenge(ethereum.address(), "eip155:1").status, 200);
  const auto last = challenge(ethereum.address(), "eip155:1");
  EXPECT_EQ(last.status, 200);
  EXPECT_EQ(last.header("x-ratelimit-limit-requests"), "3");
  EXPECT_EQ(last.header("x-ratelimit-remaining-requests"), "0");
  const auto refused = challenge(ethereum.address(), "eip155:1");
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(refused.json()["error"]["code"], "rate_limit_exceeded");
  EXPECT_GE(std::stoi(refused.header("retry-after")), 1);

  EXPECT_EQ(log_in("hello", "0x").status, 400);
  EXPECT_EQ(log_in("hello", "0x").status, 400);
  EXPECT_EQ(log_in(message, ethereum.sign_as_text(message)).status, 429) << "failures count";
}

TEST_F(Wallets, challenges_that_nobody_answers_are_bounded) {
  config["wallets"] = {{"max_nonces", 2}, {"challenges_per_minute", 100}};
  start_gateway();
  const auto message = message_for(ethereum);
  EXPECT_EQ(challenge(ethereum.address(), "eip155:1").status, 200);
  const auto refused = challenge(ethereum.address(), "eip155:1");
  EXPECT_EQ(refused.status, 503);
  EXPECT_GE(std::stoi(refused.header("retry-after")), 290);
  EXPECT_EQ(log_in(message, ethereum.sign_as_text(message)).status, 201);
  EXPECT_EQ(challenge(ethereum.address(), "eip155:1").status, 200);
}

TEST_F(Wallets, no_key_message_or_signature_reaches_the_log) {
  config["log"]["level"] = "trace";
  start_gateway();
  const auto message = message_for(ethereum);
  const auto signature = ethereum.sign_as_text(message);
  const std::string key = log_in(message, signature).json()["api_key"];
  EXPECT_EQ(log_in(message, signature).status, 401);
  EXPECT_EQ(get(key, "/v1/credits/balance")["balance"], 0);
  ASSERT_EQ(stop_gateway(), 0);
  const std::string log = gateway->output();
  EXPECT_NE(log.find("/v1/auth/wallet"), std::string::npos) << "it is logged that somebody logged in";
  EXPECT_EQ(log.find(key.substr(9)), std::string::npos);
  EXPECT_EQ(log.find(signature.substr(2, 40)), std::string::npos);
  EXPECT_EQ(log.find("wants you to sign in"), std::string::npos);
}

TEST_F(Wallets, a_public_url_that_no_message_can_name_keeps_the_gateway_from_starting) {
  config["network"] = {{"public_url", "http://gate|example"}};
  EXPECT_ANY_THROW(start_gateway());
  EXPECT_NE(gateway->wait(), 0);
  EXPECT_THAT(gateway->output(), testing::HasSubstr("/network/public_url: expected a URL"));
  gateway.reset();
}

}  // namespace
}  // namespace turnpike::test
