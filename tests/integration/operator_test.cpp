// What an operator does with a running gateway: keys, credits, nodes, and the books.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "support/network.hpp"

namespace turnpike::test {
namespace {

class Operator : public NetworkTest {
 protected:
  Finished command(std::vector<std::string> words) {
    words.insert(words.begin(), TURNPIKE_BINARY_DIR "/turnpike");
    words.insert(words.end(), {"--data-dir", config["data_dir"].get<std::string>()});
    return run(std::move(words), folder.file("command.log"));
  }
  nlohmann::json one(std::vector<std::string> words) {
    words.emplace_back("--json");
    const Finished finished = command(std::move(words));
    EXPECT_EQ(finished.code, 0) << finished.output;
    return nlohmann::json::parse(finished.output.substr(0, finished.output.find('\n')), nullptr, false);
  }
  std::string admin_token() const {
    std::ifstream file(config["data_dir"].get<std::string>() + "/admin.token");
    std::string token;
    file >> token;
    return token;
  }
};

TEST_F(Operator, a_new_key_has_an_account_with_the_credits_that_were_given) {
  start_gateway();
  const auto key = one({"keys", "create", "--credits", "250.5"});
  EXPECT_TRUE(key["api_key"].get<std::string>().starts_with("dkn_live_"));
  EXPECT_EQ(key["tier"], "metered");
  EXPECT_EQ(key["balance_usdc"], "2.505");
  EXPECT_EQ(balance_usdc(key["api_key"]), "2.505");
  const std::string account = key["account_id"];
  EXPECT_EQ(one({"credits", "grant", "--account", account, "--credits", "0.0000001"})["balance_usdc"], "2.505000001");
  EXPECT_EQ(one({"credits", "balance", "--account", account})["balance"], 250);
  const auto newest = one({"credits", "history", "--account", account, "--limit", "1"});
  EXPECT_EQ(newest["type"], "grant");
  EXPECT_EQ(newest["amount_usdc"], "0.000000001");
}

TEST_F(Operator, a_second_key_shares_the_account_that_is_named) {
  start_gateway();
  const auto first = one({"keys", "create", "--credits", "7"});
  const auto second = one({"keys", "create", "--dialect", "one-adn", "--account", first["account_id"]});
  EXPECT_TRUE(second["api_key"].get<std::string>().starts_with("sk_live_"));
  EXPECT_EQ(second["tier"], "free");
  EXPECT_EQ(second["account_id"], first["account_id"]);
  EXPECT_EQ(balance_usdc(second["api_key"]), "0.07");
}

TEST_F(Operator, a_revoked_key_is_refused_at_once) {
  start_gateway();
  const auto key = one({"keys", "create"});
  const Headers bearer_of_key = bearer(key["api_key"]);
  EXPECT_EQ(call(address, "GET", "/v1/credits/balance", bearer_of_key).status, 200);
  EXPECT_TRUE(one({"keys", "revoke", key["key_id"]})["revoked_at"].is_string());
  EXPECT_EQ(call(address, "GET", "/v1/credits/balance", bearer_of_key).status, 401);
  EXPECT_TRUE(one({"keys", "list"})["revoked_at"].is_string());
}

TEST_F(Operator, a_key_does_what_its_scopes_say_and_no_more) {
  start_gateway();
  const std::string key = one({"keys", "create", "--scopes", "chat:write"})["api_key"];
  const Answer answer = call(address, "GET", "/v1/credits/balance", bearer(key));
  EXPECT_EQ(answer.status, 403);
}

TEST_F(Operator, wishes_that_cannot_be_are_refused_before_anything_is_made) {
  start_gateway();
  for (const std::vector<std::string>& wish :
       std::vector<std::vector<std::string>>{{"--dialect", "klingon"},
                                             {"--tier", "nope"},
                                             {"--credits", "1e3"},
                                             {"--credits", "-1"},
                                             {"--credits", "0.00000001"},
                                             {"--account", "acct_nobody"},
                                             {"--scopes", "chat:all"},
                                             {"--expires-at", "tomorrow"},
                                             {"--expires-at", "2020-01-01T00:00:00Z"}}) {
    std::vector<std::string> words{"keys", "create"};
    words.insert(words.end(), wish.begin(), wish.end());
    EXPECT_EQ(command(std::move(words)).code, 1) << wish[0] << " " << wish[1];
  }
  EXPECT_EQ(command({"keys", "list", "--json"}).output, "");
}

TEST_F(Operator, a_drained_node_gets_no_requests_until_it_is_taken_back) {
  add_node();
  start_gateway();
  EXPECT_EQ(one({"nodes", "drain", "node-1"})["state"], "draining");
  EXPECT_EQ(one({"nodes", "list"})["state"], "draining");
  const std::string key = one({"keys", "create", "--credits", "100"})["api_key"];
  EXPECT_EQ(ask(key, chat("hello")).status, 503);
  EXPECT_EQ(one({"nodes", "drain", "node-1", "--undo"})["id"], "node-1");
  EXPECT_TRUE(eventually([&] { return ask(key, chat("hello")).status == 200; }));
  EXPECT_EQ(command({"nodes", "drain", "node-9"}).code, 1);
}

TEST_F(Operator, the_admin_listener_opens_to_its_token_alone) {
  start_gateway();
  EXPECT_EQ(call(admin, "GET", "/admin/keys", {}).status, 401);
  EXPECT_EQ(call(admin, "GET", "/admin/keys", bearer("wrong")).status, 401);
  EXPECT_EQ(call(admin, "GET", "/admin/keys", bearer("")).status, 401);
  EXPECT_EQ(call(admin, "GET", "/admin/keys", bearer(admin_token())).status, 200);
  EXPECT_EQ(call(address, "GET", "/admin/keys", bearer(admin_token())).status, 404);
  EXPECT_EQ(call(admin, "PUT", "/admin/keys", bearer(admin_token())).status, 405);
  EXPECT_EQ(call(admin, "POST", "/admin/keys", bearer(admin_token()), "[").status, 400);
  EXPECT_EQ(call(admin, "POST", "/admin/keys", bearer(admin_token()), R"({"credits": 5})").json()["error"]["param"],
            "credits");
}

TEST_F(Operator, an_account_is_low_once_for_each_time_that_a_charge_takes_it_there) {
  add_node();
  config["models"][0]["pricing"] = {{"per_request_usd", "0.01"}};
  config["ledger"] = {{"low_threshold_usd", "0.05"}};
  start_gateway();
  const auto key = one({"keys", "create", "--credits", "7"});
  const std::string account = key["account_id"];
  const auto low = [&](int requests) {
    for (int i = 0; i < requests; ++i) EXPECT_EQ(ask(key["api_key"], chat("hello")).status, 200);
    return metric("turnpike_low_credits_total");
  };
  EXPECT_EQ(low(2), 0) << "5 credits are not below 5";
  EXPECT_EQ(low(1), 1);
  EXPECT_EQ(low(1), 1);
  one({"credits", "grant", "--account", account, "--credits", "4"});
  EXPECT_EQ(low(3), 2);
  EXPECT_EQ(one({"credits", "alert", "--account", account, "--below", "3"})["low_threshold_usdc"], "0.03");
  EXPECT_EQ(low(1), 2);
  EXPECT_EQ(low(1), 3);
  EXPECT_EQ(one({"credits", "alert", "--account", account, "--below", "none"})["low_threshold_usdc"], nullptr);
  EXPECT_EQ(one({"credits", "alert", "--account", account, "--as-configured"})["low_threshold_usdc"], "0.05");
  EXPECT_EQ(one({"credits", "balance", "--account", account})["low_threshold_usdc"], "0.05");
  EXPECT_EQ(command({"credits", "alert", "--account", account}).code, 2);
}

TEST_F(Operator, the_books_are_right_after_work_and_cannot_be_read_during_it) {
  add_node();
  start_gateway();
  const std::string key = one({"keys", "create", "--credits", "100"})["api_key"];
  for (int i = 0; i < 5; ++i) EXPECT_EQ(ask(key, chat("hello")).status, 200);
  EXPECT_EQ(command({"ledger", "check"}).code, 1);
  const std::string left = balance_usdc(key);
  EXPECT_EQ(stop_gateway(), 0);
  const auto books = one({"ledger", "check"});
  EXPECT_EQ(books["faults"], nlohmann::json::array());
  EXPECT_EQ(books["entries"], 6);
  EXPECT_EQ(books["open_holds"], 0);
  EXPECT_EQ(books["balances_usdc"], left);
}

}  // namespace
}  // namespace turnpike::test
