#include <gtest/gtest.h>

#include <boost/asio/post.hpp>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "inference_fixture.hpp"
#include "turnpike/base/encoding.hpp"
#include "turnpike/base/running_digest.hpp"
#include "turnpike/dialect/error_body.hpp"
#include "turnpike/ledger/receipt_log.hpp"

namespace turnpike::inference {
namespace {

using boost::asio::awaitable;
using ledger::Basis;
using nlohmann::json;
using scan::RequestKind;

// A client that writes down what it was given.
class Recorder final : public ClientStream {
 public:
  void begin(std::string_view /*job_id*/, std::string_view node_id) override {
    steps.emplace_back("begin");
    node = node_id;
  }
  bool write(std::string_view events) override {
    steps.emplace_back("write");
    body += events;
    return --writes_until_it_leaves != 0;
  }
  awaitable<bool> written() override { co_return false; }
  awaitable<void> finish(std::string_view events, const Settled& result) override {
    steps.emplace_back("finish");
    tail = events;
    body += events;
    settled = result;
    co_return;
  }
  awaitable<void> break_off(std::string_view event) override {
    steps.emplace_back("break_off");
    body += event;
    const auto error = json::parse(event.substr(event.find('{')))["error"];
    for (const auto each : {Fault::node_error, Fault::node_timeout, Fault::service_unavailable}) {
      const auto& dialect = *dialects.by_id("drm3");
      if (error["code"] == dialect::kind_of(dialect, each).code) fault = each;
    }
    co_return;
  }
  awaitable<void> refuse(const Error& error) override {
    steps.emplace_back("refuse");
    fault = error.fault;
    co_return;
  }

  using Steps = std::vector<std::string>;
  int writes_until_it_leaves = -1;  // below zero: it stays
  Steps steps;
  std::string node;
  std::string tail;
  std::string body;  // all that was handed to it
  Settled settled;
  std::optional<Fault> fault;
  dialect::Dialects dialects = dialect::Dialects::load("", "dria").value();
};

class SettleTest : public test::InferenceTest {
 protected:
  // The upper bound of kBody is over the price of any claim of these tests but where one says otherwise.
  static constexpr std::string_view kBody =
      R"({"model":"m-1","messages":[{"role":"user","content":"How are you?"}],"max_tokens":100})";
  static constexpr std::string_view kStream =
      R"({"model":"m-1","messages":[{"role":"user","content":"How are you?"}],"max_tokens":100,"stream":true})";
  static constexpr std::string_view kStreamWithUsage =
      R"({"model":"m-1","messages":[{"role":"user","content":"hi"}],"max_tokens":100,"stream":true,"stream_options":{"include_usage":true}})";

  // An answer of 12 bytes with what the node says it used.
  static std::string answer_with(const std::string& usage) {
    return R"({"id":"node-id","object":"chat.completion","model":"node-model","choices":[{"index":0,"message":{"role":"assistant","content":"I am fine, x"},"finish_reason":"stop"}])" +
           (usage.empty() ? "" : R"(,"usage":)" + usage) + "}";
  }
  Result<Delivered> whole(std::string_view body = kBody, RequestKind kind = RequestKind::chat) {
    const auto job = prepare(body, kind).value();
    return loop.run(inference().whole(*job));
  }
  // A stream of two events that carried 8 bytes of text.
  void script_stream() {
    script.events = {"data: {1}\n\n", "data: {2}\n\n"};
    script.end.seen.text_bytes = 8;
    script.end.seen.text_events = 2;
    script.end.parts = {{.node_id = "node-1", .payee = {}, .text_events = 2}};
  }
  void script_complete_stream(std::uint64_t prompt_tokens, std::uint64_t completion_tokens) {
    script_stream();
    script.end.complete = true;
    script.end.claim = {.prompt_tokens = prompt_tokens, .completion_tokens = completion_tokens};
    script.end.usage_event = R"({"id":"ours","choices":[],"usage":{"the":"node's"}})";
  }
  void stream(std::string_view body = kStream, RequestKind kind = RequestKind::chat) {
    const auto job = prepare(body, kind).value();
    loop.run(run_stream(inference(), *job, client));
  }
  void expect_nothing_charged() {
    EXPECT_EQ(spent(), 0);
    EXPECT_EQ(held(), 0);
  }

  Recorder client;

 private:
  static awaitable<bool> run_stream(Inference& inference, Job& job, ClientStream& client) {
    co_await inference.stream(job, client);
    co_return true;
  }
};

// ---- whole answers: what is charged, and why ----

using Whole = SettleTest;

TEST_F(Whole, a_claim_within_the_bound_is_charged_as_the_node_says) {
  script.answer = answer_with(R"({"prompt_tokens":12,"completion_tokens":8})");
  const auto delivered = whole();
  ASSERT_TRUE(delivered) << delivered.error().message;
  EXPECT_EQ(delivered->settled.basis, Basis::node_usage);
  EXPECT_EQ(delivered->settled.charged.nanousd(), test::cost(12, 8));
  EXPECT_EQ(delivered->settled.balance.nanousd(), kBalance - test::cost(12, 8));
  EXPECT_EQ(spent(), test::cost(12, 8));
  EXPECT_EQ(held(), 0);
}

TEST_F(Whole, the_ledger_says_who_served_it_and_what_was_counted) {
  script.answer = answer_with(R"({"prompt_tokens":12,"completion_tokens":8})");
  script.node = "node-9";
  ASSERT_TRUE(whole());
  const auto entry = newest();
  EXPECT_EQ(entry.amount.nanousd(), -test::cost(12, 8));
  EXPECT_EQ(entry.basis, "node_usage");
  EXPECT_EQ(entry.tokens, (ledger::TokenCounts{.prompt = 12, .completion = 8}));
  EXPECT_EQ(entry.node_id, "node-9");
  EXPECT_EQ(entry.model, "m-1");
}

TEST_F(Whole, a_claim_of_more_tokens_than_bytes_were_sent_is_cut_to_them) {
  script.answer = answer_with(R"({"prompt_tokens":12,"completion_tokens":1000000})");
  const auto delivered = whole();
  EXPECT_EQ(delivered->settled.basis, Basis::bounded);
  EXPECT_EQ(delivered->settled.tokens.completion, 12U + 16U);
  EXPECT_EQ(spent(), test::cost(12, 12 + 16));
}

TEST_F(Whole, a_claim_of_a_prompt_longer_than_the_request_is_cut_to_it) {
  script.answer = answer_with(R"({"prompt_tokens":1000000,"completion_tokens":8})");
  const auto delivered = whole();
  EXPECT_EQ(delivered->settled.basis, Basis::bounded);
  EXPECT_EQ(spent(), test::cost(kBody.size() + 64, 8));
}

TEST_F(Whole, without_a_claim_the_gateway_counts) {
  script.answer = answer_with("");
  const auto delivered = whole();
  EXPECT_EQ(delivered->settled.basis, Basis::relayed);
  EXPECT_EQ(delivered->settled.tokens.completion, 3U);  // 12 bytes, four to a token
  EXPECT_EQ(spent(), test::cost(delivered->settled.tokens.prompt, 3));
  EXPECT_GT(delivered->settled.tokens.prompt, 0U);
}

TEST_F(Whole, half_a_claim_is_none) {
  script.answer = answer_with(R"({"prompt_tokens":12})");
  const auto delivered = whole();
  EXPECT_EQ(delivered->settled.basis, Basis::relayed);
  EXPECT_EQ(spent(), test::cost(12, 3));
}

TEST_F(Whole, a_charge_is_never_over_what_was_held) {
  // One token was allowed; the bytes that were sent would allow 28.
  script.answer = answer_with(R"({"prompt_tokens":1000000,"completion_tokens":28})");
  const std::string body = R"({"model":"m-1","messages":[{"role":"user","content":"hi"}],"max_tokens":1})";
  const auto delivered = whole(body);
  EXPECT_EQ(delivered->settled.charged.nanousd(), test::cost(body.size() + 64, 1));
  EXPECT_EQ(spent(), test::cost(body.size() + 64, 1));
}

TEST_F(Whole, embeddings_are_charged_no_completion_whatever_the_node_says) {
  script.answer = R"({"object":"list","data":[],"model":"x","usage":{"prompt_tokens":5,"completion_tokens":9}})";
  const auto delivered = whole(R"({"model":"m-vec","input":"one"})", RequestKind::embedding);
  EXPECT_EQ(delivered->settled.basis, Basis::node_usage);
  EXPECT_EQ(spent(), test::cost(5, 0));
}

TEST_F(Whole, an_answer_carries_the_gateways_names_and_the_nodes_id) {
  script.answer = answer_with(R"({"prompt_tokens":12,"completion_tokens":8})");
  script.node = "node-9";
  auto job = prepare(kBody).value();
  const auto id = job->id;
  const auto body = json::parse(loop.run(inference().whole(*job))->body);
  EXPECT_EQ(body["id"], id);
  EXPECT_EQ(body["model"], "m-1");
  EXPECT_EQ(body["metadata"]["node_id"], "node-9");
  EXPECT_EQ(body["choices"][0]["message"]["content"], "I am fine, x");
  EXPECT_EQ(body["usage"]["completion_tokens"], 8);
}

TEST_F(Whole, is_charged_at_the_price_it_was_held_at) {
  script.answer = answer_with(R"({"prompt_tokens":12,"completion_tokens":8})");
  auto job = prepare(kBody).value();
  auto dearer = model("m-1");
  dearer.price.prompt_per_million = ledger::Money::nanousd(9'000'000'000);
  catalogue.assign({dearer});
  ASSERT_TRUE(loop.run(inference().whole(*job)));
  EXPECT_EQ(spent(), test::cost(12, 8));
}

TEST_F(Whole, tokens_that_were_not_used_are_given_back_to_the_limits) {
  const limits::Tier tier{.tokens_per_minute = 1'000, .tokens_per_day = 10'000};
  script.answer = answer_with(R"({"prompt_tokens":12,"completion_tokens":8})");
  admission = limiter.admit(account, tier, clock.now());
  auto job = prepare(kBody).value();
  EXPECT_LT(job->admission.tokens().remaining, 980U);
  ASSERT_TRUE(loop.run(inference().whole(*job)));
  EXPECT_EQ(job->admission.tokens().remaining, 980U);
  EXPECT_EQ(ledger->tokens_today(account), 20U);
  script.answer = fail(Fault::node_timeout, "too slow");
  admission = limiter.admit(account, tier, clock.now());
  job = prepare(kBody).value();
  EXPECT_FALSE(loop.run(inference().whole(*job)));
  job.reset();
  admission = limiter.admit(account, tier, clock.now());
  EXPECT_TRUE(admission.reserve(980, {}, clock.now())) << "no answer used none";
}

TEST_F(Whole, no_answer_costs_nothing_and_the_client_hears_why) {
  script.answer = fail(Fault::node_timeout, "too slow");
  const auto delivered = whole();
  ASSERT_FALSE(delivered);
  EXPECT_EQ(delivered.error().fault, Fault::node_timeout);
  expect_nothing_charged();
}

TEST_F(Whole, an_answer_whose_charge_cannot_be_written_is_not_handed_out) {
  script.answer = answer_with(R"({"prompt_tokens":12,"completion_tokens":8})");
  open(storage::Durability::power);
  commits = false;
  const auto delivered = whole();
  ASSERT_FALSE(delivered);
  EXPECT_EQ(delivered.error().fault, Fault::service_unavailable);
}

TEST_F(Whole, each_kind_of_request_has_its_path_at_the_node) {
  script.answer = R"({"choices":[{"text":"x"}],"data":[]})";
  ASSERT_TRUE(whole());
  EXPECT_EQ(script.path, "/chat/completions");
  ASSERT_TRUE(whole(R"({"model":"m-1","prompt":"hi","max_tokens":5})", RequestKind::completion));
  EXPECT_EQ(script.path, "/completions");
  ASSERT_TRUE(whole(R"({"model":"m-vec","input":"hi"})", RequestKind::embedding));
  EXPECT_EQ(script.path, "/embeddings");
}

TEST_F(Whole, the_nodes_get_the_dialects_defaults_and_the_deadline) {
  script.answer = answer_with("");
  auto job = prepare(R"({"model":"m-1","messages":[{"role":"user","content":"hi"}]})", RequestKind::chat, "dria");
  ASSERT_TRUE(loop.run(inference().whole(**job)));
  EXPECT_EQ(script.defaults, R"("temperature":0.7)");
  EXPECT_EQ(script.max_tokens, 2'048U);
  EXPECT_EQ(script.deadline, clock.now() + limits.default_timeout);
  EXPECT_FALSE(script.asked_for_usage);
}

// ---- streams ----

using Stream = SettleTest;

TEST_F(Stream, a_complete_one_begins_with_its_first_events_and_ends_after_its_charge) {
  script_complete_stream(12, 2);
  stream();
  EXPECT_EQ(client.steps, (Recorder::Steps{"begin", "write", "write", "finish"}));
  EXPECT_EQ(client.node, "node-1");
  EXPECT_EQ(client.tail, "data: [DONE]\n\n");
  EXPECT_EQ(client.settled.basis, Basis::node_usage);
  EXPECT_EQ(spent(), test::cost(12, 2));
  EXPECT_EQ(held(), 0);
}

TEST_F(Stream, the_node_is_asked_for_usage_whether_or_not_the_client_did) {
  script_complete_stream(12, 2);
  stream();
  EXPECT_TRUE(script.asked_for_usage);
}

TEST_F(Stream, one_whose_charge_cannot_be_written_ends_as_a_broken_one) {
  script_complete_stream(12, 2);
  open(storage::Durability::power);
  commits = false;
  stream();
  EXPECT_EQ(client.steps, (Recorder::Steps{"begin", "write", "write", "break_off"}));
  EXPECT_EQ(client.fault, Fault::service_unavailable);
}

TEST_F(Stream, its_last_events_go_out_with_its_end) {
  script_complete_stream(12, 2);
  script.end.events = "data: {3}\n\n";
  stream();
  EXPECT_EQ(client.steps, (Recorder::Steps{"begin", "write", "write", "finish"}));
  EXPECT_EQ(client.tail, "data: {3}\n\ndata: [DONE]\n\n");
}

TEST_F(Stream, its_last_events_do_not_wait_for_a_disk_and_its_end_does) {
  script_complete_stream(12, 2);
  script.end.events = "data: {3}\n\n";
  open(storage::Durability::power);
  stream();
  EXPECT_EQ(client.steps, (Recorder::Steps{"begin", "write", "write", "write", "finish"}));
  EXPECT_EQ(client.tail, "data: [DONE]\n\n");
  commits = false;
  client = {};
  stream();
  EXPECT_EQ(client.steps, (Recorder::Steps{"begin", "write", "write", "write", "break_off"}));
}

TEST_F(Stream, one_without_text_is_begun_before_it_is_ended) {
  script_complete_stream(12, 0);
  script.events.clear();
  script.end.seen = {};
  stream();
  EXPECT_EQ(client.steps, (Recorder::Steps{"begin", "finish"}));
  EXPECT_EQ(spent(), test::cost(12, 0));
}

TEST_F(Stream, usage_is_told_to_a_client_that_asked_in_the_nodes_own_words) {
  script_complete_stream(12, 2);
  stream(kStreamWithUsage);
  EXPECT_EQ(client.tail, "data: " + script.end.usage_event + "\n\ndata: [DONE]\n\n");
}

// The usage of the chunk that the gateway made.
json usage_of(const std::string& tail) {
  const std::string_view begins = "data: ";
  const auto end = tail.find("\n\n");
  if (!tail.starts_with(begins) || end == std::string::npos) return nullptr;
  return json::parse(tail.substr(begins.size(), end - begins.size()), nullptr, false);
}

TEST_F(Stream, a_claim_that_is_not_believed_is_told_as_it_was_charged) {
  script_complete_stream(12, 1'000'000);
  stream(kStreamWithUsage);
  EXPECT_EQ(client.settled.basis, Basis::bounded);
  const auto chunk = usage_of(client.tail);
  EXPECT_EQ(chunk["usage"], (json{{"prompt_tokens", 12}, {"completion_tokens", 24}, {"total_tokens", 36}}));
  EXPECT_EQ(chunk["object"], "chat.completion.chunk");
  EXPECT_EQ(chunk["choices"], json::array());
  EXPECT_EQ(chunk["model"], "m-1");
  EXPECT_EQ(chunk["created"], unix_seconds(clock.wall()));
  EXPECT_EQ(spent(), test::cost(12, 24));
}

TEST_F(Stream, where_the_node_claims_nothing_the_gateways_count_is_told) {
  script_complete_stream(0, 0);
  script.end.claim = {};
  script.end.usage_event.clear();
  stream(R"({"model":"m-1","prompt":"hi","max_tokens":9,"stream":true,"stream_options":{"include_usage":true}})",
         RequestKind::completion);
  EXPECT_EQ(client.settled.basis, Basis::relayed);
  const auto chunk = usage_of(client.tail);
  EXPECT_EQ(chunk["object"], "text_completion");
  EXPECT_EQ(chunk["usage"]["completion_tokens"], 2);  // a chunk, a token
  EXPECT_EQ(spent(), test::cost(client.settled.tokens.prompt, 2));
}

TEST_F(Stream, a_client_that_leaves_pays_for_what_was_relayed) {
  script_complete_stream(12, 80);
  script.end.complete = false;
  client.writes_until_it_leaves = 2;
  stream();
  EXPECT_EQ(client.steps, (Recorder::Steps{"begin", "write", "write"}));
  EXPECT_EQ(newest().basis, "relayed");
  EXPECT_EQ(newest().tokens.completion, 2U);
  EXPECT_LT(spent(), test::cost(12, 80));
  EXPECT_EQ(held(), 0);
}

TEST_F(Stream, a_client_that_leaves_before_any_text_pays_nothing) {
  script.end.client_left = true;
  stream();
  EXPECT_EQ(client.steps, Recorder::Steps{});
  expect_nothing_charged();
}

TEST_F(Stream, one_that_breaks_is_charged_for_what_was_relayed_and_has_no_clean_end) {
  script_stream();
  script.end.parts = {{.node_id = "node-1", .payee = {}, .text_events = 1},
                      {.node_id = "node-2", .payee = {}, .text_events = 1}};
  script.end.error = Error{.fault = Fault::node_timeout, .message = "silent"};
  stream();
  EXPECT_EQ(client.steps, (Recorder::Steps{"begin", "write", "write", "break_off"}));
  EXPECT_EQ(client.fault, Fault::node_timeout);
  EXPECT_EQ(newest().basis, "relayed");
  EXPECT_EQ(newest().node_id, "node-1,node-2");
  EXPECT_EQ(held(), 0);
}

// ---- what owners earn ----

TEST_F(Whole, its_owner_earns_its_share_of_the_charge_and_no_more) {
  const auto owner = account_with(0);
  script.answer = answer_with(R"({"prompt_tokens":12,"completion_tokens":8})");
  script.payee = {.account = owner, .share_millionths = 333'333};
  ASSERT_TRUE(whole());
  const auto earned = earnings(owner, "node-1");
  EXPECT_EQ(earned.total.nanousd(), test::cost(12, 8) * 333'333 / 1'000'000);
  ASSERT_EQ(earned.earnings.size(), 1U);
  EXPECT_EQ(earned.earnings[0].tokens, (ledger::TokenCounts{.prompt = 12, .completion = 8}));
  EXPECT_EQ(ledger->balance(owner), ledger::Money()) << "earnings are no credits";
  EXPECT_EQ(spent(), test::cost(12, 8));
}

TEST_F(Stream, served_by_two_is_divided_by_what_their_tokens_cost) {
  const auto first = account_with(0);
  const auto second = account_with(0);
  script_complete_stream(12, 6);
  script.end.parts = {{.node_id = "node-1", .payee = {.account = first, .share_millionths = 500'000}, .text_events = 2},
                      {.node_id = "node-2", .payee = {.account = second, .share_millionths = 250'000}}};
  stream();
  EXPECT_EQ(spent(), test::cost(12, 6));
  EXPECT_EQ(earnings(first, "node-1").total.nanousd(), test::cost(0, 2) / 2);
  EXPECT_EQ(earnings(first, "node-1").earnings[0].tokens, (ledger::TokenCounts{.prompt = 0, .completion = 2}));
  EXPECT_EQ(earnings(second, "node-2").total.nanousd(), test::cost(12, 4) / 4);
  EXPECT_EQ(earnings(second, "node-2").earnings[0].tokens, (ledger::TokenCounts{.prompt = 12, .completion = 4}));
}

TEST_F(Stream, a_node_that_brought_nothing_earns_nothing_where_a_request_as_such_has_a_price) {
  const auto first = account_with(0);
  const auto second = account_with(0);
  auto priced = model("m-1");
  priced.price = {.per_request = ledger::Money::nanousd(1'000)};
  catalogue.assign({priced});
  script_complete_stream(0, 0);
  script.end.parts = {{.node_id = "node-1", .payee = {.account = first, .share_millionths = 1'000'000}},
                      {.node_id = "node-2", .payee = {.account = second, .share_millionths = 1'000'000}}};
  stream();
  EXPECT_EQ(spent(), 1'000);
  EXPECT_EQ(earnings(first, "node-1").total.nanousd(), 0);
  EXPECT_EQ(earnings(second, "node-2").total.nanousd(), 1'000);
}

TEST_F(Stream, a_client_that_leaves_pays_the_owner_its_share_of_what_was_relayed) {
  const auto owner = account_with(0);
  script_complete_stream(12, 80);
  script.end.complete = false;
  script.end.parts[0].payee = {.account = owner, .share_millionths = 800'000};
  client.writes_until_it_leaves = 2;
  stream();
  EXPECT_EQ(newest().basis, "relayed");
  EXPECT_EQ(earnings(owner, "node-1").total.nanousd(), spent() * 8 / 10);
}

TEST_F(Stream, one_that_breaks_after_a_keep_alive_alone_costs_nothing) {
  script.events = {": keep-alive\n\n"};
  script.end.error = Error{.fault = Fault::node_error, .message = "gone"};
  stream();
  EXPECT_EQ(client.steps, (Recorder::Steps{"begin", "write", "break_off"}));
  expect_nothing_charged();
}

TEST_F(Stream, one_that_fails_before_its_first_byte_is_an_ordinary_error) {
  script.end.error = Error{.fault = Fault::service_unavailable, .message = "no node"};
  stream();
  EXPECT_EQ(client.steps, Recorder::Steps{"refuse"});
  EXPECT_EQ(client.fault, Fault::service_unavailable);
  expect_nothing_charged();
}

TEST_F(Stream, an_end_without_a_reason_is_the_nodes_fault) {
  script_stream();
  stream();
  EXPECT_EQ(client.fault, Fault::node_error);
}

// ---- what a receipt says of it ----

class Explained : public SettleTest {
 protected:
  static std::string hex(std::string_view bytes) {
    const auto digest = sha256(bytes);
    return to_hex({static_cast<const char*>(static_cast<const void*>(digest.data())), digest.size()});
  }
  // The newest charge's.
  json receipt() {
    ledger::ReceiptLog log(*database);
    return json::parse(loop.run(log.find(account, newest().job_id)).value().json);
  }
  // Of more than is digested in one piece.
  static std::string large_text() { return std::string(3 * kDigestTurnBytes, 'x'); }
  static std::string large_request(bool stream) {
    return R"({"model":"m-1","messages":[{"role":"user","content":")" + large_text() +
           R"("}],"max_tokens":100,"stream":)" + (stream ? "true}" : "false}");
  }
  static std::string large_answer() {
    return R"({"id":"a","model":"b","choices":[{"index":0,"message":{"role":"assistant","content":")" + large_text() +
           R"("},"finish_reason":"stop"}],"usage":{"prompt_tokens":12,"completion_tokens":8}})";
  }
  std::optional<ledger::EndedJob> only_unpaid() {
    const auto page = loop.run(ledger->unpaid_jobs(account, {}, 10, {})).value();
    EXPECT_LE(page.jobs.size(), 1U);
    return page.jobs.empty() ? std::nullopt : std::optional(page.jobs[0]);
  }
};

TEST_F(Explained, a_whole_answer_by_the_bytes_of_request_and_answer_and_by_what_was_held) {
  script.answer = answer_with(R"({"prompt_tokens":12,"completion_tokens":8})");
  const auto delivered = whole();
  const auto said = receipt();
  EXPECT_EQ(said["request_sha256"], hex(kBody));
  EXPECT_EQ(said["response_sha256"], hex(delivered->body));
  EXPECT_EQ(said["ended"], "complete");
  EXPECT_EQ(said["stream"], false);
  EXPECT_EQ(said["work"], "chat");
  EXPECT_EQ(said["quote"], (json{{"prompt_tokens", kBody.size() + 64}, {"completion_tokens", 100}}));
  EXPECT_EQ(said["price"]["id"], ledger::price_id(test::kPrice));
  EXPECT_EQ(said["nodes"][0]["prompt_tokens"], 12);
  EXPECT_EQ(said["nodes"][0]["completion_tokens"], 8);
}

TEST_F(Explained, a_stream_by_all_that_its_client_was_given_the_end_among_it) {
  for (const auto durability : {storage::Durability::process, storage::Durability::power}) {
    open(durability);
    for (const auto body : {kStream, kStreamWithUsage}) {
      script_complete_stream(12, 2);
      script.end.events = "data: {3}\n\n";
      client.body.clear();
      stream(body);
      ASSERT_TRUE(client.body.ends_with("data: [DONE]\n\n")) << client.body;
      const auto said = receipt();
      EXPECT_EQ(said["response_sha256"], hex(client.body)) << client.body;
      EXPECT_EQ(said["request_sha256"], hex(body));
      EXPECT_EQ(said["stream"], true);
      EXPECT_EQ(said["ended"], "complete");
    }
  }
}

TEST_F(Explained, a_stream_that_broke_by_its_error_event_too) {
  for (const auto durability : {storage::Durability::process, storage::Durability::power}) {
    open(durability);
    script_stream();
    client.body.clear();
    stream();
    ASSERT_NE(client.body.find("\"error\""), std::string::npos) << client.body;
    EXPECT_EQ(receipt()["response_sha256"], hex(client.body));
    EXPECT_EQ(receipt()["ended"], "broken");
    EXPECT_EQ(receipt()["basis"], "relayed");
  }
}

TEST_F(Explained, a_stream_whose_client_left_by_what_was_handed_to_it) {
  script_stream();
  client.writes_until_it_leaves = 2;
  stream();
  EXPECT_EQ(receipt()["response_sha256"], hex(client.body));
  EXPECT_EQ(receipt()["ended"], "client_left");
}

TEST_F(Explained, large_bodies_that_are_digested_in_turns_too) {
  for (const bool streamed : {false, true}) {
    const std::string body = large_request(streamed);
    if (streamed) {
      script_complete_stream(12, 2);
      stream(body);
      EXPECT_EQ(receipt()["response_sha256"], hex(client.body));
    } else {
      script.answer = large_answer();
      const auto delivered = whole(body);
      ASSERT_TRUE(delivered);
      EXPECT_EQ(receipt()["response_sha256"], hex(delivered->body));
    }
    EXPECT_EQ(receipt()["request_sha256"], hex(body));
  }
}

// Says yes, and has somebody look when the loop next has a turn to give.
class Keeper final : public AnswerKeeper {
 public:
  Keeper(boost::asio::any_io_executor executor, std::function<void()> look)
      : executor_(std::move(executor)), look_(std::move(look)) {}
  awaitable<Result<std::shared_ptr<storage::Operation>>> keep(const Delivered& /*answer*/) override {
    boost::asio::post(executor_, look_);
    co_return std::shared_ptr<storage::Operation>();
  }

 private:
  boost::asio::any_io_executor executor_;
  std::function<void()> look_;
};

TEST_F(Explained, a_large_answer_that_is_kept_is_charged_at_the_keepers_word) {
  script.answer = large_answer();
  std::optional<std::int64_t> seen;
  Keeper keeper(loop.executor(), [&] { seen = spent(); });
  const std::string body = large_request(false);
  const auto job = prepare(body).value();
  ASSERT_TRUE(loop.run(inference().whole(*job, &keeper)));
  EXPECT_EQ(seen, spent()) << "held still, where a job could be cancelled";
}

TEST_F(Explained, without_digests_of_content_where_none_are_wanted) {
  limits.content_digests = false;
  script.answer = answer_with(R"({"prompt_tokens":12,"completion_tokens":8})");
  ASSERT_TRUE(whole());
  for (const bool streamed : {false, true}) {
    if (streamed) {
      script_complete_stream(12, 2);
      stream();
      ASSERT_TRUE(client.body.ends_with("data: [DONE]\n\n")) << client.body;
    }
    const auto said = receipt();
    EXPECT_EQ(said["stream"], streamed);
    EXPECT_FALSE(said.contains("request_sha256"));
    EXPECT_FALSE(said.contains("response_sha256"));
    EXPECT_EQ(said["ended"], "complete");
    EXPECT_EQ(said["usage"]["prompt_tokens"], 12);
  }
}

TEST_F(Explained, an_inference_that_cost_nothing_as_a_job_by_its_error) {
  script.answer = fail(Fault::node_timeout, "too late");
  EXPECT_FALSE(whole());
  const auto job = only_unpaid();
  ASSERT_TRUE(job);
  EXPECT_EQ(job->code, "node_timeout");
  EXPECT_EQ(job->charge.model, "m-1");
  expect_nothing_charged();
}

TEST_F(Explained, a_stream_that_its_client_left_before_it_got_anything_as_a_job_without_an_error) {
  script.events = {};
  script.end.client_left = true;
  stream();
  const auto job = only_unpaid();
  ASSERT_TRUE(job);
  EXPECT_EQ(job->code, "");
  expect_nothing_charged();
}

}  // namespace
}  // namespace turnpike::inference
