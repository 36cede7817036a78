#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "inference_fixture.hpp"

namespace turnpike::inference {
namespace {

using scan::RequestKind;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::string_view kChat = R"({"model":"m-1","messages":[{"role":"user","content":"hi"}],"max_tokens":10})";
constexpr std::uint64_t kTokensPerMessage = 64;  // API.md: the bound on a claim

std::string chat(const std::string& members) {
  return R"({"model":"m-1","messages":[{"role":"user","content":"hi"}])" + members + "}";
}

using Prepare = test::InferenceTest;

// ---- the upper bound ----

TEST_F(Prepare, holds_the_price_of_the_most_it_can_cost) {
  const auto job = prepare(kChat);
  ASSERT_TRUE(job) << job.error().message;
  EXPECT_EQ((*job)->hold.amount().nanousd(), test::cost(kChat.size() + kTokensPerMessage, 10));
  EXPECT_EQ(held(), (*job)->hold.amount().nanousd());
  EXPECT_EQ((*job)->hold.account(), account);
}

TEST_F(Prepare, the_price_of_a_job_is_the_one_of_its_moment) {
  auto dear = model("m-1");
  dear.demand = Demand{.least_percent = 100, .most_percent = 300};
  catalogue.assign({dear});
  scheduler::NodeSpec spec;
  spec.id = "node-1";
  spec.url = "http://x/v1";
  spec.models = {"m-1"};
  spec.capacity = 4;
  registry.assign({spec});
  auto& node = *registry.nodes().front();
  const auto at_rest = test::cost(kChat.size() + kTokensPerMessage, 10);
  const auto first = prepare(kChat).value();
  EXPECT_EQ(first->hold.amount().nanousd(), at_rest);
  registry.begin(node, clock.now());
  registry.begin(node, clock.now());
  const auto second = prepare(kChat).value();
  EXPECT_EQ(second->hold.amount().nanousd(), 2 * at_rest);
  EXPECT_EQ(second->price.prompt_per_million.nanousd(), 2 * test::kPrice.prompt_per_million.nanousd());
  registry.abandon(node);
  registry.abandon(node);
  EXPECT_EQ(second->price.prompt_per_million.nanousd(), 2 * test::kPrice.prompt_per_million.nanousd());
}

TEST_F(Prepare, sets_the_most_tokens_aside_that_it_can_use) {
  const auto most = kChat.size() + kTokensPerMessage + 10;
  const auto admit = [&] { return limiter.admit(account, {.tokens_per_minute = 2 * most - 1}, clock.now()); };
  admission = admit();
  auto job = prepare(kChat);
  ASSERT_TRUE(job) << job.error().message;
  EXPECT_EQ((*job)->admission.tokens().remaining, most - 1);
  EXPECT_FALSE(admission.limits_tokens()) << "it is the job's now";
  admission = admit();
  const auto refused = prepare(kChat);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().fault, Fault::rate_limit_exceeded);
  EXPECT_EQ(refused.error().retry_after, std::chrono::seconds(1));
  EXPECT_EQ(admission.tokens().remaining, most - 1) << "for the refusal to tell";
  EXPECT_EQ(held(), (*job)->hold.amount().nanousd()) << "nothing is held for it";
  job->reset();
  EXPECT_TRUE(prepare(kChat)) << "what was not run is given back";
}

TEST_F(Prepare, a_day_of_tokens_is_what_the_ledger_has_of_it) {
  const limits::Tier tier{.tokens_per_day = 1'000};
  const auto left = [&] {
    admission = limiter.admit(account, tier, clock.now());
    EXPECT_TRUE(admission.reserve(0, {.used_tokens = ledger->tokens_today(account), .left = {}}, clock.now()));
    return admission.tokens().remaining;
  };
  EXPECT_EQ(left(), 1'000U);
  auto hold = ledger->hold(account, ledger::Money::nanousd(1), {.job_id = "earlier", .model = "m-1"});
  ASSERT_TRUE(loop.run(ledger->capture(
      *std::move(hold), {.amount = ledger::Money::nanousd(1), .tokens = {.prompt = 900, .completion = 50}})));
  EXPECT_EQ(left(), 50U);
  admission = limiter.admit(account, tier, clock.now());
  const auto refused = prepare(kChat);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().fault, Fault::rate_limit_exceeded);
  const auto tomorrow = ledger::day_of(clock.wall()) + std::chrono::days(1) - clock.wall();
  EXPECT_EQ(refused.error().retry_after, std::chrono::ceil<std::chrono::seconds>(tomorrow));
}

TEST_F(Prepare, every_choice_may_be_as_long_as_the_first) {
  const auto body = chat(R"(,"max_tokens":10,"n":3)");
  EXPECT_EQ(prepare(body).value()->hold.amount().nanousd(), test::cost(body.size() + kTokensPerMessage, 30));
}

TEST_F(Prepare, every_prompt_and_every_candidate_is_paid_for) {
  const auto held_for = [&](const std::string& members) {
    const std::string body = R"({"model":"m-1","max_tokens":10,)" + members + "}";
    const auto job = prepare(body, RequestKind::completion);
    EXPECT_TRUE(job);
    return ((*job)->hold.amount().nanousd() - test::cost(relay::prompt_bound({.prompt_bytes = (*job)->scan.prompt_bytes,
                                                                              .messages = (*job)->scan.messages}),
                                                         0)) /
           test::cost(0, 1);
  };
  EXPECT_EQ(held_for(R"("prompt":"one")"), 10);
  EXPECT_EQ(held_for(R"("prompt":["one","two","three"])"), 30);
  EXPECT_EQ(held_for(R"("prompt":["one","two"],"n":2,"best_of":4)"), 80);
}

TEST_F(Prepare, the_larger_of_the_two_token_limits_counts) {
  const auto body = chat(R"(,"max_tokens":10,"max_completion_tokens":25)");
  EXPECT_EQ(prepare(body).value()->hold.amount().nanousd(), test::cost(body.size() + kTokensPerMessage, 25));
}

TEST_F(Prepare, without_a_limit_it_may_write_what_the_model_can) {
  const auto body = chat("");
  EXPECT_EQ(prepare(body).value()->hold.amount().nanousd(), test::cost(body.size() + kTokensPerMessage, 4'096));
}

TEST_F(Prepare, the_configured_limit_comes_before_what_the_model_can_write) {
  limits.default_max_tokens = 100;
  const auto body = chat("");
  EXPECT_EQ(prepare(body).value()->hold.amount().nanousd(), test::cost(body.size() + kTokensPerMessage, 100));
}

TEST_F(Prepare, the_dialects_limit_comes_before_the_configured_one) {
  limits.default_max_tokens = 100;
  const auto body = chat("");
  const auto job = prepare(body, RequestKind::chat, "dria");
  EXPECT_EQ((*job)->hold.amount().nanousd(), test::cost(body.size() + kTokensPerMessage, 2'048));
}

TEST_F(Prepare, an_image_costs_its_allowance_and_not_its_bytes) {
  limits.image_token_allowance = 1'000;
  const std::string before = R"({"model":"m-eye","max_tokens":1,"messages":[{"role":"user","content":[)"
                             R"({"type":"image_url","image_url":{"url":")";
  const std::string after = R"("}}]}]})";
  const auto bound_of = [&](std::size_t bytes) {
    const auto job = prepare(before + "data:image/png;base64," + std::string(bytes, 'A') + after);
    return job ? (*job)->hold.amount().nanousd() : -1;
  };
  const auto small = bound_of(100);
  EXPECT_EQ(small, bound_of(100'000));
  EXPECT_GE(small, test::cost(1'000 + kTokensPerMessage, 1));
  EXPECT_LE(small, test::cost(1'000 + kTokensPerMessage + before.size() + after.size() + 100, 1));
}

TEST_F(Prepare, embeddings_pay_for_their_prompt_alone) {
  const std::string body = R"({"model":"m-vec","input":["one","two"]})";
  const auto job = prepare(body, RequestKind::embedding, "dria");
  ASSERT_TRUE(job) << job.error().message;
  EXPECT_EQ((*job)->hold.amount().nanousd(), test::cost(body.size() + 2 * kTokensPerMessage, 0));
}

TEST_F(Prepare, a_balance_that_pays_for_the_bound_to_the_nanodollar_is_enough) {
  const auto bound = test::cost(kChat.size() + kTokensPerMessage, 10);
  account = account_with(bound - 1);
  const auto refused = prepare(kChat);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().fault, Fault::insufficient_credits);
  account = account_with(bound);
  EXPECT_TRUE(prepare(kChat));
}

TEST_F(Prepare, a_job_that_is_dropped_gives_its_credits_back) {
  {
    const auto job = prepare(kChat);
    EXPECT_GT(held(), 0);
  }
  EXPECT_EQ(held(), 0);
  EXPECT_EQ(spent(), 0);
}

// ---- what the dialect adds ----

TEST_F(Prepare, the_dialects_defaults_are_added_where_the_client_said_nothing) {
  const auto job = prepare(chat(""), RequestKind::chat, "dria");
  EXPECT_EQ((*job)->defaults, R"("temperature":0.7)");
  EXPECT_EQ((*job)->added_max_tokens, 2'048U);
}

TEST_F(Prepare, what_the_client_said_is_left_as_it_is) {
  const auto job = prepare(chat(R"(,"temperature":0,"max_completion_tokens":5)"), RequestKind::chat, "dria");
  EXPECT_EQ((*job)->defaults, "");
  EXPECT_EQ((*job)->added_max_tokens, std::nullopt);
}

TEST_F(Prepare, a_dialect_without_defaults_adds_nothing) {
  const auto job = prepare(chat(""), RequestKind::chat, "drm3");
  EXPECT_EQ((*job)->defaults, "");
  EXPECT_EQ((*job)->added_max_tokens, std::nullopt);
}

TEST_F(Prepare, embeddings_get_no_defaults_of_writing) {
  const auto job = prepare(R"({"model":"m-vec","input":"one"})", RequestKind::embedding, "dria");
  EXPECT_EQ((*job)->defaults, "");
  EXPECT_EQ((*job)->added_max_tokens, std::nullopt);
}

TEST_F(Prepare, a_jobs_id_is_of_the_dialects_form) {
  const auto id = [&](std::string_view dialect) { return prepare(kChat, RequestKind::chat, dialect).value()->id; };
  EXPECT_TRUE(id("dria").starts_with("gen-"));
  EXPECT_TRUE(id("one-adn").starts_with("chatcmpl-"));
  EXPECT_EQ(id("drm3").size(), 36U);
  const auto job = prepare(kChat);
  EXPECT_EQ((*job)->id_json, "\"" + (*job)->id + "\"");
}

// ---- time ----

TEST_F(Prepare, the_deadline_is_the_clients_or_the_default_and_never_past_the_most) {
  limits.default_timeout = seconds(120);
  limits.max_timeout = seconds(600);
  const auto given = [&](const std::string& members) { return prepare(chat(members)).value()->deadline - clock.now(); };
  EXPECT_EQ(given(""), seconds(120));
  EXPECT_EQ(given(R"(,"timeout_secs":7)"), seconds(7));
  EXPECT_EQ(given(R"(,"timeout_secs":0.0015)"), milliseconds(2));
  EXPECT_EQ(given(R"(,"timeout_secs":601)"), seconds(600));
}

// ---- what is refused, and that it costs nothing ----

TEST_F(Prepare, the_first_fault_names_its_member) {
  const std::pair<std::string, std::string> faults[] = {
      {chat(R"(,"temperature":2.1)"), "temperature"},
      {chat(R"(,"max_tokens":0)"), "max_tokens"},
      {chat(R"(,"n":0)"), "n"},
      {chat(R"(,"stream":"yes")"), "stream"},
      {R"({"model":"m-1"})", "messages"},
      {R"({"messages":[{"role":"user","content":"hi"}]})", "model"},
      {R"({"model":"m-1","messages":[{"role":5,"content":"hi"}]})", "messages[0].role"},
  };
  for (const auto& [body, param] : faults) {
    const auto job = prepare(body);
    ASSERT_FALSE(job) << body;
    EXPECT_EQ(job.error().fault, Fault::invalid_request) << body;
    EXPECT_EQ(job.error().param, param) << body;
  }
  EXPECT_EQ(held(), 0);
}

TEST_F(Prepare, a_model_that_is_not_sold_is_named_in_the_refusal_but_not_at_any_length) {
  const std::string name(10'000, 'x');
  const auto job = prepare(R"({"model":")" + name + R"(","messages":[{"role":"user","content":"hi"}]})");
  ASSERT_FALSE(job);
  EXPECT_EQ(job.error().fault, Fault::model_not_found);
  EXPECT_EQ(job.error().param, "model");
  EXPECT_NE(job.error().message.find("xxx"), std::string::npos);
  EXPECT_LT(job.error().message.size(), 300U);
}

TEST_F(Prepare, a_model_is_asked_only_for_what_it_does) {
  const auto param_of = [&](std::string_view body, RequestKind kind) {
    const auto job = prepare(body, kind);
    return job ? std::string("none") : job.error().param;
  };
  const std::string image = R"([{"type":"image_url","image_url":{"url":"https://x/y.png"}}])";
  const auto with_image = [&](const std::string& model) {
    return R"({"model":")" + model + R"(","messages":[{"role":"user","content":)" + image + "}]}";
  };
  EXPECT_EQ(param_of(R"({"model":"m-vec","messages":[{"role":"user","content":"hi"}]})", RequestKind::chat), "model");
  EXPECT_EQ(param_of(R"({"model":"m-vec","prompt":"hi"})", RequestKind::completion), "model");
  EXPECT_EQ(param_of(R"({"model":"m-1","prompt":"hi"})", RequestKind::completion), "none");
  EXPECT_EQ(param_of(R"({"model":"m-1","input":"hi"})", RequestKind::embedding), "model");
  EXPECT_EQ(param_of(R"({"model":"m-vec","input":"hi"})", RequestKind::embedding), "none");
  EXPECT_EQ(param_of(with_image("m-1"), RequestKind::chat), "messages");
  EXPECT_EQ(param_of(with_image("m-eye"), RequestKind::chat), "none");
}

}  // namespace
}  // namespace turnpike::inference
