// Answers that are held to the JSON schema of their request.
#include <gmock/gmock.h>

#include "support/network.hpp"

namespace turnpike::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;

class Schemas : public NetworkTest {
 protected:
  Schemas() { config["models"][0]["capabilities"].push_back("structured_output"); }

  // Asks for {"city": a text}.
  static json asks(const std::string& prompt) {
    auto body = chat(prompt);
    body["response_format"] = {{"type", "json_schema"},
                               {"json_schema",
                                {{"name", "place"},
                                 {"strict", true},
                                 {"schema",
                                  {{"type", "object"},
                                   {"properties", {{"city", {{"type", "string"}}}}},
                                   {"required", {"city"}},
                                   {"additionalProperties", false}}}}}};
    return body;
  }
  static std::string content(const Answer& answer) { return answer.json()["choices"][0]["message"]["content"]; }
  [[nodiscard]] std::size_t asked() const {
    std::size_t sum = 0;
    for (const auto& node : nodes) sum += node->stats()["prompts"].get<std::size_t>();
    return sum;
  }
};

constexpr auto kFits = "text=%7B%22city%22:%22Oslo%22%7D";
constexpr auto kMisfits = "text=%7B%22city%22:7%7D";

TEST_F(Schemas, an_answer_that_fits_is_delivered_as_it_is) {
  add_node({"--set", kFits});
  start_gateway();
  const auto key = create_key("100");
  const auto answer = ask(key, asks("where"));
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(json::parse(content(answer)), (json{{"city", "Oslo"}}));
  EXPECT_EQ(charges(key).size(), 1U);
  EXPECT_EQ(metric("turnpike_schema_misfits_total"), 0);
}

TEST_F(Schemas, an_answer_that_does_not_fit_is_asked_of_another_node_and_charged_once) {
  add_node({"--set", kMisfits});
  add_node({"--set", kFits});
  start_gateway();
  const auto key = create_key("100");
  // Whichever is asked first: until the one that misfits was.
  for (int i = 0; metric("turnpike_schema_misfits_total") == 0 && i < 50; ++i) {
    const auto answer = ask(key, asks("where " + std::to_string(i)));
    ASSERT_EQ(answer.status, 200) << answer.body;
    EXPECT_EQ(json::parse(content(answer)), (json{{"city", "Oslo"}}));
    EXPECT_EQ(answer.json()["metadata"]["node_id"], "node-2");
    EXPECT_EQ(charges(key).size(), static_cast<std::size_t>(i) + 1);
  }
  EXPECT_EQ(metric("turnpike_schema_misfits_total"), 1);
  EXPECT_TRUE(no_hold_is_left());
}

TEST_F(Schemas, two_that_do_not_fit_are_enough_and_nothing_is_charged) {
  for (int i = 0; i < 3; ++i) add_node({"--set", kMisfits});
  start_gateway();
  const auto key = create_key("100");
  const auto answer = ask(key, asks("where"));
  EXPECT_EQ(answer.status, 502);
  EXPECT_EQ(answer.json()["error"]["code"], "invalid_node_output");
  EXPECT_THAT(answer.json()["error"]["message"].get<std::string>(), HasSubstr("`type`"));
  EXPECT_EQ(asked(), 2U);
  EXPECT_EQ(metric("turnpike_schema_misfits_total"), 2);
  EXPECT_TRUE(charges(key).empty());
  EXPECT_EQ(balance_usdc(key), "1.00");
  EXPECT_TRUE(no_hold_is_left());
}

TEST_F(Schemas, a_node_is_not_blamed_for_a_schema_that_nothing_fits) {
  add_node();
  config["scheduler"]["breaker_failures"] = 1;
  start_gateway();
  const auto key = create_key("100");
  auto body = asks("where");
  body["response_format"]["json_schema"]["schema"] = {{"not", json::object()}};
  for (int i = 0; i < 3; ++i) EXPECT_EQ(ask(key, body).status, 502);
  EXPECT_EQ(ask(key, chat("where")).status, 200);
}

TEST_F(Schemas, words_that_are_no_json_do_not_fit) {
  add_node({"--set", "text=Oslo"});
  start_gateway();
  const auto answer = ask(create_key("100"), asks("where"));
  EXPECT_EQ(answer.status, 502);
  EXPECT_THAT(answer.json()["error"]["message"].get<std::string>(), HasSubstr("not JSON"));
}

TEST_F(Schemas, every_choice_has_to_fit) {
  add_node();
  start_gateway();
  auto body = asks("where");
  body["n"] = 3;
  const auto answer = ask(create_key("100"), body);
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(answer.json()["choices"].size(), 3U);
}

TEST_F(Schemas, what_is_not_a_whole_text_is_delivered_as_it_is) {
  add_node({"--set", "text=%7B%22city%22: %22Oslo%22%7D"});
  start_gateway();
  const auto key = create_key("100");
  auto body = asks("where");
  body["max_tokens"] = 1;
  auto answer = ask(key, body);
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(content(answer), "{\"city\":");
  EXPECT_EQ(answer.json()["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(ask(key, asks("[[sim tool_call=1]]")).json()["choices"][0]["finish_reason"], "tool_calls");
  body.erase("max_tokens");
  body["stream"] = true;
  body["response_format"]["json_schema"]["schema"]["properties"]["city"]["type"] = "null";
  answer = ask(key, body);
  EXPECT_TRUE(answer.done());
}

TEST_F(Schemas, a_queued_job_whose_answers_do_not_fit_is_dead_at_once) {
  auto& node = add_node({"--set", kMisfits});
  start_gateway();
  const auto key = create_key("100");
  auto headers = bearer(key);
  headers.emplace_back("Prefer", "respond-async");
  const auto queued = call(address, "POST", "/v1/chat/completions", headers, asks("where").dump());
  ASSERT_EQ(queued.status, 202) << queued.body;
  const auto path = "/v1/results/" + queued.json()["id"].get<std::string>();
  ASSERT_TRUE(eventually([&] { return get(key, path)["status"] == "dead"; })) << get(key, path);
  EXPECT_EQ(get(key, path)["error"]["code"], "invalid_node_output");
  EXPECT_EQ(node.stats()["prompts"], 1);
  EXPECT_TRUE(charges(key).empty());
}

TEST_F(Schemas, a_schema_that_cannot_be_read_is_refused_before_any_hold) {
  auto& node = add_node();
  config["relay"]["schema_max_bytes"] = 2000;
  start_gateway();
  const auto key = create_key("100");
  for (const json& schema :
       {json{{"type", "text"}}, json{{"$ref", "#"}}, json{{"description", std::string(2000, 'x')}}}) {
    auto body = asks("where");
    body["response_format"]["json_schema"]["schema"] = schema;
    const auto answer = ask(key, body);
    EXPECT_EQ(answer.status, 400) << answer.body;
    EXPECT_EQ(answer.json()["error"]["param"], "response_format.json_schema.schema");
  }
  EXPECT_EQ(node.stats()["prompts"], 0);
  EXPECT_TRUE(no_hold_is_left());
}

TEST_F(Schemas, a_check_that_takes_too_long_or_reads_too_much_lets_the_answer_through) {
  add_node({"--set", kMisfits});
  config["relay"]["schema_max_steps"] = 1;
  start_gateway();
  EXPECT_EQ(ask(create_key("100"), asks("where")).status, 200);
  ASSERT_EQ(stop_gateway(), 0);
  config["relay"] = {{"schema_max_bytes", 150}};
  start_gateway();
  EXPECT_EQ(ask(create_key("100"), asks("where")).status, 200);
}

TEST_F(Schemas, a_model_without_the_capability_passes_them_on) {
  config["models"][0]["capabilities"].erase(config["models"][0]["capabilities"].size() - 1);
  add_node({"--set", kMisfits});
  start_gateway();
  auto body = asks("where");
  body["response_format"]["json_schema"]["schema"]["type"] = "text";
  EXPECT_EQ(ask(create_key("100"), body).status, 200);
}

TEST_F(Schemas, a_simulated_node_answers_with_a_value_of_the_schema) {
  add_node();
  start_gateway();
  const auto answer = ask(create_key("100"), asks("where"));
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(json::parse(content(answer)), (json{{"city", "a"}}));
}

}  // namespace
}  // namespace turnpike::test
