// What is not JSON is refused, whatever it looks like: thousands of small damages to real bodies, judged by another
// reader.
#include <gtest/gtest.h>

#include <array>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <string_view>

#include "common/padded.hpp"
#include "turnpike/scan/scan.hpp"

namespace turnpike::scan {
namespace {

using Rng = std::mt19937_64;

constexpr int kRounds = 20'000;

constexpr std::array<std::string_view, 4> kRequests{
    R"({"model":"m","messages":[{"role":"system","content":"be \"kind\"\n"},{"role":"user","content":[{"type":"text",)"
    R"("text":"caf\u00e9 é"},{"type":"image_url","image_url":{"url":"data:x","detail":"low"}}]}],"stream":true,)"
    R"("stream_options":{"include_usage":false,"x":[1]},"max_tokens":10,"temperature":0.5,"stop":["a","b"]})",
    R"({ "messages" : [ {"content" : "hi", "role" : "user", "name":"n"} ] , "model":"a/b" , "n" : 1, "seed": -1.5e+3,
        "tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{}}}}],
        "response_format":{"type":"json_schema","json_schema":{"name":"s","schema":{"a":[null,true,false]}}} })",
    R"({"model":"m","prompt":["one","two"],"input":[[1,2],[3]],"top_p":1,"user":"u\\","timeout_secs":1e1})",
    R"({"model":"m","input":"x","messages":[{"role":"assistant","content":null,"tool_calls":[{"id":"1"}]}],"x":[[],{}]})",
};

constexpr std::array<std::string_view, 4> kAnswers{
    R"({"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":)"
    R"({"role":"assistant","content":"h\u00e9 \"x\" é"},"logprobs":null,"finish_reason":null}],"usage":null})",
    R"({"id":"1","model":"m","choices":[{"message":{"content":"a","reasoning_content":"b","tool_calls":[{"id":"c",)"
    R"("function":{"name":"f","arguments":"{\"a\":1}"}}]},"finish_reason":"stop"}],"usage":{"prompt_tokens":12,)"
    R"("completion_tokens":3,"details":{"x":[1,2.5e-3]}},"metadata":{"a":[{}]}})",
    R"({ "object" : "list", "data" : [ {"embedding" : [0.25, -1, 1E5], "index" : 0} ], "model" : "e", "usage" : {} })",
    R"({"error":{"message":"no","code":null},"metadata":"a,b","choices":[{"text":"t","finish_reason":"length"}]})",
};

std::size_t below(Rng& rng, std::size_t limit) {
  return rng() % limit;
}

// One small damage: a byte changed, cut, put in, or a slice doubled or dropped.
void damage(std::string& text, Rng& rng) {
  static constexpr std::string_view kTelling = "{}[]\",:\\/0123456789-+.eEutrfnal \n\t\x01\x7f\x80\xC3\xA9\xFF";
  if (text.empty()) return;
  const auto at = below(rng, text.size());
  const char telling = kTelling[below(rng, kTelling.size())];
  switch (below(rng, 7)) {
    case 0:
      text[at] = static_cast<char>(static_cast<unsigned char>(text[at]) ^ (1U << below(rng, 8)));
      break;
    case 1:
      text[at] = telling;
      break;
    case 2:
      text.erase(at, 1);
      break;
    case 3:
      text.insert(at, 1, telling);
      break;
    case 4:
      text.insert(at, text.substr(below(rng, text.size()), 1 + below(rng, 20)));
      break;
    case 5:
      text.erase(at, 1 + below(rng, 10));
      break;
    default:
      std::swap(text[at], text[below(rng, text.size())]);
      break;
  }
}

// The base with one to three damages.
std::string damaged(std::string_view base, Rng& rng) {
  std::string text(base);
  for (auto left = 1 + below(rng, 3); left > 0; --left) damage(text, rng);
  return text;
}

// A byte order mark is passed over by the other reader; half of a surrogate pair is nothing to a scanner, which does
// not decode what it passes on.
bool tells(std::string_view text) {
  return !text.starts_with("\xEF\xBB\xBF") && text.find("\\ud") == text.npos && text.find("\\uD") == text.npos;
}

TEST(DamagedRequest, is_refused_where_it_is_not_json) {
  Rng rng(1);
  Scanner scanner;
  int broken = 0;
  for (int round = 0; round < kRounds; ++round) {
    const auto kind = static_cast<RequestKind>(below(rng, 3));
    const test::Padded text(damaged(kRequests[below(rng, kRequests.size())], rng));
    const bool taken = scanner.request(kind, text.view()).has_value();
    if (!tells(text.view()) || nlohmann::json::accept(text.view())) continue;
    ++broken;
    ASSERT_FALSE(taken) << text.view();
  }
  EXPECT_GT(broken, kRounds / 4);
}

TEST(DamagedAnswer, is_refused_where_it_is_not_json) {
  Rng rng(2);
  Scanner scanner;
  AnswerScan scan;
  int broken = 0;
  for (int round = 0; round < kRounds; ++round) {
    const test::Padded text(damaged(kAnswers[below(rng, kAnswers.size())], rng));
    const bool taken = scanner.answer(text.view(), scan).has_value();
    if (!tells(text.view()) || nlohmann::json::accept(text.view())) continue;
    ++broken;
    ASSERT_FALSE(taken) << text.view();
  }
  EXPECT_GT(broken, kRounds / 4);
}

TEST(DamagedAnswer, is_taken_where_it_still_is_an_object_of_the_known_shape) {
  Rng rng(3);
  Scanner scanner;
  AnswerScan scan;
  for (int round = 0; round < kRounds; ++round) {
    const test::Padded text(damaged(kAnswers[2], rng));
    const auto other = nlohmann::json::parse(text.view(), nullptr, false);
    if (!tells(text.view()) || !other.is_object() || other.contains("choices")) continue;
    ASSERT_TRUE(scanner.answer(text.view(), scan).has_value()) << text.view();
  }
}

TEST(DamagedAnswer, has_spans_within_it) {
  Rng rng(4);
  Scanner scanner;
  AnswerScan scan;
  for (int round = 0; round < kRounds; ++round) {
    const test::Padded text(damaged(kAnswers[below(rng, kAnswers.size())], rng));
    if (!scanner.answer(text.view(), scan)) continue;
    for (const auto& span : {scan.id, scan.model, scan.usage, scan.metadata, scan.content}) {
      if (!span.found()) continue;
      ASSERT_LE(span.end(), text.view().size()) << text.view();
    }
    ASSERT_EQ(text.view()[scan.object_end], '}');
  }
}

}  // namespace
}  // namespace turnpike::scan
