#include "turnpike/api/credits_api.hpp"

#include <string>
#include <utility>
#include <vector>

#include "api_fixture.hpp"

namespace turnpike::api {
namespace {

using ledger::Basis;
using ledger::Money;
using nlohmann::json;
using test::Asked;

class CreditsApiTest : public test::ApiTest {
 protected:
  json balance_of(std::int64_t nanousd) {
    const auto of = account_with(nanousd);
    return render_balance(*ledger, of);
  }
  http::Response history(Asked& asked) { return loop.run(api().history(asked.request())); }
  http::Response history(const std::string& query) { return history(Asked().key(make_key()).query(query)); }
  CreditsApi api() { return {*guard, *ledger}; }
  // Charges the account for a job of that name.
  void charge(const std::string& job, std::int64_t nanousd) {
    auto hold = ledger->hold(account, Money::nanousd(nanousd), {.job_id = job, .model = "m-1"});
    ASSERT_TRUE(hold) << hold.error().message;
    const ledger::Served nodes[] = {{.node_id = "node-1"}, {.node_id = "node-2"}};
    ASSERT_TRUE(loop.run(ledger->capture(std::move(*hold), {.amount = Money::nanousd(nanousd),
                                                            .basis = Basis::bounded,
                                                            .tokens = {.prompt = 12, .completion = 8},
                                                            .nodes = nodes})));
  }
};

// ---- balance ----

using Balance = CreditsApiTest;

TEST_F(Balance, is_whole_credits_rounded_down_and_dollars_exactly) {
  EXPECT_EQ(balance_of(10'000'000'000), (json{{"balance", 1'000}, {"balance_usdc", "10.00"}}));
  EXPECT_EQ(balance_of(19'999'999), (json{{"balance", 1}, {"balance_usdc", "0.019999999"}}));
  EXPECT_EQ(balance_of(0), (json{{"balance", 0}, {"balance_usdc", "0.00"}}));
}

TEST_F(Balance, leaves_out_what_is_held_for_a_request) {
  account = account_with(30'000'000);
  const auto key = make_key();
  const auto hold = ledger->hold(account, Money::nanousd(20'000'000), {.job_id = "job_1", .model = "m-1"});
  ASSERT_TRUE(hold);
  const auto response = api().balance(Asked().key(key).request());
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(json_of(response), (json{{"balance", 1}, {"balance_usdc", "0.01"}}));
}

TEST_F(Balance, and_history_need_a_key_that_may_read_usage) {
  const auto key = make_key(with_scopes("chat:write models:read"));
  EXPECT_EQ(api().balance(Asked().key(key).request()).status, 403);
  EXPECT_EQ(history(Asked().key(key)).status, 403);
  Asked stranger;
  EXPECT_EQ(api().balance(stranger.request()).status, 401);
  EXPECT_EQ(history(stranger).status, 401);
}

// ---- history ----

using History = CreditsApiTest;

TEST_F(History, a_charge_says_what_it_was_for) {
  account = account_with(1'000'000);
  charge("job_7", 52'000);
  const auto page = json_of(history(""));
  EXPECT_EQ(page["object"], "list");
  ASSERT_EQ(page["data"].size(), 2U);
  auto row = page["data"][0];
  EXPECT_TRUE(row["id"].get<std::string>().starts_with("txn_"));
  row.erase("id");
  EXPECT_EQ(row, (json{{"type", "charge"},
                       {"amount_usdc", "-0.000052"},
                       {"balance_usdc", "0.000948"},
                       {"job_id", "job_7"},
                       {"model", "m-1"},
                       {"basis", "bounded"},
                       {"created_at", "2023-11-14T22:13:20.000Z"},
                       {"usage", {{"prompt_tokens", 12}, {"completion_tokens", 8}}},
                       {"node_id", "node-1,node-2"}}));
}

TEST_F(History, a_grant_has_no_job) {
  account = account_with(1'000'000);
  const auto row = json_of(history(""))["data"][0];
  EXPECT_EQ(row["type"], "grant");
  EXPECT_EQ(row["amount_usdc"], "0.001");
  for (const auto* absent : {"job_id", "model", "basis"}) EXPECT_TRUE(row[absent].is_null()) << absent;
  EXPECT_FALSE(row.contains("usage"));
  EXPECT_FALSE(row.contains("node_id"));
}

TEST_F(History, pages_show_every_entry_once_newest_first) {
  account = account_with(1'000'000);
  for (int i = 1; i <= 6; ++i) charge("job_" + std::to_string(i), 1);
  std::vector<std::string> jobs;
  std::string query = "limit=3";
  for (int pages = 0; pages < 10; ++pages) {
    const auto page = json_of(history(query));
    for (const auto& row : page["data"]) jobs.push_back(row["job_id"].is_null() ? "grant" : row["job_id"]);
    if (page["next_cursor"].is_null()) break;
    EXPECT_EQ(page["data"].size(), 3U);
    query = "limit=3&cursor=" + page["next_cursor"].get<std::string>();
  }
  EXPECT_EQ(jobs, (std::vector<std::string>{"job_6", "job_5", "job_4", "job_3", "job_2", "job_1", "grant"}));
}

TEST_F(History, is_the_callers_own) {
  account = account_with(1'000'000);
  charge("job_of_another", 1);
  account = account_with(0);
  EXPECT_EQ(json_of(history(""))["data"], json::array());
}

TEST_F(History, shows_fifty_unless_asked_and_two_hundred_at_most) {
  account = account_with(1'000'000);
  for (int i = 0; i < 210; ++i) charge("job_" + std::to_string(i), 1);
  EXPECT_EQ(json_of(history(""))["data"].size(), 50U);
  EXPECT_EQ(json_of(history("limit=1"))["data"].size(), 1U);
  EXPECT_EQ(json_of(history("limit=200"))["data"].size(), 200U);
}

TEST_F(History, a_limit_or_a_cursor_that_is_none_is_named_in_the_refusal) {
  const std::pair<std::string, std::string> faults[] = {
      {"limit=0", "limit"},     {"limit=201", "limit"}, {"limit=-1", "limit"},
      {"limit=5x", "limit"},    {"limit=", "limit"},    {"limit=99999999999999999999", "limit"},
      {"cursor=abc", "cursor"}, {"cursor=", "cursor"},  {"limit=5&cursor=1.5", "cursor"}};
  const auto key = make_key({.dialect = "drm3"});
  for (const auto& [query, param] : faults) {
    const auto response = history(Asked().key(key).query(query));
    EXPECT_EQ(response.status, 400) << query;
    EXPECT_EQ(json_of(response)["error"]["param"], param) << query;
  }
}

}  // namespace
}  // namespace turnpike::api
