// The pure parts of the simulated node: other tests compute what they expect by these rules.
#include <gtest/gtest.h>

#include <string>

// The program has no library to link: its pure sources are taken in as they are.
#include "../src/simnode/behaviour.cpp"  // NOLINT(bugprone-suspicious-include)
#include "../src/simnode/prompt.cpp"     // NOLINT(bugprone-suspicious-include)
#include "../src/simnode/sample.cpp"     // NOLINT(bugprone-suspicious-include)
#include "../src/simnode/speech.cpp"     // NOLINT(bugprone-suspicious-include)

namespace turnpike::simnode {
namespace {

std::string all_of(const Speech& speech) {
  std::string out;
  for (std::size_t i = 0; i < speech.size(); ++i) out += speech.token(i);
  return out;
}

TEST(Speech, follows_from_the_prompt_by_the_documented_rule) {
  EXPECT_EQ(fnv1a(""), 2166136261U);
  EXPECT_EQ(fnv1a("a"), 0xe40c292cU);
  EXPECT_EQ(all_of(Speech(fnv1a("hello"), 4, "")), "lagoon marble nectar onyx");
}

TEST(Speech, goes_on_from_any_byte_of_its_own_text) {
  const std::string whole = all_of(Speech(20, 16, ""));
  for (std::size_t cut = 0; cut <= whole.size(); ++cut) {
    const std::string prefix = whole.substr(0, cut);
    EXPECT_EQ(prefix + all_of(Speech(20, 16, prefix)), whole) << cut;
  }
}

TEST(Speech, says_everything_after_a_prefix_that_is_not_its_own) {
  const std::string whole = all_of(Speech(3, 5, ""));
  EXPECT_EQ(all_of(Speech(3, 5, "something else")), " " + whole);
}

TEST(Speech, says_a_literal_and_goes_on_in_it) {
  EXPECT_EQ(all_of(Speech(percent_decoded("%7B%22a%22:%201%7D"), "")), "{\"a\": 1}");
  EXPECT_EQ(all_of(Speech(percent_decoded("one%20two%20three"), "one tw")), "o three");
}

TEST(Behaviour, takes_directives_from_a_prompt) {
  Behaviour behaviour;
  EXPECT_EQ(behaviour.apply_directives("hello [[sim tokens=7 die=fin]] and [[sim stall_before]]"), std::nullopt);
  EXPECT_EQ(behaviour.tokens, 7);
  EXPECT_EQ(behaviour.die, "fin");
  EXPECT_EQ(behaviour.stall_before, 1);
}

TEST(Behaviour, refuses_what_it_does_not_know) {
  Behaviour behaviour;
  EXPECT_NE(behaviour.apply_directives("[[sim tokenz=7]]"), std::nullopt);
  EXPECT_NE(behaviour.apply_directives("[[sim tokens=many]]"), std::nullopt);
  EXPECT_NE(behaviour.apply_directives("[[sim tokens=7"), std::nullopt);
}

TEST(Prompt, answers_the_last_user_message_and_counts_all) {
  const auto prompt = scan_chat(
      R"({"model":"m","max_tokens":9,"stream":true,"stream_options":{"include_usage":true},"messages":[
          {"role":"system","content":"1234"},
          {"role":"user","content":[{"type":"text","text":"ab"},{"type":"image_url","image_url":{"url":"x"}}]},
          {"role":"assistant","content":"so far"}]})");
  ASSERT_TRUE(prompt);
  EXPECT_EQ(prompt->said, "ab");
  EXPECT_EQ(prompt->prefix, "so far");
  EXPECT_TRUE(prompt->repeat_prefix);
  EXPECT_EQ(prompt->prompt_tokens, 3 * 4 + 85 + 3);
  EXPECT_EQ(prompt->max_tokens, 9);
  EXPECT_TRUE(prompt->include_usage);
}

TEST(Prompt, that_asks_for_a_schema_is_answered_with_a_value_of_it) {
  const auto prompt = scan_chat(R"({"model":"m","messages":[{"role":"user","content":"a"}],
      "response_format":{"type":"json_schema","json_schema":{"name":"s","schema":{
        "type":"object","$defs":{"city":{"type":"string","minLength":3}},
        "properties":{"at":{"$ref":"#/$defs/city"},"kind":{"enum":["x y","z"]},"n":{"type":"integer","minimum":7},
                      "of":{"type":"array","items":{"anyOf":[{"type":"boolean"},{"type":"null"}]},"minItems":2}}}}}})");
  ASSERT_TRUE(prompt);
  EXPECT_EQ(prompt->sample, R"({"at":"aaa","kind":"x y","n":7,"of":[true,true]})");
  EXPECT_EQ(all_of(Speech(prompt->sample, "")), prompt->sample);
}

TEST(Sample, of_a_schema_that_asks_for_no_end_of_values_ends) {
  auto schema = nlohmann::json::parse(R"({"type":"object"})");
  for (int i = 0; i < 10; ++i) schema["properties"][std::to_string(i)]["$ref"] = "#";
  EXPECT_LT(sample_of(schema).size(), 1'000'000U);
}

TEST(Sample, keeps_to_bounds_beyond_all_integers) {
  const auto sample = sample_of(nlohmann::json::parse(R"({"type":"number","minimum":1e300})"));
  EXPECT_EQ(nlohmann::json::parse(sample), 1e300);
}

TEST(Prompt, does_not_repeat_the_prefix_when_told_so) {
  const auto prompt = scan_chat(
      R"({"model":"m","continue_final_message":true,"add_generation_prompt":false,
          "messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]})");
  ASSERT_TRUE(prompt);
  EXPECT_FALSE(prompt->repeat_prefix);
}

}  // namespace
}  // namespace turnpike::simnode
