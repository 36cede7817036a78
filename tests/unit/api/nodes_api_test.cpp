#include "turnpike/api/nodes_api.hpp"

#include <string>
#include <utility>
#include <vector>

#include "api_fixture.hpp"

namespace turnpike::api {
namespace {

using ledger::Money;
using nlohmann::json;
using test::Asked;

class NodesApiTest : public test::ApiTest {
 protected:
  void SetUp() override {
    ApiTest::SetUp();
    own("node-1", account);
  }
  // The only node there is.
  void own(const std::string& id, ledger::AccountId owner) {
    scheduler::NodeSpec spec;
    spec.id = id;
    spec.url = "http://x/v1";
    spec.payee = {.account = owner, .share_millionths = 800'000};
    nodes.assign({spec});
  }
  // Charges somebody `nanousd` for what `node` served; `owner` earns four fifths.
  void serve(const std::string& node, ledger::AccountId owner, std::int64_t nanousd) {
    const auto payer = account_with(nanousd);
    auto hold =
        ledger->hold(payer, Money::nanousd(nanousd), {.job_id = "job_" + std::to_string(++jobs), .model = "m-1"});
    const ledger::Served served[] = {{.node_id = node,
                                      .tokens = {.prompt = 12, .completion = 8},
                                      .cost = Money::nanousd(nanousd),
                                      .owner = owner,
                                      .share_millionths = 800'000}};
    ASSERT_TRUE(loop.run(ledger->capture(std::move(*hold), {.amount = Money::nanousd(nanousd), .nodes = served})));
  }
  http::Response earnings(Asked asked) {
    const NodesApi api(*guard, *ledger, nodes);
    return loop.run(api.earnings(asked.field("Accept", "application/json").request()));
  }
  http::Response earnings(const std::string& key, const std::string& node, const std::string& query = "") {
    return earnings(Asked().key(key).parameter(node).query(query));
  }

  scheduler::NodeRegistry nodes{{}, 7};
  int jobs = 0;
};

TEST_F(NodesApiTest, an_owner_sees_what_its_node_earned_newest_first) {
  serve("node-1", account, 50'000'000);
  serve("node-1", account, 100'000'001);
  const auto response = earnings(make_key(), "node-1");
  EXPECT_EQ(response.status, 200);
  auto body = json_of(response);
  EXPECT_EQ(body["object"], "list");
  EXPECT_EQ(body["node_id"], "node-1");
  EXPECT_EQ(body["earned"], 12) << "whole credits, rounded down";
  EXPECT_EQ(body["earned_usdc"], "0.12");
  EXPECT_EQ(body["next_cursor"], nullptr);
  ASSERT_EQ(body["data"].size(), 2U);
  EXPECT_TRUE(body["data"][0]["id"].get<std::string>().starts_with("txn_"));
  body["data"][0].erase("id");
  EXPECT_EQ(body["data"][0], (json{{"amount_usdc", "0.08"},
                                   {"earned_usdc", "0.12"},
                                   {"usage", {{"prompt_tokens", 12}, {"completion_tokens", 8}}},
                                   {"created_at", "2023-11-14T22:13:20.000Z"}}));
  EXPECT_EQ(body["data"][1]["amount_usdc"], "0.04");
}

TEST_F(NodesApiTest, an_owner_whose_node_has_earned_nothing_yet_sees_that) {
  const auto body = json_of(earnings(make_key(), "node-1"));
  EXPECT_EQ(body["earned"], 0);
  EXPECT_EQ(body["earned_usdc"], "0.00");
  EXPECT_EQ(body["data"], json::array());
}

TEST_F(NodesApiTest, anothers_node_and_one_that_is_not_there_are_told_alike) {
  serve("node-1", account, 50'000'000);
  account = account_with(0);
  const auto stranger = make_key();
  const auto others = earnings(stranger, "node-1");
  EXPECT_EQ(others.status, 404);
  EXPECT_EQ(json_of(others)["error"]["code"], "not_found");
  const auto nobodys = earnings(stranger, "node-9");
  EXPECT_EQ(nobodys.status, 404);
  own("node-1", 0);
  EXPECT_EQ(earnings(stranger, "node-1").body, others.body);
  EXPECT_EQ(earnings(stranger, "node-1").status, 404) << "of a node without an owner";
}

TEST_F(NodesApiTest, a_node_that_is_gone_or_another_owners_now_still_shows_what_was_earned) {
  serve("node-1", account, 50'000'000);
  const auto key = make_key();
  own("node-2", account);
  EXPECT_EQ(json_of(earnings(key, "node-1"))["earned_usdc"], "0.04");
  const auto first = account;
  account = account_with(0);
  own("node-1", account);
  serve("node-1", account, 100'000'000);
  EXPECT_EQ(json_of(earnings(key, "node-1"))["earned_usdc"], "0.04");
  EXPECT_EQ(json_of(earnings(make_key(), "node-1"))["earned_usdc"], "0.08");
  EXPECT_EQ(ledger->balance(first), Money());
}

TEST_F(NodesApiTest, pages_as_histories_do) {
  for (int i = 0; i < 5; ++i) serve("node-1", account, 1'000);
  const auto key = make_key();
  const auto first = json_of(earnings(key, "node-1", "limit=3"));
  EXPECT_EQ(first["data"].size(), 3U);
  const auto second = json_of(earnings(key, "node-1", "limit=3&cursor=" + first["next_cursor"].get<std::string>()));
  EXPECT_EQ(second["data"].size(), 2U);
  EXPECT_EQ(second["next_cursor"], nullptr);
  EXPECT_EQ(second["earned_usdc"], first["earned_usdc"]);
  for (const auto& [query, param] :
       {std::pair("limit=0", "limit"), {"limit=201", "limit"}, {"limit=x", "limit"}, {"cursor=x", "cursor"}}) {
    const auto refused = earnings(key, "node-1", query);
    EXPECT_EQ(refused.status, 400) << query;
    EXPECT_EQ(json_of(refused)["error"]["param"], param);
  }
}

TEST_F(NodesApiTest, a_key_is_needed_that_may_read_usage) {
  EXPECT_EQ(earnings(make_key(with_scopes("chat:write")), "node-1").status, 403);
  EXPECT_EQ(earnings(Asked().parameter("node-1")).status, 401);
}

}  // namespace
}  // namespace turnpike::api
