#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "common/padded.hpp"
#include "turnpike/scan/scan.hpp"

namespace turnpike::scan {
namespace {

class AnswerScanTest : public testing::Test {
 protected:
  AnswerScan read(std::string_view json) {
    text_ = json;
    const test::Padded padded(json);
    AnswerScan scan;
    EXPECT_TRUE(scanner_.answer(padded.view(), scan).has_value()) << json;
    return scan;
  }
  bool refuses(std::string_view json) {
    const test::Padded padded(json);
    AnswerScan scan;
    return !scanner_.answer(padded.view(), scan).has_value();
  }
  // The scan of a chunk with that one delta.
  AnswerScan delta(std::string_view members) {
    return read(R"({"choices":[{"index":0,"delta":{)" + std::string(members) + "}}]}");
  }
  [[nodiscard]] std::string at(Span span) const { return text_.substr(span.at, span.size); }

  Scanner scanner_;
  std::string text_;
};

using Answer = AnswerScanTest;

TEST_F(Answer, spans_hold_the_tokens_to_the_byte) {
  const auto scan =
      read(R"({ "id" : "a\"b" ,"model":"m", "choices":[{"delta":{"content" : "hi" }}], "usage" : {"x":1}, )"
           R"("metadata" : {"k":[]} } )");
  EXPECT_EQ(at(scan.id), R"("a\"b")");
  EXPECT_EQ(at(scan.model), "\"m\"");
  EXPECT_EQ(at(scan.content), "\"hi\"");
  EXPECT_EQ(at(scan.usage), "{");
  EXPECT_EQ(at(scan.metadata), "{");
  EXPECT_EQ(text_.substr(scan.object_end), "} ");
}

TEST_F(Answer, reads_what_the_node_says_it_used) {
  const auto scan = read(R"({"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":9,"details":{"a":[1]}}})");
  EXPECT_EQ(scan.counts.prompt_tokens, 7U);
  EXPECT_EQ(scan.counts.completion_tokens, 9U);
  EXPECT_TRUE(scan.only_usage());
}

TEST_F(Answer, takes_a_count_that_is_no_count_for_no_claim) {
  for (const std::string_view count : {"-1", "1.5", "1e3", "\"7\"", "null", "99999999999999999999999", "{}"}) {
    const auto scan = read(R"({"usage":{"prompt_tokens":)" + std::string(count) + R"(,"completion_tokens":2}})");
    EXPECT_EQ(scan.counts.prompt_tokens, std::nullopt) << count;
    EXPECT_EQ(scan.counts.completion_tokens, 2U) << count;
  }
}

TEST_F(Answer, does_not_find_a_usage_of_null) {
  const auto scan = read(R"({"choices":[],"usage":null})");
  EXPECT_FALSE(scan.usage.found());
  EXPECT_FALSE(scan.only_usage());
}

TEST_F(Answer, counts_the_bytes_that_the_text_stands_for) {
  EXPECT_EQ(delta(R"("content":"hi")").text_bytes, 2U);
  EXPECT_EQ(delta(R"("content":"a\nb\"")").text_bytes, 4U);
  EXPECT_EQ(delta(R"("content":"\u00e9")").text_bytes, 2U);
  EXPECT_EQ(delta("\"content\":\"é\"").text_bytes, 2U);
  EXPECT_EQ(delta(R"("content":"\u20ac")").text_bytes, 3U);
  EXPECT_EQ(delta(R"("content":"\ud83d\ude00")").text_bytes, 4U);
}

TEST_F(Answer, counts_all_that_a_client_gets_to_read) {
  EXPECT_EQ(delta(R"("content":"12","reasoning_content":"345","refusal":"6","role":"assistant")").text_bytes, 6U);
  EXPECT_EQ(
      delta(R"("tool_calls":[{"id":"call","type":"function","function":{"name":"abc","arguments":"{}"}}])").text_bytes,
      5U);
  EXPECT_EQ(delta(R"("function_call":{"name":"abc","arguments":"{}"})").text_bytes, 5U);
  EXPECT_EQ(read(R"({"choices":[{"text":"abc"}]})").text_bytes, 3U);
  EXPECT_EQ(read(R"({"choices":[{"message":{"content":"abc"}},{"message":{"content":"de"}}]})").text_bytes, 5U);
}

TEST_F(Answer, finds_the_content_when_it_is_the_only_text) {
  EXPECT_EQ(at(delta(R"("role":"assistant","content":"hi")").content), "\"hi\"");
  EXPECT_EQ(at(delta(R"("content":"hi","reasoning_content":"")").content), "\"hi\"");
  EXPECT_EQ(at(read(R"({"choices":[{"text":"abc"}]})").content), "\"abc\"");
}

TEST_F(Answer, finds_no_content_among_several_texts) {
  EXPECT_FALSE(delta(R"("content":"hi","reasoning_content":"x")").content.found());
  EXPECT_FALSE(delta(R"("reasoning_content":"x","content":"hi")").content.found());
  EXPECT_FALSE(delta(R"("content":"a","content":"b")").content.found());
  EXPECT_FALSE(read(R"({"choices":[{"delta":{"content":"a"}},{"delta":{}}]})").content.found());
  EXPECT_FALSE(read(R"({"choices":[{"text":"a","delta":{"content":"a"}}]})").content.found());
  EXPECT_FALSE(delta(R"("content":null)").content.found());
}

TEST_F(Answer, is_finished_when_every_choice_is) {
  EXPECT_TRUE(read(R"({"choices":[{"finish_reason":"stop"},{"finish_reason":"length"}]})").finished);
  const auto half = read(R"({"choices":[{"finish_reason":"stop"},{"finish_reason":null}]})");
  EXPECT_FALSE(half.finished);
  EXPECT_EQ(half.finished_choices, 1U);
  EXPECT_FALSE(read(R"({"choices":[]})").finished);
}

TEST_F(Answer, tells_an_error_from_a_null_one) {
  EXPECT_TRUE(read(R"({"error":{"message":"no"}})").is_error);
  EXPECT_TRUE(read(R"({"error":"no"})").is_error);
  EXPECT_FALSE(read(R"({"error":null,"choices":[]})").is_error);
}

TEST_F(Answer, tells_embeddings_by_their_data) {
  EXPECT_TRUE(read(R"({"object":"list","data":[{"embedding":[0.1,-2e-3]}]})").has_data);
  EXPECT_FALSE(read(R"({"data":null})").has_data);
}

TEST_F(Answer, keeps_nothing_of_the_answer_before) {
  read(R"({"id":"x","model":"m","error":1,"usage":{"prompt_tokens":1},"choices":[{"text":"abc"}]})");
  const auto scan = read("{}");
  EXPECT_FALSE(scan.id.found() || scan.model.found() || scan.usage.found() || scan.content.found());
  EXPECT_FALSE(scan.is_error || scan.has_choices);
  EXPECT_EQ(scan.text_bytes, 0U);
  EXPECT_EQ(scan.counts.prompt_tokens, std::nullopt);
}

TEST_F(Answer, refuses_what_is_not_whole) {
  for (const std::string_view json :
       {"", "[]", "null", "{", R"({"choices":[{"delta":{"content":"a)", R"({"choices":[{]})", R"({"choices":{}})",
        R"({"choices":[7]})", "{} {}", "{}x", R"({"id":"\z"})", R"({"usage":{"prompt_tokens":01}})",
        "{\"choices\":[{\"text\":\"\xC3\"}]}", R"({"id":tru})", R"({"metadata":nul})", "[DONE]"}) {
    EXPECT_TRUE(refuses(json)) << json;
  }
}

TEST(UnescapedBytes, counts_each_escape_as_what_it_stands_for) {
  EXPECT_EQ(unescaped_bytes(""), 0U);
  EXPECT_EQ(unescaped_bytes("plain"), 5U);
  EXPECT_EQ(unescaped_bytes(R"(\\\"\/\b\f\n\r\t)"), 8U);
  EXPECT_EQ(unescaped_bytes(R"(\u0000\u007F)"), 2U);
  EXPECT_EQ(unescaped_bytes(R"(\u0080\u07ff)"), 4U);
  EXPECT_EQ(unescaped_bytes(R"(\u0800\uFFFF)"), 6U);
  EXPECT_EQ(unescaped_bytes(R"(\uD83D\uDE00)"), 4U);
}

TEST(EscapesAreValid, knows_the_escapes_of_rfc_8259) {
  for (const std::string_view text : {"", "x", R"(\\)", R"(\"\/\b\f\n\r\t)", R"(\u00aF)", R"(\\u)"}) {
    EXPECT_TRUE(escapes_are_valid(text)) << text;
  }
  for (const std::string_view text :
       {R"(\)", R"(a\)", R"(\a)", R"(\u)", R"(\u123)", R"(\u12g4)", R"(\U0041)", R"(\')", R"(\\\)"}) {
    EXPECT_FALSE(escapes_are_valid(text)) << text;
  }
}

TEST(EndOfContainer, is_one_past_the_bracket_that_closes_it) {
  const std::string_view json = R"({"a":[1,{"b":"]}\"}\\"}],"c":{}} )";
  EXPECT_EQ(end_of_container(json, 0), json.size() - 1);
  EXPECT_EQ(json.substr(5, end_of_container(json, 5) - 5), R"([1,{"b":"]}\"}\\"}])");
  const auto c = json.rfind("{}");
  EXPECT_EQ(end_of_container(json, c), c + 2);
}

}  // namespace
}  // namespace turnpike::scan
