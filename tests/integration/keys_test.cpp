// An account's own keys, and tokens that stand for them, over real sockets.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>

#include "support/network.hpp"

namespace turnpike::test {
namespace {

using nlohmann::json;

class Keys : public NetworkTest {
 protected:
  Answer ask_for(const std::string& key, const std::string& method, const std::string& path,
                 const json& body = nullptr) const {
    Headers headers = bearer(key);
    headers.emplace_back("Accept", "application/json");
    return call(address, method, path, headers, body.is_null() ? std::string() : body.dump());
  }
  int balance_status(const std::string& key) const { return ask_for(key, "GET", "/v1/credits/balance").status; }
  json token_for(const std::string& key, json more = json::object()) const {
    more["api_key"] = key;
    const auto answer = call(address, "POST", "/v1/auth/token", {{"Accept", "application/json"}}, more.dump());
    EXPECT_EQ(answer.status, 200) << answer.body;
    EXPECT_EQ(answer.header("cache-control"), "no-store");
    return answer.json();
  }
  json command(std::vector<std::string> words) {
    words.insert(words.begin(), TURNPIKE_BINARY_DIR "/turnpike");
    words.insert(words.end(), {"--data-dir", config["data_dir"].get<std::string>(), "--json"});
    const Finished finished = run(std::move(words), folder.file("command.log"));
    EXPECT_EQ(finished.code, 0) << finished.output;
    return json::parse(finished.output.substr(0, finished.output.find('\n')), nullptr, false);
  }
  // The entry of the account's list that has this id.
  json listed(const std::string& key, const std::string& id) const {
    for (const auto& entry : ask_for(key, "GET", "/v1/keys").json()["data"]) {
      if (entry["id"] == id) return entry;
    }
    return nullptr;
  }
};

TEST_F(Keys, are_made_listed_and_revoked_by_a_key_that_may) {
  start_gateway();
  const auto key = create_key("100");
  const auto made = ask_for(key, "POST", "/v1/keys", {{"scopes", "usage:read"}});
  ASSERT_EQ(made.status, 201) << made.body;
  EXPECT_EQ(made.header("cache-control"), "no-store");
  const std::string second = made.json()["api_key"];
  const std::string id = made.json()["id"];
  EXPECT_EQ(balance_usdc(second), "1.00") << "the same account";
  EXPECT_EQ(ask_for(second, "GET", "/v1/models").status, 403);
  for (const auto& [method, path] :
       std::vector<std::pair<std::string, std::string>>{{"GET", "/v1/keys"},
                                                        {"POST", "/v1/keys"},
                                                        {"DELETE", "/v1/keys/" + id},
                                                        {"POST", "/v1/keys/" + id + "/rotate"}}) {
    const auto refused = ask_for(second, method, path, method == "POST" ? json::object() : json(nullptr));
    EXPECT_EQ(refused.status, 403) << method << path;
    EXPECT_EQ(refused.json()["error"]["code"], "insufficient_scope");
    EXPECT_EQ(ask_for("dkn_live_nobody", method, path).status, 401);
  }
  EXPECT_TRUE(listed(key, id)["revoked_at"].is_null());
  EXPECT_EQ(ask_for(key, "DELETE", "/v1/keys/" + id).status, 200);
  EXPECT_EQ(balance_status(second), 401);
  EXPECT_TRUE(listed(key, id)["revoked_at"].is_string());
  EXPECT_EQ(ask_for(key, "DELETE", "/v1/keys/key_nobody").status, 404);
  EXPECT_EQ(ask_for(key, "PUT", "/v1/keys").status, 405);
}

TEST_F(Keys, a_revoked_key_is_refused_on_the_connection_that_used_it) {
  start_gateway();
  const auto key = create_key("100");
  const auto made = ask_for(key, "POST", "/v1/keys", {{"scopes", "usage:read"}}).json();
  const std::string second = made["api_key"];
  Client client(address);
  const auto ask = [&](const std::string& bearer) {
    client.send("GET /v1/credits/balance HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer " + bearer + "\r\n\r\n");
    return client.read_answer().status;
  };
  for (int i = 0; i < 3; ++i) EXPECT_EQ(ask(second), 200);
  EXPECT_EQ(ask(key), 200);
  EXPECT_EQ(ask("dkn_live_nobody"), 401);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(ask(second), 200);
  ask_for(key, "DELETE", "/v1/keys/" + made["id"].get<std::string>());
  for (int i = 0; i < 3; ++i) EXPECT_EQ(ask(second), 401);
  EXPECT_EQ(ask(key), 200);
}

TEST_F(Keys, a_rotated_key_is_good_until_its_grace_ends) {
  config["keys"] = {{"rotation_grace_ms", 700}};
  start_gateway();
  const auto key = create_key("100");
  const std::string id = ask_for(key, "GET", "/v1/keys").json()["data"][0]["id"];
  const auto answer = ask_for(key, "POST", "/v1/keys/" + id + "/rotate");
  ASSERT_EQ(answer.status, 201) << answer.body;
  const std::string next = answer.json()["api_key"];
  EXPECT_EQ(balance_usdc(next), "1.00");
  EXPECT_TRUE(answer.json()["replaced_expires_at"].is_string());
  EXPECT_TRUE(eventually([&] { return balance_status(key) == 401; }));
  EXPECT_EQ(balance_status(next), 200);
  EXPECT_EQ(ask_for(next, "POST", "/v1/keys/" + id + "/rotate").status, 409);
  ASSERT_EQ(stop_gateway(), 0);
  start_gateway();
  EXPECT_EQ(balance_status(key), 401);
  EXPECT_EQ(balance_status(next), 200);
}

TEST_F(Keys, an_operator_rotates_them_and_says_when_they_end) {
  config["keys"] = {{"rotation_grace_ms", 0}};
  start_gateway();
  const auto made = command({"keys", "create", "--credits", "100"});
  const auto next = command({"keys", "rotate", made["key_id"]});
  EXPECT_EQ(next["replaces"], made["key_id"]);
  EXPECT_EQ(next["account_id"], made["account_id"]);
  EXPECT_EQ(balance_status(made["api_key"]), 401);
  EXPECT_EQ(balance_usdc(next["api_key"]), "1.00");
  EXPECT_EQ(command({"keys", "expire", next["key_id"], "--at", "2099-01-01T00:00:00Z"})["expires_at"],
            "2099-01-01T00:00:00.000Z");
  EXPECT_EQ(listed(next["api_key"], next["key_id"])["expires_at"], "2099-01-01T00:00:00.000Z");
}

TEST_F(Keys, an_account_has_so_many_of_them_and_no_more) {
  config["keys"] = {{"max_per_account", 2}};
  start_gateway();
  const auto key = create_key("100");
  EXPECT_EQ(ask_for(key, "POST", "/v1/keys", json::object()).status, 201);
  EXPECT_EQ(ask_for(key, "POST", "/v1/keys", json::object()).status, 409);
  EXPECT_NE(create_key("100"), "") << "another account";
}

TEST_F(Keys, the_last_use_is_written_by_a_timer) {
  config["keys"] = {{"last_used_flush_ms", 100}};
  start_gateway();
  const auto key = create_key("100");
  // Account and credits reach the database a moment after they are made: their write is not the one waited for.
  command({"credits", "history", "--account", command({"keys", "list"})["account_id"], "--limit", "1"});
  const auto log = config["data_dir"].get<std::string>() + "/turnpike.db-wal";
  const auto before = std::filesystem::file_size(log);
  const std::string used = ask_for(key, "GET", "/v1/keys").json()["data"][0]["last_used_at"];
  ASSERT_TRUE(eventually([&] { return std::filesystem::file_size(log) > before; })) << "no write came";
  expect_clean_exit = false;
  gateway->signal(SIGKILL);
  gateway->wait();
  start_gateway();
  expect_clean_exit = true;
  EXPECT_EQ(command({"keys", "list"})["last_used_at"], used);
}

TEST_F(Keys, the_last_use_is_written_at_the_end) {
  start_gateway();
  const auto key = create_key("100");
  const std::string used = ask_for(key, "GET", "/v1/keys").json()["data"][0]["last_used_at"];
  ASSERT_EQ(stop_gateway(), 0);
  start_gateway();
  EXPECT_EQ(command({"keys", "list"})["last_used_at"], used);
}

TEST_F(Keys, a_token_is_accepted_wherever_its_key_is_and_ends_with_it) {
  add_node();
  start_gateway();
  const auto key = create_key("100");
  const auto granted = token_for(key, {{"expires_in", 600}});
  EXPECT_EQ(granted["token_type"], "Bearer");
  EXPECT_EQ(granted["expires_in"], 600);
  const std::string token = granted["access_token"];
  EXPECT_TRUE(eventually([&] { return ask(token, chat("hello")).status == 200; }));
  EXPECT_EQ(charges(token).size(), charges(key).size());
  auto [client, stream] = open_stream(token, chat("hello", true));
  client.read_rest(stream);
  EXPECT_TRUE(stream.done());
  EXPECT_EQ(call(address, "GET", "/v1/models", {{"X-API-Key", token}}).status, 200);
  const std::string id = ask_for(token, "GET", "/v1/keys").json()["data"][0]["id"];
  EXPECT_EQ(ask_for(token, "POST", "/v1/keys", {{"expires_at", "2099-01-01T00:00:00Z"}}).status, 403);

  EXPECT_EQ(ask_for(token, "DELETE", "/v1/keys/" + id).status, 200);
  const auto refused = ask_for(token, "GET", "/v1/credits/balance");
  EXPECT_EQ(refused.status, 401);
  EXPECT_EQ(refused.json()["error"]["code"], "invalid_api_key");
  EXPECT_EQ(call(address, "POST", "/v1/auth/token", {}, json{{"api_key", key}}.dump()).status, 401);
}

TEST_F(Keys, a_token_opens_what_its_scope_names) {
  start_gateway();
  const auto token = token_for(create_key("100"), {{"scope", "usage:read"}});
  EXPECT_EQ(token["scope"], "usage:read");
  EXPECT_EQ(balance_status(token["access_token"]), 200);
  EXPECT_EQ(ask_for(token["access_token"], "GET", "/v1/models").status, 403);
  EXPECT_EQ(ask_for(token["access_token"], "GET", "/v1/keys").status, 403);
}

TEST_F(Keys, the_signing_key_outlives_a_restart_and_is_nobody_elses) {
  start_gateway();
  const std::string token = token_for(create_key("100"))["access_token"];
  const auto set = call(address, "GET", "/.well-known/jwks.json", {}).json();
  ASSERT_EQ(set["keys"].size(), 1U);
  EXPECT_EQ(set["keys"][0]["kty"], "OKP");
  EXPECT_FALSE(set["keys"][0].contains("d"));
  const auto file = config["data_dir"].get<std::string>() + "/token.key";
  struct stat about{};
  ASSERT_EQ(::stat(file.c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 07777U, 0600U);
  ASSERT_EQ(stop_gateway(), 0);
  start_gateway();
  EXPECT_EQ(balance_status(token), 200);
  EXPECT_EQ(call(address, "GET", "/.well-known/jwks.json", {}).json(), set);
  ASSERT_EQ(stop_gateway(), 0);

  ASSERT_EQ(::chmod(file.c_str(), 0644), 0);
  EXPECT_ANY_THROW(start_gateway());
  EXPECT_NE(gateway->wait(), 0);
  EXPECT_THAT(gateway->output(), testing::HasSubstr("token.key"));
  gateway.reset();
}

TEST_F(Keys, a_token_of_another_gateway_or_of_no_algorithm_is_refused) {
  start_gateway();
  const std::string token = token_for(create_key("100"))["access_token"];
  for (const std::string& wrong :
       {std::string("eyJ"), token.substr(0, token.rfind('.') + 1), token + "A",
        "eyJhbGciOiJub25lIn0" + token.substr(token.find('.'), token.rfind('.') - token.find('.') + 1)}) {
    EXPECT_EQ(balance_status(wrong), 401) << wrong.size();
  }
  ASSERT_EQ(stop_gateway(), 0);
  ASSERT_TRUE(std::filesystem::remove(config["data_dir"].get<std::string>() + "/token.key"));
  start_gateway();
  EXPECT_EQ(balance_status(token), 401) << "the key that signed it is gone";
}

TEST_F(Keys, neither_key_nor_token_reaches_the_log) {
  config["log"]["level"] = "trace";
  start_gateway();
  const auto key = create_key("100");
  const std::string token = token_for(key)["access_token"];
  const std::string second = ask_for(token, "POST", "/v1/keys", json::object()).json()["api_key"];
  EXPECT_EQ(balance_status(second), 200);
  EXPECT_EQ(balance_status(token + "A"), 401);
  ASSERT_EQ(stop_gateway(), 0);
  const std::string log = gateway->output();
  EXPECT_NE(log.find("/v1/auth/token"), std::string::npos) << "it is logged that a token was asked for";
  EXPECT_EQ(log.find(key.substr(9)), std::string::npos);
  EXPECT_EQ(log.find(second.substr(9)), std::string::npos);
  EXPECT_EQ(log.find(token.substr(token.find('.') + 1, 40)), std::string::npos);
  EXPECT_EQ(log.find(token.substr(token.rfind('.') + 1)), std::string::npos);
}

}  // namespace
}  // namespace turnpike::test
