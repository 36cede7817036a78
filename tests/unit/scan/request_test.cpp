#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "common/padded.hpp"
#include "turnpike/scan/scan.hpp"

namespace turnpike::scan {
namespace {

using test::Padded;

class RequestScanTest : public testing::Test {
 protected:
  // The scan of a body that is well-formed.
  RequestScan read(std::string_view body, RequestKind kind = RequestKind::chat) {
    text_ = body;
    const Padded padded(body);
    auto scan = scanner_.request(kind, padded.view());
    EXPECT_TRUE(scan.has_value()) << body << "\n" << (scan ? "" : scan.error().message);
    return scan ? *std::move(scan) : RequestScan{};
  }
  // A chat request with `members` (comma first) behind a model and one message.
  RequestScan with(std::string_view members) { return read(chat(members)); }

  Error refusal(std::string_view body, RequestKind kind = RequestKind::chat) {
    const Padded padded(body);
    auto scan = scanner_.request(kind, padded.view());
    EXPECT_FALSE(scan.has_value()) << body;
    return scan ? Error{} : scan.error();
  }
  std::string param(std::string_view body, RequestKind kind = RequestKind::chat) { return refusal(body, kind).param; }
  std::string param_with(std::string_view members) { return param(chat(members)); }
  std::string param_of_messages(std::string_view messages) {
    return param(std::string(R"({"model":"m","messages":)") + std::string(messages) + "}");
  }

  static std::string chat(std::string_view members) {
    return R"({"model":"m","messages":[{"role":"user","content":"hi"}])" + std::string(members) + "}";
  }
  [[nodiscard]] std::string at(Span span) const { return text_.substr(span.at, span.size); }

  Scanner scanner_;
  std::string text_;
};

using Scan = RequestScanTest;

TEST_F(Scan, finds_the_members_it_reads) {
  const auto scan =
      with(R"(,"stream":true,"max_tokens":5,"n":3,"timeout_secs":1.5,"stream_options":{"include_usage":true},)"
           R"("response_format":{"type":"json_schema","json_schema":{}})");
  EXPECT_EQ(scan.model, "m");
  EXPECT_TRUE(scan.stream);
  EXPECT_TRUE(scan.include_usage);
  EXPECT_EQ(scan.max_tokens, 5U);
  EXPECT_EQ(scan.choices, 3U);
  EXPECT_EQ(scan.timeout_secs, 1.5);
  EXPECT_EQ(scan.response_format, ResponseFormat::json_schema);
  EXPECT_EQ(scan.messages, 1U);
}

TEST_F(Scan, finds_the_schema_of_a_response) {
  const auto scan = with(
      R"(,"response_format":{"json_schema":{"schema":{"a":[{"schema":{}}]},"name":"s","strict":null},"type":"json_schema"})");
  ASSERT_TRUE(scan.schema_span.found());
  EXPECT_EQ(text_.substr(scan.schema_span.at, 5), R"({"a":)");
  EXPECT_FALSE(with(R"(,"response_format":{"type":"json_schema","json_schema":null})").schema_span.found());
  EXPECT_FALSE(with(R"(,"response_format":{"type":"json_schema","json_schema":{"name":"s"}})").schema_span.found());
}

TEST_F(Scan, takes_defaults_where_nothing_is_said) {
  const auto scan = with("");
  EXPECT_FALSE(scan.stream);
  EXPECT_FALSE(scan.include_usage);
  EXPECT_EQ(scan.max_tokens, std::nullopt);
  EXPECT_EQ(scan.choices, 1U);
  EXPECT_EQ(scan.timeout_secs, std::nullopt);
  EXPECT_EQ(scan.response_format, ResponseFormat::text);
}

TEST_F(Scan, takes_null_for_not_said) {
  const auto scan =
      with(R"(,"stream":null,"max_tokens":null,"n":null,"timeout_secs":null,"temperature":null,"stream_options":null,)"
           R"("response_format":null,"stop":null,"tools":null)");
  EXPECT_FALSE(scan.stream);
  EXPECT_EQ(scan.max_tokens, std::nullopt);
  EXPECT_EQ(scan.choices, 1U);
  EXPECT_FALSE(scan.stream_options.found());
  EXPECT_TRUE(scan.continuable);
}

TEST_F(Scan, takes_the_larger_of_both_limits_on_tokens) {
  EXPECT_EQ(with(R"(,"max_tokens":5,"max_completion_tokens":9)").max_tokens, 9U);
  EXPECT_EQ(with(R"(,"max_completion_tokens":9,"max_tokens":50)").max_tokens, 50U);
}

TEST_F(Scan, undoes_the_escapes_of_a_model_name) {
  EXPECT_EQ(read(R"({"model":"a\/\u0062","messages":[{"role":"user","content":"x"}]})").model, "a/b");
}

TEST_F(Scan, reads_members_whose_names_are_escaped) {
  EXPECT_TRUE(with(R"(,"str\u0065am":true)").stream);
}

TEST_F(Scan, lists_the_names_of_all_members) {
  const auto scan = with(R"(,"seed":1,"user":"u")");
  EXPECT_EQ(scan.members, (std::vector<std::string>{"model", "messages", "seed", "user"}));
  EXPECT_TRUE(scan.has("seed"));
  EXPECT_FALSE(scan.has("see"));
}

TEST_F(Scan, spans_hold_the_tokens_to_the_byte) {
  const auto scan = read(
      "{ \"model\" : \"m\\u0041\" , \"max_tokens\": 12 ,\"max_completion_tokens\":13\n, \"stream_options\" : "
      "{\"include_usage\" : false } , \"messages\" : [ {\"role\":\"user\",\"content\":\"x\"} ] }  ");
  EXPECT_EQ(at(scan.model_span), "\"m\\u0041\"");
  EXPECT_EQ(at(scan.max_tokens_span), "12");
  EXPECT_EQ(at(scan.max_completion_tokens_span), "13");
  EXPECT_EQ(at(scan.stream_options_usage), "false");
  EXPECT_EQ(at(scan.stream_options), "{");
  EXPECT_EQ(at(scan.messages_span), "[");
  EXPECT_EQ(text_.substr(scan.object_end), "}  ");
}

TEST_F(Scan, counts_the_whole_body_as_prompt) {
  const auto body = chat(R"(,"tools":[{"type":"function","function":{"name":"f"}}])");
  EXPECT_EQ(read(body).prompt_bytes, body.size());
}

TEST_F(Scan, leaves_image_data_out_of_the_prompt) {
  const std::string url = "\"data:image/png;base64," + std::string(1000, 'A') + "\"";
  const std::string body = R"({"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"see"},)"
                           R"({"type":"image_url","image_url":{"url":)" +
                           url + R"(,"detail":"low"}}]}]})";
  const auto scan = read(body);
  EXPECT_EQ(scan.prompt_bytes, body.size() - url.size());
  EXPECT_EQ(scan.images, 1U);
  EXPECT_EQ(scan.text_bytes, 3U);
}

TEST_F(Scan, counts_the_text_of_messages) {
  const auto scan =
      read(R"({"model":"m","messages":[{"role":"system","content":"four"},{"role":"assistant","content":null},)"
           R"({"role":"user","content":[{"type":"text","text":"ab"},{"type":"text","text":"c"}]}]})");
  EXPECT_EQ(scan.text_bytes, 7U);
  EXPECT_EQ(scan.messages, 3U);
}

TEST_F(Scan, counts_inputs_of_embeddings) {
  EXPECT_EQ(read(R"({"model":"m","input":"one"})", RequestKind::embedding).messages, 1U);
  EXPECT_EQ(read(R"({"model":"m","input":["one","two"]})", RequestKind::embedding).messages, 2U);
  EXPECT_EQ(read(R"({"model":"m","input":[1,2,3]})", RequestKind::embedding).messages, 3U);
  EXPECT_EQ(read(R"({"model":"m","input":[[1,2],[3]]})", RequestKind::embedding).messages, 3U);
}

TEST_F(Scan, counts_the_texts_that_are_each_answered_by_themselves) {
  const auto inputs = [&](const std::string& prompt) {
    return read(R"({"model":"m","prompt":)" + prompt + "}", RequestKind::completion).inputs;
  };
  EXPECT_EQ(inputs(R"("one")"), 1U);
  EXPECT_EQ(inputs(R"(["one","two","three"])"), 3U);
  EXPECT_EQ(inputs("[1,2,3]"), 1U);
  EXPECT_EQ(inputs("[[1,2],[3]]"), 2U);
}

TEST_F(Scan, reads_how_many_candidates_a_completion_is_taken_from) {
  EXPECT_EQ(read(R"({"model":"m","prompt":"x","best_of":5})", RequestKind::completion).candidates, 5U);
  EXPECT_EQ(param(R"({"model":"m","prompt":"x","best_of":129})", RequestKind::completion), "best_of");
  EXPECT_EQ(param(R"({"model":"m","prompt":"x","best_of":2,"best_of":9})", RequestKind::completion), "best_of");
}

TEST_F(Scan, passes_over_what_belongs_to_other_kinds) {
  const auto scan = with(R"(,"prompt":7,"input":{"x":1})");
  EXPECT_EQ(scan.messages, 1U);
}

TEST_F(Scan, plain_text_can_be_continued) {
  EXPECT_TRUE(with(R"(,"stream":true,"temperature":1,"stop":["a","b"])").continuable);
}

TEST_F(Scan, what_is_not_plain_text_cannot_be_continued) {
  for (const std::string_view members :
       {R"(,"n":2)", R"(,"tools":[])", R"(,"logprobs":true)", R"(,"top_logprobs":2)", R"(,"functions":[])",
        R"(,"logit_bias":{})", R"(,"audio":{})", R"(,"response_format":{"type":"json_object"})"}) {
    EXPECT_FALSE(with(members).continuable) << members;
  }
  EXPECT_FALSE(read(R"({"model":"m","prompt":"x"})", RequestKind::completion).continuable);
  EXPECT_FALSE(read(R"({"model":"m","messages":[{"role":"user","content":[{"type":"image_url",)"
                    R"("image_url":{"url":"https://x/y"}}]}]})")
                   .continuable);
  EXPECT_FALSE(read(R"({"model":"m","messages":[{"role":"assistant","tool_calls":[]}]})").continuable);
}

TEST_F(Scan, requests_that_begin_alike_have_one_prefix_hash) {
  const std::string start(400, 'a');
  const auto body = [](const std::string& content, std::string_view rest) {
    return R"({"model":"m","messages":[{"role":"user","content":")" + content + "\"}]" + std::string(rest) + "}";
  };
  EXPECT_EQ(read(body(start + "b", "")).prefix_hash, read(body(start + "c", R"(,"seed":1)")).prefix_hash);
  EXPECT_NE(read(body("b" + start, "")).prefix_hash, read(body("c" + start, "")).prefix_hash);
}

TEST_F(Scan, keeps_nothing_of_the_request_before) {
  refusal(R"({"model":"m","messages":[{"role":"user","content":[{"type":"te)");
  EXPECT_EQ(with("").messages, 1U);
  EXPECT_EQ(with("").members.size(), 2U);
}

TEST_F(Scan, reads_bodies_larger_than_the_memory_it_keeps) {
  const std::string text(300'000, 'x');
  EXPECT_EQ(read(R"({"model":"m","messages":[{"role":"user","content":")" + text + "\"}]}").text_bytes, text.size());
}

TEST_F(Scan, refuses_what_is_no_json_object_without_naming_a_member) {
  for (const std::string_view body : {"",
                                      " ",
                                      "null",
                                      "[]",
                                      "\"x\"",
                                      "7",
                                      "{",
                                      "}",
                                      "{]",
                                      "{\"model\":}",
                                      "{\"model\":\"m\"",
                                      "{\"model\" \"m\"}",
                                      "{\"model\":\"m\",}",
                                      "{,}",
                                      "{\"model\":\"m\"}{}",
                                      "{\"model\":\"m\"} x",
                                      "{\"a\":\"\xFF\"}",
                                      "{\"a\":\"\n\"}",
                                      "{'a':1}",
                                      "{\"a\":tru}",
                                      "{\"a\":01}",
                                      "{\"a\":1.}",
                                      "{\"a\":+1}",
                                      "{\"a\":\"\\x\"}",
                                      "{\"a\":NaN}",
                                      "{\"a\":1e}",
                                      "{\"a\":[1,]}",
                                      "{\"a\":\"\\u12\"}",
                                      "{a:1}",
                                      "{\"a\":1 2}",
                                      "{\"a\":\"b\" \"c\"}"}) {
    const auto error = refusal(body);
    EXPECT_EQ(error.fault, Fault::invalid_request) << body;
    EXPECT_EQ(error.param, "") << body;
  }
}

TEST_F(Scan, names_what_is_missing) {
  EXPECT_EQ(param("{}"), "model");
  EXPECT_EQ(param(R"({"model":"m"})"), "messages");
  EXPECT_EQ(param(R"({"model":"m"})", RequestKind::completion), "prompt");
  EXPECT_EQ(param(R"({"model":"m"})", RequestKind::embedding), "input");
}

TEST_F(Scan, names_the_member_of_the_wrong_type) {
  EXPECT_EQ(param(R"({"model":7})"), "model");
  EXPECT_EQ(param(R"({"model":""})"), "model");
  EXPECT_EQ(param(R"({"model":null})"), "model");
  EXPECT_EQ(param(R"({"model":{}})"), "model");
  EXPECT_EQ(param(R"({"model":["m"]})"), "model");
  EXPECT_EQ(param_with(R"(,"stream":1)"), "stream");
  EXPECT_EQ(param_with(R"(,"stream":"true")"), "stream");
  EXPECT_EQ(param_with(R"(,"stream_options":[])"), "stream_options");
  EXPECT_EQ(param_with(R"(,"stream_options":1)"), "stream_options");
  EXPECT_EQ(param_with(R"(,"stream_options":{"include_usage":1})"), "stream_options.include_usage");
  EXPECT_EQ(param_with(R"(,"response_format":"text")"), "response_format");
  EXPECT_EQ(param_with(R"(,"response_format":{"type":1})"), "response_format.type");
  EXPECT_EQ(param_with(R"(,"response_format":{"type":"xml"})"), "response_format.type");
  EXPECT_EQ(param_with(R"(,"response_format":{})"), "response_format.type");
  const auto schema_param = [this](std::string_view json_schema) {
    return param_with(R"(,"response_format":{"type":"json_schema","json_schema":)" + std::string(json_schema) + "}");
  };
  EXPECT_EQ(schema_param("[]"), "response_format.json_schema");
  EXPECT_EQ(schema_param(R"({"schema":true})"), "response_format.json_schema.schema");
  EXPECT_EQ(schema_param(R"({"schema":"{}"})"), "response_format.json_schema.schema");
  EXPECT_EQ(schema_param(R"({"schema":{},"schema":{}})"), "response_format.json_schema.schema");
  EXPECT_EQ(param_with(R"(,"stop":1)"), "stop");
  EXPECT_EQ(param_with(R"(,"stop":{})"), "stop");
  EXPECT_EQ(param_with(R"(,"stop":["a",1])"), "stop");
}

TEST_F(Scan, names_the_number_out_of_range) {
  for (const std::string name : {"max_tokens", "max_completion_tokens", "n"}) {
    for (const std::string value : {"0", "-1", "1.5", "1e2", "\"1\"", "true", "99999999999999999999", "[]"}) {
      EXPECT_EQ(param_with(",\"" + name + "\":" + value), name) << value;
    }
  }
  EXPECT_EQ(param_with(R"(,"n":129)"), "n");
  EXPECT_EQ(param_with(R"(,"timeout_secs":0)"), "timeout_secs");
  EXPECT_EQ(param_with(R"(,"timeout_secs":86401)"), "timeout_secs");
  EXPECT_EQ(param_with(R"(,"timeout_secs":1e999)"), "timeout_secs");
  EXPECT_EQ(param_with(R"(,"temperature":2.1)"), "temperature");
  EXPECT_EQ(param_with(R"(,"temperature":-0.1)"), "temperature");
  EXPECT_EQ(param_with(R"(,"top_p":1.1)"), "top_p");
  EXPECT_EQ(param_with(R"(,"frequency_penalty":-3)"), "frequency_penalty");
  EXPECT_EQ(param_with(R"(,"presence_penalty":3)"), "presence_penalty");
}

TEST_F(Scan, takes_numbers_at_their_bounds) {
  const auto scan = with(
      R"(,"n":128,"timeout_secs":86400,"temperature":2,"top_p":0,"frequency_penalty":-2.0,"presence_penalty":2e0)");
  EXPECT_EQ(scan.choices, 128U);
  EXPECT_EQ(scan.timeout_secs, 86'400.0);
}

TEST_F(Scan, names_the_message_at_fault) {
  EXPECT_EQ(param_of_messages("[]"), "messages");
  EXPECT_EQ(param_of_messages("{}"), "messages");
  EXPECT_EQ(param_of_messages("null"), "messages");
  EXPECT_EQ(param_of_messages("[7]"), "messages[0]");
  EXPECT_EQ(param_of_messages(R"([{"role":"user","content":"x"},{"content":"x"}])"), "messages[1].role");
  EXPECT_EQ(param_of_messages(R"([{"role":"king","content":"x"}])"), "messages[0].role");
  EXPECT_EQ(param_of_messages(R"([{"role":"user","role":"user","content":"x"}])"), "messages[0].role");
  EXPECT_EQ(param_of_messages(R"([{"role":"user"}])"), "messages[0].content");
  EXPECT_EQ(param_of_messages(R"([{"role":"user","content":null}])"), "messages[0].content");
  EXPECT_EQ(param_of_messages(R"([{"role":"user","content":7}])"), "messages[0].content");
  EXPECT_EQ(param_of_messages(R"([{"role":"user","content":{}}])"), "messages[0].content");
  EXPECT_EQ(param_of_messages(R"([{"role":"user","content":"x","content":"y"}])"), "messages[0].content");
}

TEST_F(Scan, names_the_content_part_at_fault) {
  const auto of_part = [this](std::string_view part) {
    return param_of_messages(R"([{"role":"user","content":[{"type":"text","text":"x"},)" + std::string(part) + "]}]");
  };
  EXPECT_EQ(of_part("7"), "messages[0].content[1]");
  EXPECT_EQ(of_part("{}"), "messages[0].content[1].type");
  EXPECT_EQ(of_part(R"({"type":7})"), "messages[0].content[1].type");
  EXPECT_EQ(of_part(R"({"type":"video"})"), "messages[0].content[1].type");
  EXPECT_EQ(of_part(R"({"type":"text"})"), "messages[0].content[1].text");
  EXPECT_EQ(of_part(R"({"type":"text","text":7})"), "messages[0].content[1].text");
  EXPECT_EQ(of_part(R"({"type":"image_url"})"), "messages[0].content[1].image_url");
  EXPECT_EQ(of_part(R"({"type":"image_url","image_url":"https://x"})"), "messages[0].content[1].image_url");
  EXPECT_EQ(of_part(R"({"type":"image_url","image_url":{}})"), "messages[0].content[1].image_url.url");
  EXPECT_EQ(of_part(R"({"type":"image_url","image_url":{"url":"file:///x"}})"), "messages[0].content[1].image_url.url");
}

TEST_F(Scan, names_the_input_at_fault) {
  for (const std::string_view value : {"[]", "{}", "7", "null", "[null]", "[{}]", "[-1]", "[1.5]", "[[[1]]]"}) {
    EXPECT_EQ(param(R"({"model":"m","input":)" + std::string(value) + "}", RequestKind::embedding), "input") << value;
    EXPECT_EQ(param(R"({"model":"m","prompt":)" + std::string(value) + "}", RequestKind::completion), "prompt")
        << value;
  }
}

TEST_F(Scan, does_not_stream_embeddings) {
  EXPECT_EQ(param(R"({"model":"m","input":"x","stream":true})", RequestKind::embedding), "stream");
}

TEST_F(Scan, refuses_a_second_member_of_a_name_it_reads) {
  EXPECT_EQ(param_with(R"(,"model":"other")"), "model");
  EXPECT_EQ(param_with(R"(,"mod\u0065l":"other")"), "model");
  EXPECT_EQ(param_with(R"(,"stream":true,"stream":false)"), "stream");
  EXPECT_EQ(param_with(R"(,"max_tokens":1,"max_tokens":2)"), "max_tokens");
  EXPECT_EQ(param_with(R"(,"messages":[])"), "messages");
  EXPECT_EQ(param_with(R"(,"stream_options":{"include_usage":true,"include_usage":false})"),
            "stream_options.include_usage");
}

TEST_F(Scan, does_not_mind_two_unread_members_of_a_name) {
  EXPECT_TRUE(with(R"(,"seed":1,"seed":2)").has("seed"));
}

TEST_F(Scan, refuses_deep_nesting) {
  const auto nested = [](std::size_t depth) { return ",\"x\":" + std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_TRUE(with(nested(60)).has("x"));
  EXPECT_EQ(param_with(nested(100)), "");
  EXPECT_EQ(param_with(nested(100'000)), "");
}

}  // namespace
}  // namespace turnpike::scan
