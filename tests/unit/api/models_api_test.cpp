#include "turnpike/api/models_api.hpp"

#include <string>
#include <utility>
#include <vector>

#include "api_fixture.hpp"

namespace turnpike::api {
namespace {

using ledger::Money;
using nlohmann::json;
using test::Asked;

inference::Model model(std::string id) {
  inference::Model made;
  made.id = std::move(id);
  made.owned_by = "someone";
  made.created = 1'704'067'200;
  made.context_window = 32'768;
  made.structured_output = true;
  made.price = {.prompt_per_million = Money::nanousd(50'000'000),
                .completion_per_million = Money::nanousd(2'000'000'000)};
  return made;
}

scheduler::NodeSpec node(std::string id, std::vector<std::string> models, std::string pool = "bus") {
  scheduler::NodeSpec spec;
  spec.id = std::move(id);
  spec.url = "http://x";
  spec.models = std::move(models);
  spec.pool = std::move(pool);
  return spec;
}

class ModelsApiTest : public test::ApiTest {
 protected:
  void SetUp() override {
    ApiTest::SetUp();
    key = make_key({.dialect = "drm3"});
    catalogue.assign({model("m-1"), model("m-2"), model("idle")});
    nodes.assign({node("a", {"m-1", "m-2"}), node("b", {"m-2"}), node("p", {"m-1"}, "pistachio")});
  }
  [[nodiscard]] ModelsApi api() const { return {*guard, catalogue, nodes, clock}; }
  json list(const std::string& query = "") { return json_of(api().list(Asked().key(key).query(query).request())); }
  std::vector<std::string> ids(const std::string& query = "") {
    std::vector<std::string> found;
    for (const auto& each : list(query)["data"]) found.push_back(each["id"]);
    return found;
  }
  http::Response get(const std::string& id, const std::string& query = "") {
    return api().get(Asked().key(key).query(query).parameter(id).request());
  }

  using Ids = std::vector<std::string>;
  std::string key;
  inference::Catalogue catalogue;
  scheduler::NodeRegistry nodes{{}, 7};
};

using ModelsList = ModelsApiTest;

TEST_F(ModelsList, holds_what_a_live_node_serves_in_the_configurations_order) {
  EXPECT_EQ(list()["object"], "list");
  EXPECT_EQ(ids(), (Ids{"m-1", "m-2"}));
  catalogue.assign({model("m-2"), model("m-1")});
  EXPECT_EQ(ids(), (Ids{"m-2", "m-1"}));
}

TEST_F(ModelsList, a_model_leaves_with_its_last_live_node_and_comes_back_with_it) {
  nodes.probed(*nodes.find("a"), false);
  EXPECT_EQ(ids(), Ids{"m-2"});
  nodes.drain(*nodes.find("b"), true);
  EXPECT_EQ(ids(), Ids{});
  nodes.probed(*nodes.find("a"), true);
  EXPECT_EQ(ids(), (Ids{"m-1", "m-2"}));
}

TEST_F(ModelsList, another_pool_is_listed_when_asked_for) {
  EXPECT_EQ(ids("pool=pistachio"), Ids{"m-1"});
  EXPECT_EQ(ids("pool=nowhere"), Ids{});
}

TEST_F(ModelsList, needs_a_key_that_may_read_models) {
  EXPECT_EQ(api().list(Asked().request()).status, 401);
  key = make_key(with_scopes("chat:write"));
  EXPECT_EQ(api().list(Asked().key(key).request()).status, 403);
  EXPECT_EQ(get("m-1").status, 403);
}

using OneModel = ModelsApiTest;

TEST_F(OneModel, is_shown_as_the_contract_says) {
  EXPECT_EQ(json_of(get("m-2")), (json{{"id", "m-2"},
                                       {"object", "model"},
                                       {"created", 1'704'067'200},
                                       {"owned_by", "someone"},
                                       {"capabilities",
                                        {{"chat", true},
                                         {"completion", true},
                                         {"embeddings", false},
                                         {"vision", false},
                                         {"structured_output", true}}},
                                       {"context_window", 32'768},
                                       {"nodes", 2},
                                       {"median_latency_ms", 100},
                                       {"pricing",
                                        {{"prompt_per_million_usd", "0.05"},
                                         {"completion_per_million_usd", "2.00"},
                                         {"price_id", ledger::price_id(catalogue.find("m-2")->price)}}}}));
}

TEST_F(OneModel, priced_by_the_request_says_what_that_pays_for) {
  auto dear = model("m-1");
  dear.price = {.per_request = Money::nanousd(1'500'000),
                .included_output_tokens = 500,
                .per_thousand_beyond = Money::nanousd(1)};
  catalogue.assign({dear});
  EXPECT_EQ(json_of(get("m-1"))["pricing"], (json{{"prompt_per_million_usd", "0.00"},
                                                  {"completion_per_million_usd", "0.00"},
                                                  {"per_request_usd", "0.0015"},
                                                  {"included_output_tokens", 500},
                                                  {"per_thousand_beyond_usd", "0.000000001"},
                                                  {"price_id", ledger::price_id(dear.price)}}));
}

TEST_F(OneModel, has_the_extras_of_a_dialect_that_wants_them) {
  EXPECT_FALSE(json_of(get("m-1")).contains("decentral"));
  key = make_key({.dialect = "decentral"});
  EXPECT_EQ(json_of(get("m-1"))["decentral"], (json{{"tier", "metered"},
                                                    {"credits_per_request", "0"},
                                                    {"credits_per_1k_tokens", "0.2"},
                                                    {"active_workers", 1},
                                                    {"median_latency_ms", 100},
                                                    {"parameters", nullptr},
                                                    {"context_window", 32'768}}));
}

TEST_F(OneModel, whose_price_beyond_is_set_shows_that_one_in_credits) {
  auto dear = model("m-1");
  dear.price.per_request = Money::nanousd(15'000'000);
  dear.price.per_thousand_beyond = Money::nanousd(5'000'000);
  catalogue.assign({dear});
  key = make_key({.dialect = "decentral"});
  const auto extras = json_of(get("m-1"))["decentral"];
  EXPECT_EQ(extras["credits_per_request"], "1.5");
  EXPECT_EQ(extras["credits_per_1k_tokens"], "0.5");
}

TEST_F(OneModel, that_is_not_there_and_that_nobody_serves_are_both_404) {
  for (const auto* id : {"nothing", "idle"}) {
    const auto response = get(id);
    EXPECT_EQ(response.status, 404) << id;
    const auto error = json_of(response)["error"];
    EXPECT_EQ(error["code"], "model_not_found") << id;
    EXPECT_EQ(error["param"], "model") << id;
  }
  EXPECT_NE(json_of(get("nothing")), json_of(get("idle")));
  EXPECT_EQ(get("m-2", "pool=pistachio").status, 404);
  EXPECT_EQ(get("m-1", "pool=pistachio").status, 200);
}

TEST_F(OneModel, a_name_is_not_repeated_at_any_length) {
  EXPECT_LT(get(std::string(10'000, 'x')).body.size(), 500U);
}

}  // namespace
}  // namespace turnpike::api
