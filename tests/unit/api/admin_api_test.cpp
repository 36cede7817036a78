#include "turnpike/api/admin_api.hpp"

#include <string>
#include <utility>
#include <vector>

#include "api_fixture.hpp"
#include "common/request_signer.hpp"

namespace turnpike::api {
namespace {

using ledger::Money;
using nlohmann::json;
using test::Asked;

class AdminApiTest : public test::ApiTest {
 protected:
  void SetUp() override {
    ApiTest::SetUp();
    scheduler::NodeSpec spec;
    spec.id = "node-1";
    spec.url = "http://x/v1";
    spec.models = {"m-1"};
    spec.capacity = 4;
    spec.api_key = "the-nodes-secret";
    nodes.assign({spec});
    api = std::make_unique<AdminApi>("the-token", *ledger, *keys, dialects, tiers, *overrides, nodes, clock);
    public_id = ledger->find(account)->public_id;
  }
  void TearDown() override {
    api = nullptr;
    ApiTest::TearDown();
  }

  // What an operator with the token is answered.
  http::Response answer(AdminApi::Work work, Asked asked) {
    asked.field("Authorization", "Bearer the-token").field("Accept", "application/json");
    return loop.run(api->answer(asked.request(), work));
  }
  json ok(AdminApi::Work work, const Asked& asked = {}) {
    const auto response = answer(work, asked);
    EXPECT_EQ(response.status, 200) << response.body;
    return json_of(response);
  }
  // Status and `param` of a refusal.
  std::pair<int, json> refusal(AdminApi::Work work, const Asked& asked) {
    const auto response = answer(work, asked);
    return {response.status, json_of(response)["error"]["param"]};
  }
  json create(const json& wanted = json::object()) { return ok(&AdminApi::create_key, Asked().body(wanted.dump())); }
  std::pair<int, json> refused_key(const json& wanted) {
    return refusal(&AdminApi::create_key, Asked().body(wanted.dump()));
  }
  bool opens(const std::string& api_key) { return keys->find(api_key, clock.wall()).has_value(); }

  scheduler::NodeRegistry nodes{{}, 7};
  std::unique_ptr<AdminApi> api;
  std::string public_id;
};

// ---- the token ----

using AdminToken = AdminApiTest;

TEST_F(AdminToken, is_asked_of_everybody) {
  const auto status = [&](Asked asked) {
    return loop.run(api->answer(asked.field("Accept", "application/json").request(), &AdminApi::create_key)).status;
  };
  EXPECT_EQ(status(Asked()), 401);
  EXPECT_EQ(status(Asked().field("Authorization", "the-token")), 401);
  EXPECT_EQ(status(Asked().field("Authorization", "Bearer the-toke")), 401);
  EXPECT_EQ(status(Asked().field("Authorization", "Bearer the-token ")), 401);
  EXPECT_EQ(status(Asked().field("Authorization", "Bearer ")), 401);
  EXPECT_EQ(status(Asked().field("X-API-Key", "the-token")), 401);
  EXPECT_EQ(status(Asked().key(make_key())), 401);
  EXPECT_EQ(keys->list().size(), 1U);  // of this test's own make_key()
  EXPECT_EQ(status(Asked().field("Authorization", "Bearer the-token")), 200);
}

// ---- keys ----

using AdminKeys = AdminApiTest;

TEST_F(AdminKeys, a_new_one_opens_an_account_of_its_own_in_the_default_dialect) {
  const auto made = create();
  EXPECT_TRUE(made["api_key"].get<std::string>().starts_with("dkn_live_"));
  EXPECT_TRUE(opens(made["api_key"]));
  EXPECT_EQ(made["dialect"], "dria");
  EXPECT_EQ(made["tier"], "metered");
  EXPECT_EQ(made["scopes"], "chat:write chat:read models:read usage:read keys:manage");
  EXPECT_TRUE(made["expires_at"].is_null());
  EXPECT_EQ(made["balance_usdc"], "0.00");
  EXPECT_NE(made["account_id"], public_id);
  EXPECT_NE(ledger->find(made["account_id"].get<std::string>()), nullptr);
}

TEST_F(AdminKeys, a_new_one_is_what_was_asked_for) {
  const auto made = create({{"dialect", "one-adn"},
                            {"tier", "seven"},
                            {"account", public_id},
                            {"credits", "12.5"},
                            {"scopes", "chat:write models:read"},
                            {"expires_at", "2024-02-29T12:00:00Z"}});
  EXPECT_TRUE(made["api_key"].get<std::string>().starts_with("sk_live_"));
  EXPECT_EQ(made["account_id"], public_id);
  EXPECT_EQ(made["tier"], "seven");
  EXPECT_EQ(made["scopes"], "chat:write models:read");
  EXPECT_EQ(made["expires_at"], "2024-02-29T12:00:00.000Z");
  EXPECT_EQ(made["balance_usdc"], "0.125");
  EXPECT_EQ(ledger->balance(account).to_usdc(), "0.125");
  const auto* info = keys->find_by_id(made["key_id"].get<std::string>());
  ASSERT_NE(info, nullptr);
  EXPECT_EQ(info->account_id, account);
  EXPECT_EQ(info->scopes.to_string(), "chat:write models:read");
}

TEST_F(AdminKeys, one_that_signs_carries_its_public_key) {
  const auto pem = turnpike::test::RequestSigner::p256().public_key();
  const auto made = create({{"public_key", pem}, {"require_signature", true}});
  EXPECT_EQ(made["public_key"], pem);
  EXPECT_EQ(made["require_signature"], true);
  const auto* info = keys->find_by_id(made["key_id"].get<std::string>());
  EXPECT_TRUE(info->signing.required);
  EXPECT_EQ(info->signing.public_key->pem(), pem);
  EXPECT_TRUE(create()["public_key"].is_null());
}

TEST_F(AdminKeys, the_tier_is_the_dialects_where_none_is_named) {
  EXPECT_EQ(create({{"dialect", "one-adn"}})["tier"], "free");
  EXPECT_EQ(create({{"dialect", "drm3"}})["tier"], "queue");
}

TEST_F(AdminKeys, a_wish_with_a_fault_makes_nothing) {
  const auto accounts = ledger->stats().accounts;
  const std::pair<json, std::string> faults[] = {
      {{{"dialect", "latin"}}, "dialect"},
      {{{"dialect", 5}}, "dialect"},
      {{{"tier", "gold"}}, "tier"},
      {{{"credits", "-1"}}, "credits"},
      {{{"credits", "1e3"}}, "credits"},
      {{{"credits", "0.00000001"}}, "credits"},
      {{{"credits", 10}}, "credits"},
      {{{"scopes", "chat:all"}}, "scopes"},
      {{{"public_key", "x"}}, "public_key"},
      {{{"require_signature", true}}, "require_signature"},
      {{{"expires_at", "tomorrow"}}, "expires_at"},
      {{{"expires_at", "2023-11-14T22:13:20Z"}}, "expires_at"},  // now
      {{{"expires_at", "2030-02-29T12:00:00Z"}}, "expires_at"},
      {{{"expires_at", "2030-01-01T24:00:00Z"}}, "expires_at"},
      {{{"expires_at", "2030-01-01T12:00:00+02"}}, "expires_at"},
      {{{"expires_at", "2030-01-01T12:-1:00Z"}}, "expires_at"},
  };
  for (const auto& [wanted, param] : faults) {
    EXPECT_EQ(refused_key(wanted), std::pair(400, json(param))) << wanted;
  }
  EXPECT_EQ(refused_key({{"account", "acct_nobody"}}), std::pair(404, json("account")));
  EXPECT_EQ(refused_key(json::array()), std::pair(400, json()));
  EXPECT_EQ(refusal(&AdminApi::create_key, Asked().body("{")), std::pair(400, json()));
  EXPECT_TRUE(keys->list().empty());
  EXPECT_EQ(ledger->stats().accounts, accounts);
}

TEST_F(AdminKeys, a_list_shows_every_key_but_not_how_to_use_it) {
  const auto made = create({{"account", public_id}});
  const auto response = answer(&AdminApi::list_keys, {});
  const auto data = json_of(response)["data"];
  ASSERT_EQ(data.size(), 1U);
  EXPECT_EQ(data[0]["key_id"], made["key_id"]);
  EXPECT_EQ(data[0]["account_id"], public_id);
  EXPECT_EQ(data[0]["display"], made["api_key"].get<std::string>().substr(0, 12));
  EXPECT_EQ(data[0]["created_at"], "2023-11-14T22:13:20.000Z");
  EXPECT_TRUE(data[0]["revoked_at"].is_null());
  EXPECT_EQ(response.body.find(made["api_key"].get<std::string>().substr(12)), std::string::npos);
}

TEST_F(AdminKeys, a_revoked_one_opens_nothing_and_stays_in_the_list) {
  const auto made = create();
  clock.advance(std::chrono::seconds(1));
  const auto revoked = ok(&AdminApi::revoke_key, Asked().parameter(made["key_id"]));
  EXPECT_EQ(revoked["revoked_at"], "2023-11-14T22:13:21.000Z");
  EXPECT_FALSE(opens(made["api_key"]));
  EXPECT_EQ(ok(&AdminApi::list_keys)["data"][0]["revoked_at"], revoked["revoked_at"]);
  EXPECT_EQ(refusal(&AdminApi::revoke_key, Asked().parameter("key_nobody")).first, 404);
}

TEST_F(AdminKeys, a_rotated_one_lives_beside_its_successor_for_a_while) {
  const auto made = create({{"account", public_id}, {"dialect", "one-adn"}, {"scopes", "chat:write"}});
  const auto next = ok(&AdminApi::rotate_key, Asked().parameter(made["key_id"]));
  EXPECT_TRUE(next["api_key"].get<std::string>().starts_with("sk_live_"));
  EXPECT_EQ(next["account_id"], public_id);
  EXPECT_EQ(next["scopes"], "chat:write");
  EXPECT_EQ(next["replaces"], made["key_id"]);
  EXPECT_EQ(next["replaced_expires_at"], "2023-11-14T23:13:20.000Z");
  EXPECT_TRUE(opens(made["api_key"]));
  clock.advance(std::chrono::hours(1));
  EXPECT_FALSE(opens(made["api_key"]));
  EXPECT_TRUE(opens(next["api_key"]));
  EXPECT_EQ(refusal(&AdminApi::rotate_key, Asked().parameter(made["key_id"])).first, 409);
  EXPECT_EQ(refusal(&AdminApi::rotate_key, Asked().parameter("key_nobody")).first, 404);
}

TEST_F(AdminKeys, one_can_be_given_an_end) {
  const auto made = create();
  const auto expire = [&](const std::string& id, const char* at) {
    return answer(&AdminApi::expire_key, std::move(Asked().parameter(id).body(json{{"expires_at", at}}.dump())));
  };
  EXPECT_EQ(expire(made["key_id"], "2023-11-14T22:13:20Z").status, 400) << "that is now";
  EXPECT_EQ(expire(made["key_id"], "").status, 400);
  EXPECT_EQ(expire("key_nobody", "2023-11-14T22:13:21Z").status, 404);
  EXPECT_EQ(json_of(expire(made["key_id"], "2023-11-14T22:13:21Z"))["expires_at"], "2023-11-14T22:13:21.000Z");
  EXPECT_TRUE(opens(made["api_key"]));
  clock.advance(std::chrono::seconds(1));
  EXPECT_FALSE(opens(made["api_key"]));
}

// ---- credits ----

using AdminCredits = AdminApiTest;

TEST_F(AdminCredits, a_grant_is_in_the_balance_and_in_the_history) {
  const auto granted = ok(
      &AdminApi::grant, Asked().body(json{{"account", public_id}, {"credits", "1.0000001"}, {"note", "hello"}}.dump()));
  EXPECT_EQ(granted,
            (json{{"account_id", public_id}, {"granted_usdc", "0.010000001"}, {"balance_usdc", "0.010000001"}}));
  const auto history = ok(&AdminApi::history, Asked().query("account=" + public_id));
  ASSERT_EQ(history["data"].size(), 1U);
  EXPECT_EQ(history["data"][0]["amount_usdc"], "0.010000001");
}

TEST_F(AdminCredits, a_balance_shows_what_is_held_apart) {
  ASSERT_TRUE(loop.run(ledger->grant(account, Money::nanousd(30'000'000), "")));
  const auto hold = ledger->hold(account, Money::nanousd(10'000'000), {.job_id = "job_1", .model = "m-1"});
  ASSERT_TRUE(hold);
  EXPECT_EQ(ok(&AdminApi::balance, Asked().query("account=" + public_id)), (json{{"account_id", public_id},
                                                                                 {"balance", 2},
                                                                                 {"balance_usdc", "0.02"},
                                                                                 {"held_usdc", "0.01"},
                                                                                 {"low_threshold_usdc", nullptr}}));
}

TEST_F(AdminCredits, an_account_that_is_not_there_has_none) {
  const std::pair<int, json> missing(404, "account");
  EXPECT_EQ(refusal(&AdminApi::balance, Asked().query("account=acct_nobody")), missing);
  EXPECT_EQ(refusal(&AdminApi::balance, {}), missing);
  EXPECT_EQ(refusal(&AdminApi::history, Asked().query("account=acct_nobody")), missing);
  EXPECT_EQ(refusal(&AdminApi::grant, Asked().body(R"({"account":"acct_nobody","credits":"1"})")), missing);
}

TEST_F(AdminCredits, a_grant_of_nothing_or_less_is_refused) {
  const auto grant = [&](const std::string& credits) {
    return refusal(&AdminApi::grant, Asked().body(json{{"account", public_id}, {"credits", credits}}.dump())).first;
  };
  EXPECT_EQ(grant(""), 400);
  EXPECT_EQ(grant("0"), 400);
  EXPECT_EQ(grant("-1"), 400);
  EXPECT_EQ(ledger->balance(account), Money());
}

TEST_F(AdminCredits, an_alert_is_set_in_credits_and_shown_with_the_balance) {
  const auto alert = [&](const json& below) {
    return std::move(Asked().body(json{{"account", public_id}, {"below", below}}.dump()));
  };
  const auto shown = [&] {
    return ok(&AdminApi::balance, Asked().query("account=" + public_id))["low_threshold_usdc"];
  };
  EXPECT_EQ(ok(&AdminApi::set_alert, alert("12.5")),
            (json{{"account_id", public_id}, {"low_threshold_usdc", "0.125"}}));
  EXPECT_EQ(shown(), "0.125");
  ok(&AdminApi::set_alert, alert("none"));
  EXPECT_EQ(shown(), nullptr);
  EXPECT_EQ(ledger->own_low_threshold(account), Money());
  ok(&AdminApi::set_alert, alert(nullptr));
  EXPECT_EQ(ledger->own_low_threshold(account), std::nullopt);
  for (const auto& wrong : {json("-1"), json("0.00000001"), json("many"), json(5)}) {
    EXPECT_EQ(refusal(&AdminApi::set_alert, alert(wrong)), std::pair(400, json("below"))) << wrong;
  }
  EXPECT_EQ(refusal(&AdminApi::set_alert, Asked().body(R"({"account":"acct_x","below":"1"})")),
            std::pair(404, json("account")));
}

TEST_F(AdminCredits, a_page_of_history_has_the_limits_of_the_clients_own) {
  EXPECT_EQ(refusal(&AdminApi::history, Asked().query("account=" + public_id + "&limit=201")),
            std::pair(400, json("limit")));
}

// ---- nodes ----

using AdminNodes = AdminApiTest;

TEST_F(AdminNodes, are_listed_with_what_was_seen_of_them_and_without_their_keys) {
  nodes.begin(*nodes.find("node-1"), clock.now());
  const auto response = answer(&AdminApi::list_nodes, {});
  EXPECT_EQ(json_of(response)["data"], (json::array({{{"id", "node-1"},
                                                      {"url", "http://x/v1"},
                                                      {"pool", "bus"},
                                                      {"models", {"m-1"}},
                                                      {"state", "live"},
                                                      {"in_flight", 1},
                                                      {"capacity", 4},
                                                      {"latency_ms", 100},
                                                      {"served", 0},
                                                      {"failed", 0},
                                                      {"owner", nullptr},
                                                      {"payout_share", nullptr}}})));
  EXPECT_EQ(response.body.find("the-nodes-secret"), std::string::npos);
  nodes.abandon(*nodes.find("node-1"));
}

TEST_F(AdminNodes, their_state_is_the_first_reason_to_leave_them_out) {
  auto& node = *nodes.find("node-1");
  const auto state = [&] { return ok(&AdminApi::list_nodes)["data"][0]["state"]; };
  for (int i = 0; i < 3; ++i) {
    nodes.begin(node, clock.now());
    nodes.fail(node, clock.now());
  }
  EXPECT_EQ(state(), "broken");
  nodes.probed(node, false);
  EXPECT_EQ(state(), "dead");
  nodes.drain(node, true);
  EXPECT_EQ(state(), "draining");
}

TEST_F(AdminNodes, a_drained_one_takes_no_more_requests_until_told) {
  const auto drain = [&](const std::string& body) {
    return ok(&AdminApi::drain_node, Asked().parameter("node-1").body(body))["state"];
  };
  EXPECT_EQ(drain(""), "draining");
  EXPECT_FALSE(nodes.find("node-1")->available(clock.now()));
  EXPECT_EQ(drain(R"({"drain":false})"), "live");
  EXPECT_TRUE(nodes.find("node-1")->available(clock.now()));
  EXPECT_EQ(refusal(&AdminApi::drain_node, Asked().parameter("node-1").body(R"({"drain":"yes"})")),
            std::pair(400, json("drain")));
  EXPECT_EQ(refusal(&AdminApi::drain_node, Asked().parameter("nobody")).first, 404);
}

TEST_F(AdminNodes, with_an_owner_say_whose_they_are_and_what_was_earned) {
  auto spec = nodes.find("node-1")->spec();
  spec.payee = {.account = account, .share_millionths = 750'000};
  nodes.assign({spec});
  const auto shown = ok(&AdminApi::list_nodes)["data"][0];
  EXPECT_EQ(shown["owner"], public_id);
  EXPECT_EQ(shown["payout_share"], "0.75");
  const auto earned = ok(&AdminApi::node_earnings, Asked().parameter("node-1"));
  EXPECT_EQ(earned["account_id"], public_id);
  EXPECT_EQ(earned["earned_usdc"], "0.00");
  EXPECT_EQ(earned["data"], json::array());
  using Refusal = std::pair<int, json>;
  EXPECT_EQ(refusal(&AdminApi::node_earnings, Asked().parameter("node-9")), (Refusal{404, nullptr}));
  EXPECT_EQ(refusal(&AdminApi::node_earnings, Asked().parameter("node-1").query("account=acct_x")),
            (Refusal{404, "account"}));
  EXPECT_EQ(refusal(&AdminApi::node_earnings, Asked().parameter("node-1").query("limit=0")), (Refusal{400, "limit"}));
}

TEST_F(AdminApiTest, limits_of_an_account_are_set_shown_and_cleared) {
  const auto shown = [&] { return ok(&AdminApi::show_limits, Asked().query("account=" + public_id)); };
  const auto set = [&](json body) {
    body["account"] = public_id;
    return ok(&AdminApi::set_limits, Asked().body(body.dump()));
  };
  EXPECT_TRUE(shown()["tier"].is_null());
  const auto answer = set({{"tier", "free"}, {"requests_per_minute", 7}, {"tokens_per_day", "none"}});
  EXPECT_EQ(answer, shown());
  EXPECT_EQ(answer["account_id"], public_id);
  EXPECT_EQ(answer["tier"], "free");
  EXPECT_EQ(answer["requests_per_minute"], 7);
  EXPECT_EQ(answer["tokens_per_day"], "none");
  EXPECT_TRUE(answer["concurrent_jobs"].is_null());
  EXPECT_EQ(overrides->find(account)->limits.tokens_per_day, 0U);
  EXPECT_TRUE(set({})["tier"].is_null());
  EXPECT_EQ(overrides->find(account), nullptr);
}

TEST_F(AdminApiTest, limits_that_are_none_are_refused_by_name) {
  const auto refused = [&](json body) {
    body["account"] = public_id;
    return refusal(&AdminApi::set_limits, Asked().body(body.dump()));
  };
  using Refusal = std::pair<int, json>;
  EXPECT_EQ(refused({{"tier", "nope"}}), (Refusal{400, "tier"}));
  EXPECT_EQ(refused({{"tier", 1}}), (Refusal{400, "tier"}));
  for (const json& value : {json(0), json(-1), json(1.5), json("7"), json(true), json(1'125'899'906'842'625)}) {
    EXPECT_EQ(refused({{"tokens_per_minute", value}}), (Refusal{400, "tokens_per_minute"})) << value;
  }
  EXPECT_EQ(refusal(&AdminApi::set_limits, Asked().body("{}")), (Refusal{400, "account"}));
  EXPECT_EQ(refusal(&AdminApi::set_limits, Asked().body(R"({"account":"acct_x"})")), (Refusal{404, "account"}));
  EXPECT_EQ(refusal(&AdminApi::show_limits, Asked()), (Refusal{404, "account"}));
  EXPECT_EQ(overrides->find(account), nullptr);
}

}  // namespace
}  // namespace turnpike::api
