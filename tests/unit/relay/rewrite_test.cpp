#include "turnpike/relay/rewrite.hpp"

#include <gtest/gtest.h>

#include <initializer_list>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/padded.hpp"

namespace turnpike::relay {
namespace {

using nlohmann::json;
using test::Padded;

class EditedBodyTest : public testing::Test {
 protected:
  std::string edit(std::string_view body, const RequestEdits& edits, const Continuation* continuation = nullptr,
                   scan::RequestKind kind = scan::RequestKind::chat) {
    const Padded padded(body);
    const auto scan = scanner_.request(kind, padded.view());
    EXPECT_TRUE(scan.has_value()) << body;
    if (!scan) return {};
    const EditedBody edited(padded.view(), *scan, edits, continuation);
    std::string out;
    for (const auto piece : edited.pieces()) out += piece;
    EXPECT_EQ(out.size(), edited.size());
    EXPECT_TRUE(json::accept(out)) << out;
    return out;
  }
  static std::string chat(std::string_view members = "") {
    return R"({"model":"m","messages":[{"role":"user","content":"hi"}])" + std::string(members) + "}";
  }
  scan::Scanner scanner_;
};

using Edited = EditedBodyTest;

TEST_F(Edited, a_body_without_edits_is_unchanged_to_the_byte) {
  const std::string body =
      " { \"model\":\"m\\u0041\" ,\n\"seed\" : 1.50e0, \"messages\" : [ {\"role\":\"user\",\"content\":\"\\/é\"} ] } "
      "\n";
  EXPECT_EQ(edit(body, {}), body);
}

TEST_F(Edited, adds_defaults_at_the_end) {
  EXPECT_EQ(edit(chat() + "\n", {.defaults = R"("temperature":0.7,"top_p":1)", .max_tokens = {}, .node_model = {}}),
            R"({"model":"m","messages":[{"role":"user","content":"hi"}],"temperature":0.7,"top_p":1})"
            "\n");
}

TEST_F(Edited, adds_a_limit_on_tokens) {
  EXPECT_EQ(edit(chat(), {.defaults = {}, .max_tokens = 50, .node_model = {}}), chat(R"(,"max_tokens":50)"));
}

TEST_F(Edited, puts_the_nodes_name_of_the_model_in) {
  EXPECT_EQ(edit(chat(), {.defaults = {}, .max_tokens = {}, .node_model = "\"M.gguf\""}),
            R"({"model":"M.gguf","messages":[{"role":"user","content":"hi"}]})");
}

TEST_F(Edited, asks_for_usage_in_whatever_shape_stream_options_have) {
  const auto asked = [this](std::string_view members) {
    return edit(chat(members), {.defaults = {}, .max_tokens = {}, .ask_for_usage = true, .node_model = {}});
  };
  EXPECT_EQ(asked(""), chat(R"(,"stream_options":{"include_usage":true})"));
  EXPECT_EQ(asked(R"(,"stream_options":{})"), chat(R"(,"stream_options":{"include_usage":true})"));
  EXPECT_EQ(asked(R"(,"stream_options":{ })"), chat(R"(,"stream_options":{ "include_usage":true})"));
  EXPECT_EQ(asked(R"(,"stream_options":{"x":{"y":"}"}})"),
            chat(R"(,"stream_options":{"x":{"y":"}"},"include_usage":true})"));
  EXPECT_EQ(asked(R"(,"stream_options":{"include_usage":false,"x":1})"),
            chat(R"(,"stream_options":{"include_usage":true,"x":1})"));
  EXPECT_EQ(asked(R"(,"stream_options":{"include_usage":null})"), chat(R"(,"stream_options":{"include_usage":true})"));
  EXPECT_EQ(asked(R"(,"stream_options":null)"), chat(R"(,"stream_options":{"include_usage":true})"));
  EXPECT_EQ(asked(R"(,"stream_options":{"include_usage":true})"), chat(R"(,"stream_options":{"include_usage":true})"));
}

TEST_F(Edited, makes_all_edits_at_once) {
  const auto out = edit(R"({"stream_options":{"include_usage":false},"messages":[{"role":"user","content":"hi"}],)"
                        R"("model":"m"})",
                        {.defaults = R"("seed":1)", .max_tokens = 5, .ask_for_usage = true, .node_model = "\"n\""});
  EXPECT_EQ(out, R"({"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"hi"}],)"
                 R"("model":"n","seed":1,"max_tokens":5})");
}

TEST_F(Edited, a_continuation_says_what_was_said) {
  const Continuation rest{.said = R"(so \"far)", .tokens = 3};
  const auto out = json::parse(edit(chat(R"(,"x":["]"])"), {}, &rest));
  ASSERT_EQ(out["messages"].size(), 2U);
  EXPECT_EQ(out["messages"][1], (json{{"role", "assistant"}, {"content", "so \"far"}}));
  EXPECT_FALSE(out.contains("continue_final_message"));
}

TEST_F(Edited, a_continuation_asks_the_engine_to_go_on) {
  const Continuation rest{.said = "so", .tokens = 1, .engine_flags = true};
  const auto out = json::parse(edit(chat(), {}, &rest));
  EXPECT_EQ(out["continue_final_message"], true);
  EXPECT_EQ(out["add_generation_prompt"], false);
}

TEST_F(Edited, a_continuation_has_the_tokens_that_are_left) {
  const Continuation rest{.said = "so", .tokens = 30};
  const auto out = json::parse(edit(chat(R"(,"max_tokens":100,"max_completion_tokens":100)"), {}, &rest));
  EXPECT_EQ(out["max_tokens"], 70);
  EXPECT_EQ(out["max_completion_tokens"], 70);
  EXPECT_EQ(json::parse(edit(chat(), {.defaults = {}, .max_tokens = 100, .node_model = {}}, &rest))["max_tokens"], 70);
}

TEST_F(Edited, a_continuation_has_one_token_at_least) {
  const Continuation rest{.said = "so", .tokens = 500};
  EXPECT_EQ(json::parse(edit(chat(R"(,"max_tokens":100)"), {}, &rest))["max_tokens"], 1);
}

class AppendAnswerTest : public testing::Test {
 protected:
  std::string rewrite(std::string_view text, bool hide_usage = false, std::string_view metadata = {}) {
    const Padded padded(text);
    scan::AnswerScan scan;
    EXPECT_TRUE(scanner_.answer(padded.view(), scan).has_value()) << text;
    std::string out;
    append_answer(out, padded.view(), scan, "\"ID\"", "\"MODEL\"", hide_usage, metadata);
    EXPECT_TRUE(json::accept(out)) << out;
    return out;
  }
  scan::Scanner scanner_;
};

using Answers = AppendAnswerTest;

TEST_F(Answers, carry_the_gateways_id_and_model) {
  EXPECT_EQ(rewrite(R"({"id": "x","a":[1],"model":null })"), R"({"id": "ID","a":[1],"model":"MODEL" })");
}

TEST_F(Answers, get_what_they_lack) {
  EXPECT_EQ(rewrite("{}"), R"({"id":"ID","model":"MODEL"})");
  EXPECT_EQ(rewrite(R"({"a":1})"), R"({"a":1,"id":"ID","model":"MODEL"})");
}

TEST_F(Answers, hide_usage_as_null) {
  EXPECT_EQ(rewrite(R"({"id":"x","model":"y","usage":{"a":{"b":"}"}},"z":1})", true),
            R"({"id":"ID","model":"MODEL","usage":null,"z":1})");
}

TEST_F(Answers, get_metadata_in_place_of_the_nodes) {
  EXPECT_EQ(rewrite(R"({"id":"x","model":"y"})", false, R"({"k":1})"),
            R"({"id":"ID","model":"MODEL","metadata":{"k":1}})");
  for (const std::string_view old : {"{}", R"({"a":"}"})", "[1,[2]]", "null", "7", "\"x\"", R"("a,b}\"c")", "true"}) {
    EXPECT_EQ(rewrite(R"({"id":"x","metadata":)" + std::string(old) + R"(,"model":"y"})", false, R"({"k":1})"),
              R"({"id":"ID","metadata":{"k":1},"model":"MODEL"})")
        << old;
  }
}

TEST_F(Answers, keep_the_nodes_metadata_when_there_is_no_other) {
  EXPECT_EQ(rewrite(R"({"id":"x","metadata":"a,b","model":"y"})"), R"({"id":"ID","metadata":"a,b","model":"MODEL"})");
}

class ChunkTest : public testing::Test {
 protected:
  using Kind = ChunkRewriter::Kind;
  static std::string chunk(std::string_view content) {
    return R"({"id":"c1","object":"chat.completion.chunk","model":"n","choices":[{"index":0,"delta":{"content":")" +
           std::string(content) + R"("},"finish_reason":null}],"usage":null})";
  }
  ChunkRewriter fresh(bool hide_usage = false) { return {scanner_, "\"ID\"", "\"MODEL\"", hide_usage}; }
  Kind append(ChunkRewriter& rewriter, std::string_view data) {
    data_ = std::make_unique<Padded>(data);
    out_.clear();
    return rewriter.append(out_, data_->view());
  }
  // As a stream's events are taken: by shape where that goes, else in full.
  Kind take(ChunkRewriter& rewriter, std::string_view data) {
    event_ = "data: " + std::string(data) + "\n\ndata: next";
    std::string_view stream = event_;
    out_.clear();
    by_shape_ = rewriter.append_alike(out_, stream, kMostEventBytes).events == 1;
    EXPECT_EQ(stream, by_shape_ ? "data: next" : event_);
    if (!by_shape_) EXPECT_EQ(out_, "");
    return by_shape_ ? Kind::chunk : append(rewriter, data);
  }
  static constexpr std::size_t kMostEventBytes = 1024;
  std::string event_;
  bool by_shape_ = false;
  scan::Scanner scanner_;
  std::unique_ptr<Padded> data_;  // the rewriter's text is a view into it
  std::string out_;
};

using Chunks = ChunkTest;

TEST_F(Chunks, become_events_of_the_gateway) {
  auto rewriter = fresh();
  EXPECT_EQ(append(rewriter, R"({"id":"c1","model":"n","choices":[{"delta":{"content":"hi"}}]})"), Kind::chunk);
  EXPECT_EQ(out_, "data: {\"id\":\"ID\",\"model\":\"MODEL\",\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\n");
  EXPECT_EQ(rewriter.text(), "hi");
}

TEST_F(Chunks, are_rewritten_by_their_shape_as_they_are_in_full) {
  static constexpr std::string_view kPieces[] = {"a",
                                                 " ",
                                                 "word",
                                                 "\\n",
                                                 "\\\"",
                                                 "\\\\",
                                                 "é",
                                                 "日本",
                                                 "}",
                                                 "]}",
                                                 "{",
                                                 ",",
                                                 "'",
                                                 "\\u00e9",
                                                 "\\ud83d\\ude00",
                                                 "\\t",
                                                 "\"},\"x\":{\"content\":\"",
                                                 "\\",
                                                 "\"",
                                                 "\x01",
                                                 "\x7f",
                                                 "\xC3"};
  std::mt19937_64 rng(1);
  auto learned = fresh();
  int by_shape = 0;
  for (int round = 0; round < 5'000; ++round) {
    std::string text;
    for (auto left = rng() % 4; left > 0; --left) text += kPieces[rng() % std::size(kPieces)];
    const auto data = chunk(text);
    auto full = fresh();
    const auto full_kind = append(full, data);
    const auto full_out = out_;
    const std::string full_text(full.text());
    const auto kind = take(learned, data);
    by_shape += by_shape_ ? 1 : 0;
    ASSERT_EQ(kind, full_kind) << data;
    ASSERT_EQ(out_, full_out) << data;
    if (kind != Kind::chunk) continue;
    ASSERT_EQ(learned.text(), full_text) << data;
    if (!by_shape_) continue;
    ASSERT_EQ(full.scan().text_bytes, full_text.size()) << data;
    ASSERT_EQ(full.scan().choices, 1U) << data;
    ASSERT_EQ(full.scan().finished_choices, 0U) << data;
    ASSERT_FALSE(full.scan().usage.found()) << data;
  }
  EXPECT_GT(by_shape, 500);
}

TEST_F(Chunks, of_another_shape_are_read_in_full) {
  auto rewriter = fresh();
  take(rewriter, chunk("one"));
  EXPECT_FALSE(by_shape_);
  take(rewriter, chunk("two"));
  EXPECT_TRUE(by_shape_);
  EXPECT_EQ(take(rewriter, R"({"id":"c1","model":"n","choices":[{"delta":{},"finish_reason":"stop"}]})"), Kind::chunk);
  EXPECT_FALSE(by_shape_);
  EXPECT_EQ(rewriter.scan().finished_choices, 1U);
  EXPECT_EQ(rewriter.text(), "");
  EXPECT_EQ(take(rewriter, chunk("three")), Kind::chunk);
  EXPECT_TRUE(by_shape_);
  EXPECT_EQ(rewriter.text(), "three");
}

TEST_F(Chunks, that_were_cut_in_their_text_are_bad) {
  auto rewriter = fresh();
  append(rewriter, chunk("one"));
  const auto whole = chunk("two");
  for (std::size_t size = 0; size < whole.size(); ++size) {
    ASSERT_EQ(take(rewriter, whole.substr(0, size)), Kind::bad) << size;
    ASSERT_EQ(out_, "");
  }
}

TEST_F(Chunks, that_have_not_all_come_are_not_taken_by_their_shape) {
  auto rewriter = fresh();
  append(rewriter, chunk("one"));
  const auto event = "data: " + chunk("two") + "\n\n";
  out_.clear();
  for (std::size_t size = 0; size < event.size(); ++size) {
    std::string_view stream = std::string_view(event).substr(0, size);
    ASSERT_EQ(rewriter.append_alike(out_, stream, kMostEventBytes).events, 0U) << size;
    ASSERT_EQ(stream.size(), size);
    ASSERT_EQ(out_, "");
  }
  std::string_view stream = event;
  EXPECT_EQ(rewriter.append_alike(out_, stream, event.size() - 1).events, 0U);
  EXPECT_EQ(rewriter.append_alike(out_, stream, event.size()).events, 1U);
}

TEST_F(Chunks, that_are_alike_are_taken_together_up_to_one_that_is_not_or_has_not_all_come) {
  auto rewriter = fresh();
  append(rewriter, chunk("first"));
  const std::vector<std::string> texts{"a", " longer text", "b", std::string(300, 'c'), "d", "\\n", "e"};
  std::string whole;
  for (const auto& text : texts) whole.append("data: ").append(chunk(text)).append("\n\n");
  std::string said_by_now;
  std::string written;
  std::size_t end = 0;
  std::size_t taken = 0;
  for (std::size_t size = 0; size <= whole.size(); ++size) {
    // What the events that have all come are in full.
    if (taken < 5 && size == end + chunk(texts[taken]).size() + 8) {
      auto full = fresh();
      append(full, chunk(texts[taken]));
      written += out_;
      said_by_now += texts[taken];
      end = size;
      ++taken;
    }
    std::string_view stream = std::string_view(whole).substr(0, size);
    std::string said;
    out_ = "before";
    const auto alike = rewriter.append_alike(out_, stream, kMostEventBytes, &said);
    ASSERT_EQ(alike.events, taken) << size;
    ASSERT_EQ(alike.text_bytes, said_by_now.size()) << size;
    ASSERT_EQ(said, said_by_now) << size;
    ASSERT_EQ(out_, "before" + written) << size;
    ASSERT_EQ(stream.size(), size - end) << size;
    if (taken > 0) ASSERT_EQ(rewriter.text(), texts[taken - 1]) << size;
  }
  EXPECT_EQ(taken, 5U);
}

TEST_F(Chunks, that_are_alike_find_room_however_long_the_gateways_names_are) {
  for (const std::size_t size : {1U, 5U, 300U}) {
    const auto name = "\"" + std::string(size, 'I') + "\"";
    ChunkRewriter rewriter(scanner_, name, name, false);
    append(rewriter, chunk("first"));
    std::string stream_bytes;
    std::string written;
    std::string texts;
    for (std::size_t i = 0; i < 100; ++i) {
      const std::string text(i % 40 + 1, static_cast<char>('a' + i % 26));
      ChunkRewriter full(scanner_, name, name, false);
      append(full, chunk(text));
      written += out_;
      texts += text;
      stream_bytes.append("data: ").append(chunk(text)).append("\n\n");
    }
    out_ = std::string();  // no memory from before
    std::string said;
    std::string_view stream = stream_bytes;
    EXPECT_EQ(rewriter.append_alike(out_, stream, kMostEventBytes, &said).events, 100U);
    EXPECT_EQ(out_, written);
    EXPECT_EQ(said, texts);
    EXPECT_TRUE(stream.empty());
  }
}

TEST_F(Chunks, hide_usage_that_the_client_did_not_ask_for) {
  auto rewriter = fresh(true);
  EXPECT_EQ(append(rewriter, R"({"id":"c","model":"n","choices":[{"delta":{"content":"x"}}],"usage":)"
                             R"({"prompt_tokens":3,"completion_tokens":1}})"),
            Kind::chunk);
  EXPECT_EQ(out_.find("prompt_tokens"), std::string::npos);
  EXPECT_EQ(rewriter.scan().counts.prompt_tokens, 3U);
}

TEST_F(Chunks, with_nothing_but_usage_are_told_apart) {
  auto rewriter = fresh(true);
  EXPECT_EQ(append(rewriter, R"({"id":"c","model":"n","choices":[],"usage":{"prompt_tokens":3}})"), Kind::usage_only);
  EXPECT_EQ(out_, R"({"id":"ID","model":"MODEL","choices":[],"usage":{"prompt_tokens":3}})");
}

TEST_F(Chunks, that_are_errors_are_not_passed_on) {
  auto rewriter = fresh();
  EXPECT_EQ(append(rewriter, R"({"error":{"message":"secret path"}})"), Kind::error);
  EXPECT_EQ(out_, "");
}

TEST_F(Chunks, that_are_no_chunks_are_bad) {
  auto rewriter = fresh();
  for (const std::string_view data : {"", "{}", "[]", "hello", "{\"choices\":", R"({"object":"list","data":[]})"}) {
    EXPECT_EQ(append(rewriter, data), Kind::bad) << data;
    EXPECT_EQ(out_, "");
  }
}

TEST_F(Chunks, with_white_space_behind_them_are_rewritten_alike) {
  auto rewriter = fresh();
  take(rewriter, chunk("same") + " ");
  const auto first = out_;
  EXPECT_TRUE(json::accept(first.substr(6))) << first;
  take(rewriter, chunk("same") + " ");
  EXPECT_TRUE(by_shape_);
  EXPECT_EQ(out_, first);
}

TEST_F(Chunks, with_line_breaks_between_their_members_are_one_event) {
  auto rewriter = fresh();
  for (const std::string_view text : {"a", "b", "c\\n"}) {
    const auto data = "{\n\"id\":\"c1\",\r\"model\":\"n\",\n\"choices\":[{\"delta\":{\"content\":\"" +
                      std::string(text) + "\"}\r\n}]\n}";
    EXPECT_EQ(take(rewriter, data), Kind::chunk);
    EXPECT_FALSE(by_shape_);
    const std::string_view event = out_;
    ASSERT_TRUE(event.ends_with("\n\n"));
    EXPECT_EQ(event.substr(0, event.size() - 2).find_first_of("\r\n"), std::string_view::npos) << out_;
  }
}

// Chunks as nodes send them, and as they do not.
class AnyChunk {
 public:
  explicit AnyChunk(std::mt19937_64& rng) : rng_(rng) {}
  std::string one(std::string_view id, std::string_view created) {
    const std::string members = "\"id\":" + std::string(id) + object_ + ",\"created\":" + std::string(created) + model_;
    const auto choice = pick({R"({"index":0,"delta":{"content":"TEXT"},"finish_reason":null})",
                              R"({"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null})",
                              R"({"index":0,"delta":{},"finish_reason":"stop"})",
                              R"({"index":0,"delta":{"content":"TEXT"},"finish_reason":"length"})",
                              R"({"index":0,"delta":{"reasoning_content":"TEXT"}})",
                              R"({"index":0,"delta":{"content":"a","reasoning_content":"b"}})",
                              R"({"index":0,"delta":{"tool_calls":[{"function":{"arguments":"TEXT"}}]}})",
                              R"({"index":0,"delta":{"content":"x"}},{"index":1,"delta":{"content":"TEXT"}})"});
    auto choices =
        ",\"choices\":[" + choice + "]" + pick({"", "", R"(,"usage":null)", R"(,"usage":{"prompt_tokens":1})"});
    if (rng_() % 3 == 0) choices = ",\"choices\":[],\"usage\":" + usage();
    if (const auto at = choices.find("TEXT"); at != std::string::npos) {
      choices.replace(at, 4, pick({"word", " other", "", "\\n", "é", "\\\"", "}", "\"", "\x01"}));
    }
    return "{" + members + choices + pick({"}", "}", "}", "} ", "", "}}"});
  }
  std::string usage() {
    std::string counts;
    const auto add = [&](std::string_view name) {
      if (!counts.empty()) counts += ',';
      counts.append(name).append(":").append(
          pick({"24", "7", "0", "160", "007", "-1", "1.5", "null", "\"9\"", "1e3", "99999999999999999999"}));
    };
    add(pick({R"("prompt_tokens")", R"("x":"\"prompt_tokens\":5","prompt_tokens")"}));
    add(pick({R"("completion_tokens")", R"("prompt_tokens")"}));
    add(R"("total_tokens")");
    return "{" + counts + pick({"", R"(,"details":null)", R"(,"details":{"prompt_tokens":3})", R"(,"a":"}")"}) + "}";
  }
  // One of them; the first as often as all others together.
  std::string pick(std::initializer_list<const char*> of) {
    return rng_() % 2 == 0 ? *of.begin() : *(of.begin() + rng_() % of.size());
  }

 private:
  std::mt19937_64& rng_;
  std::string object_ = pick({R"(,"object":"chat.completion.chunk")", ""});
  std::string model_ = pick({R"(,"model":"n")", R"(,"model":"m")"});
};

TEST_F(Chunks, like_those_of_an_earlier_stream_are_rewritten_as_they_are_in_full) {
  std::mt19937_64 rng(7);
  int known = 0;
  int known_usage = 0;
  for (int node = 0; node < 40; ++node) {
    AnyChunk any(rng);
    ChunkShapes shapes;
    for (int round = 0; round < 60; ++round) {
      auto rewriter = fresh(true);
      rewriter.use(shapes);
      const auto id = any.pick({R"("c1")", R"("c2")", R"("a-longer-one")", R"("")", R"("\"")", "7", "1234", R"("é")"});
      for (int i = 0; i < 6; ++i) {
        const auto created = any.pick({"1700000000", "1700000001", "1", "0", "01", "-1", "1.5", "null", R"("12")",
                                       "1234567890123456789012", "1e9", ""});
        const auto data = any.one(id, created);
        auto full = fresh(true);
        const auto kind = append(full, data);
        const auto full_out = out_;
        const std::string full_text(full.text());
        const auto event = "data: " + data + "\n\ndata: next";
        std::string_view stream = event;
        out_.clear();
        if (const auto found = rewriter.append_known(out_, stream, kMostEventBytes)) {
          ++(*found == Kind::usage_only ? known_usage : known);
          ASSERT_EQ(kind, *found) << data;
          ASSERT_EQ(stream, "data: next") << data;
        } else {
          ASSERT_EQ(out_, "");
          ASSERT_EQ(append(rewriter, data), kind) << data;
        }
        if (kind != Kind::chunk && kind != Kind::usage_only) continue;
        ASSERT_EQ(out_, full_out) << data;
        ASSERT_EQ(rewriter.scan().only_usage(), full.scan().only_usage()) << data;
        ASSERT_EQ(rewriter.scan().counts.prompt_tokens, full.scan().counts.prompt_tokens) << data;
        ASSERT_EQ(rewriter.scan().counts.completion_tokens, full.scan().counts.completion_tokens) << data;
        ASSERT_EQ(rewriter.text(), full_text) << data;
        ASSERT_EQ(rewriter.scan().text_bytes, full.scan().text_bytes) << data;
        ASSERT_EQ(rewriter.scan().choices, full.scan().choices) << data;
        ASSERT_EQ(rewriter.scan().finished, full.scan().finished) << data;
        ASSERT_EQ(rewriter.scan().finished_choices, full.scan().finished_choices) << data;
        ASSERT_EQ(rewriter.scan().usage.found(), full.scan().usage.found()) << data;
      }
    }
  }
  EXPECT_GT(known, 1'000);
  EXPECT_GT(known_usage, 100);
}

TEST_F(Chunks, of_a_second_stream_are_known_its_usage_too) {
  ChunkShapes shapes;
  std::vector<bool> known;
  for (const std::string id : {"first", "second"}) {
    auto rewriter = fresh();
    rewriter.use(shapes);
    known.clear();
    for (const std::string choices : {R"({"delta":{"role":"assistant","content":""}})", R"({"delta":{"content":"a"}})",
                                      R"({"delta":{"content":"b"}})", R"({"delta":{},"finish_reason":"stop"})", ""}) {
      std::string data = R"({"id":")";
      data.append(id).append(R"(","created":17,"model":"n","choices":[)").append(choices).append("]");
      if (choices.empty()) {
        data.append(R"(,"usage":{"prompt_tokens":1,"completion_tokens":)").append(std::to_string(id.size()));
        data.append(R"(,"total_tokens":9})");
      }
      data += "}";
      const auto event = "data: " + data + "\n\n";
      std::string_view stream = event;
      out_.clear();
      known.push_back(rewriter.append_alike(out_, stream, kMostEventBytes).events > 0 ||
                      rewriter.append_known(out_, stream, kMostEventBytes));
      if (!known.back()) append(rewriter, data);
    }
  }
  EXPECT_EQ(known, (std::vector<bool>{true, true, true, true, true}));
}

TEST_F(Chunks, that_have_not_all_come_are_not_known) {
  ChunkShapes shapes;
  const auto event = [](std::string_view id) {
    return R"({"id":")" + std::string(id) + R"(","created":17,"model":"n","choices":[{"delta":{"content":"word"}}]})";
  };
  auto earlier = fresh();
  earlier.use(shapes);
  append(earlier, event("first"));
  auto rewriter = fresh();
  rewriter.use(shapes);
  const auto whole = "data: " + event("second") + "\n\n";
  out_.clear();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    std::string_view stream = std::string_view(whole).substr(0, size);
    ASSERT_FALSE(rewriter.append_known(out_, stream, kMostEventBytes)) << size;
    ASSERT_EQ(stream.size(), size);
    ASSERT_EQ(out_, "");
  }
  std::string_view stream = whole;
  EXPECT_FALSE(rewriter.append_known(out_, stream, whole.size() - 1));
  EXPECT_TRUE(rewriter.append_known(out_, stream, whole.size()));
}

TEST_F(Chunks, of_a_node_that_never_repeats_itself_are_not_learned_for_ever) {
  ChunkShapes shapes;
  const auto data = [](int i) {
    return R"({"id":"c","created":17,"model":"n","fingerprint":)" + std::to_string(i) +
           R"(,"choices":[{"delta":{"content":"word"}}]})";
  };
  const auto known = [&](int i) {
    auto rewriter = fresh();
    rewriter.use(shapes);
    const auto event = "data: " + data(i) + "\n\n";
    std::string_view stream = event;
    out_.clear();
    if (rewriter.append_known(out_, stream, kMostEventBytes)) return true;
    append(rewriter, data(i));
    return false;
  };
  for (int i = 0; i < 1'000; ++i) ASSERT_FALSE(known(i));
  EXPECT_FALSE(known(999));
}

}  // namespace
}  // namespace turnpike::relay
