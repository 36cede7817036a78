// The promises, each with what tries to break it: charge, stream, cancel, suspicion, flatness.
#include <gmock/gmock.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <thread>

#include "support/network.hpp"

namespace turnpike::test {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;

class Promises : public NetworkTest {
 protected:
  // CLOCK_MONOTONIC in microseconds, as the simulated node reports it.
  static std::int64_t steady_us() {
    return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
  }
  // When the node noticed that its only client had left; waits for it.
  static std::int64_t cancelled_at(const SimNode& node) {
    json stats;
    EXPECT_TRUE(eventually([&] {
      stats = node.stats();
      return stats["cancelled"].get<int>() > 0;
    }));
    return stats["cancellations"].empty() ? 0 : stats["cancellations"].back()["steady_us"].get<std::int64_t>();
  }
  static constexpr std::int64_t kMostCancelUs = 100'000;

  static std::uint64_t text_chunks(const Answer& answer) {
    std::uint64_t chunks = 0;
    for (const auto& event : answer.events()) {
      const auto chunk = json::parse(event, nullptr, false);
      if (!chunk.is_object() || !chunk.contains("choices") || chunk["choices"].empty()) continue;
      const auto& delta = chunk["choices"][0]["delta"];
      if (delta.contains("content") && delta["content"].is_string() && !delta["content"].get<std::string>().empty())
        ++chunks;
    }
    return chunks;
  }
};

// ---- cancel ----

TEST_F(Promises, a_client_that_leaves_within_a_stream_stops_the_node_and_pays_for_what_was_relayed) {
  auto& node = add_node();
  start_gateway();
  const auto key = create_key("100");
  auto [client, answer] = open_stream(key, chat("[[sim tokens=100000 ignore_max_tokens=1 interval_ms=20]] x", true));
  ASSERT_TRUE(client.read_until(answer, "content\":\" "));
  const auto seen = text_chunks(answer);
  const auto left = steady_us();
  client.close();
  EXPECT_LT(cancelled_at(node) - left, kMostCancelUs);
  ASSERT_TRUE(eventually([&] { return charges(key).size() == 1; }));
  const auto charge = charges(key)[0];
  EXPECT_EQ(charge["basis"], "relayed");
  EXPECT_GE(charge["usage"]["completion_tokens"].get<std::uint64_t>(), seen);
  EXPECT_LE(charge["usage"]["completion_tokens"].get<std::uint64_t>(), seen + 10);
  EXPECT_TRUE(no_hold_is_left());
}

TEST_F(Promises, a_client_that_leaves_before_the_first_byte_stops_the_node_and_pays_nothing) {
  for (const bool stream : {true, false}) {
    nodes.clear();
    config["nodes"] = json::array();
    auto& node = add_node();
    start_gateway();
    const auto key = create_key("100");
    Client client(address);
    client.request("POST", "/v1/chat/completions", bearer(key), chat("[[sim delay_ms=60000]] x", stream).dump());
    ASSERT_TRUE(eventually([&] { return node.stats()["in_flight"].get<int>() == 1; }));
    const auto left = steady_us();
    client.close();
    EXPECT_LT(cancelled_at(node) - left, kMostCancelUs) << (stream ? "stream" : "whole");
    EXPECT_TRUE(no_hold_is_left());
    EXPECT_TRUE(charges(key).empty());
    EXPECT_EQ(balance_usdc(key), "1.00");
    EXPECT_EQ(stop_gateway(), 0);
  }
}

TEST_F(Promises, a_client_that_leaves_while_it_waits_for_a_node_gives_its_place_up) {
  auto& node = add_node({}, {{"capacity", 1}});
  start_gateway();
  const auto key = create_key("100");
  auto [busy, first] = open_stream(key, chat("[[sim tokens=100000 ignore_max_tokens=1 interval_ms=10]] x", true));
  Client waiting(address);
  waiting.request("POST", "/v1/chat/completions", bearer(key), chat("x").dump());
  ASSERT_TRUE(eventually([&] { return metric("turnpike_waiting_requests") == 1; }));
  waiting.reset();
  EXPECT_TRUE(eventually([&] { return metric("turnpike_waiting_requests") == 0; }));
  busy.close();
  EXPECT_TRUE(no_hold_is_left());
  EXPECT_EQ(node.stats()["prompts"], 1);
}

// ---- stream ----

TEST_F(Promises, a_stream_cut_by_its_node_ends_in_an_error_event_and_never_in_done) {
  add_node({}, {{"engine", "openai"}});
  start_gateway();
  const auto key = create_key("100");
  // The last four come while the stream flows, event by event.
  for (const auto* how :
       {"die_after=7", "die_after=7 die=fin", "bad_chunk=7", "bad_json_event=7", "error_event=7",
        "die_after=7 framing=close", "oversize_line=3000000", "die_after=7 interval_ms=5", "bad_chunk=7 interval_ms=5",
        "bad_json_event=7 interval_ms=5", "error_event=7 interval_ms=5"}) {
    const auto before = charges(key).size();
    const auto answer = ask(key, chat("[[sim tokens=40 " + std::string(how) + "]] x", true));
    EXPECT_FALSE(answer.done()) << how;
    EXPECT_FALSE(answer.complete) << how << ": the framing must not end as if the answer were whole";
    ASSERT_FALSE(answer.events().empty()) << how;
    const auto last = json::parse(answer.events().back());
    ASSERT_TRUE(last.contains("error")) << how << answer.body;
    EXPECT_EQ(answer.body.find(": keep-alive"), std::string::npos) << how << ": it is seen at once";
    const auto rows = charges(key);
    ASSERT_EQ(rows.size(), before + 1) << how;
    EXPECT_EQ(rows[0]["basis"], "relayed") << how;
    EXPECT_EQ(rows[0]["usage"]["completion_tokens"].get<std::uint64_t>(), text_chunks(answer)) << how;
    // The breaker must not keep the next way to die from being tried.
    ASSERT_TRUE(eventually([&] { return ask(key, chat("x")).status == 200; }, milliseconds(30'000)));
  }
  EXPECT_TRUE(no_hold_is_left());
}

TEST_F(Promises, the_client_of_a_node_that_died_notices_nothing) {
  // The first node dies after 20 tokens whatever it is asked; the second knows nothing of that.
  add_node({"--set", "die_after=20"});
  add_node({"--set", "continuation=native"}, {{"weight", 1}});
  config["scheduler"]["breaker_failures"] = 1000;
  start_gateway();
  const auto key = create_key("100");
  const auto direct = call(nodes[1]->address(), "POST", "/v1/chat/completions", {{"Content-Type", "application/json"}},
                           chat("[[sim tokens=60]] a tale", true).dump());
  auto body = chat("[[sim tokens=60]] a tale", true);
  body["stream_options"] = {{"include_usage", true}};
  bool continued = false;
  for (int i = 0; i < 20 && !continued; ++i) {
    const auto answer = ask(key, body);
    ASSERT_TRUE(answer.done()) << answer.body;
    EXPECT_EQ(answer.streamed_text(), direct.streamed_text());
    const auto row = charges(key)[0];
    continued = row["node_id"] == "node-1,node-2";
    EXPECT_EQ(row["usage"]["completion_tokens"], 60) << row;
    const auto events = answer.events();
    EXPECT_EQ(json::parse(events[events.size() - 2])["usage"]["completion_tokens"], 60);
  }
  EXPECT_TRUE(continued) << "node-1 was never the first";
  EXPECT_TRUE(no_hold_is_left());
}

TEST_F(Promises, an_engine_that_repeats_the_text_so_far_has_it_taken_off) {
  add_node({"--set", "die_after=20"});
  // This one ignores the flags of the other engines: it answers with the text so far at the head of its first chunk.
  add_node({}, {{"weight", 1}, {"engine", "ollama"}});
  config["scheduler"]["breaker_failures"] = 1000;
  start_gateway();
  const auto key = create_key("100");
  const auto direct = call(nodes[1]->address(), "POST", "/v1/chat/completions", {{"Content-Type", "application/json"}},
                           chat("[[sim tokens=60]] a tale", true).dump());
  bool continued = false;
  for (int i = 0; i < 20 && !continued; ++i) {
    const auto answer = ask(key, chat("[[sim tokens=60]] a tale", true));
    ASSERT_TRUE(answer.done()) << answer.body;
    EXPECT_EQ(answer.streamed_text(), direct.streamed_text());
    continued = charges(key)[0]["node_id"] == "node-1,node-2";
  }
  EXPECT_TRUE(continued);
}

TEST_F(Promises, a_silent_stream_hears_a_comment_now_and_then) {
  add_node();
  config["relay"] = {{"keep_alive_interval_ms", 100}};
  start_gateway();
  const auto key = create_key("100");
  const auto answer = ask(key, chat("[[sim tokens=3 interval_ms=350]] x", true));
  EXPECT_TRUE(answer.done());
  EXPECT_THAT(answer.body, testing::HasSubstr(": keep-alive\n\n"));
  const auto early = ask(key, chat("[[sim tokens=3 delay_ms=400]] x", true));
  EXPECT_TRUE(early.done());
  EXPECT_TRUE(early.body.starts_with(": keep-alive\n\n")) << early.body;
}

TEST_F(Promises, a_first_token_reaches_the_client_while_the_node_thinks_of_the_second) {
  add_node();
  start_gateway();
  const auto key = create_key("100");
  auto [client, answer] = open_stream(key, chat("[[sim tokens=5 stall_after=1]] x", true));
  EXPECT_TRUE(client.read_until(answer, "\"content\":\""));
  EXPECT_FALSE(answer.complete);
}

// ---- retry ----

TEST_F(Promises, a_node_that_fails_before_its_first_byte_is_replaced_unseen) {
  for (const auto* fault : {"die_before=1", "status=500", "status=429", "status=404", "garbage=1",
                            "content_type=text/html", "truncate=1", "wrong_object=1"}) {
    nodes.clear();
    config["nodes"] = json::array();
    // The bad one has all the weight: without a failure of its own, it would be asked each time.
    auto& bad = add_node({"--set", fault}, {{"weight", 1000}});
    auto& good = add_node({}, {{"weight", 1}});
    start_gateway();
    const auto key = create_key("100");
    const auto whole = ask(key, chat("x"));
    ASSERT_EQ(whole.status, 200) << fault << whole.body;
    EXPECT_EQ(bad.stats()["prompts"], 1) << fault;
    EXPECT_EQ(good.stats()["prompts"], 1) << fault;
    EXPECT_EQ(charges(key).size(), 1U);
    // In a stream these two come after a first byte.
    const std::string name = fault;
    if (name != "truncate=1" && name != "wrong_object=1") {
      const auto stream = ask(key, chat("x", true));
      EXPECT_EQ(stream.status, 200) << fault;
      EXPECT_TRUE(stream.done()) << fault << stream.body;
    }
    EXPECT_TRUE(no_hold_is_left());
    EXPECT_EQ(stop_gateway(), 0);
  }
}

TEST_F(Promises, a_node_that_blames_the_request_is_believed) {
  add_node();
  auto& other = add_node();
  start_gateway();
  const auto key = create_key("100");
  const auto answer = ask(key, chat("[[sim status=400]] x"));
  EXPECT_EQ(answer.status, 400);
  EXPECT_EQ(answer.json()["error"]["type"], "invalid_request_error");
  EXPECT_EQ(nodes[0]->stats()["prompts"].get<int>() + other.stats()["prompts"].get<int>(), 1)
      << "no other node is asked";
  EXPECT_TRUE(no_hold_is_left());
  EXPECT_TRUE(charges(key).empty());
}

TEST_F(Promises, a_node_that_answers_nonsense_costs_nothing_and_hangs_nobody) {
  add_node();
  config["scheduler"]["breaker_failures"] = 1000;
  config["relay"] = {{"first_token_timeout_ms", 500}, {"max_answer_bytes", 1'000'000}};
  start_gateway();
  const auto key = create_key("100");
  for (const auto* fault : {"garbage=1", "wrong_object=1", "endless_head=1", "content_type=text/html", "truncate=1",
                            "die_before=1", "stall_before=1", "oversize_line=3000000"}) {
    for (const bool stream : {false, true}) {
      const auto answer = ask(key, chat("[[sim " + std::string(fault) + "]] x", stream));
      // In a stream these come after a first byte.
      const std::string name = fault;
      if (stream && (name == "truncate=1" || name == "oversize_line=3000000" || name == "wrong_object=1")) continue;
      EXPECT_TRUE(answer.status == 502 || answer.status == 504) << fault << " " << answer.status << answer.body;
      EXPECT_EQ(answer.json()["error"]["type"], "server_error") << fault;
    }
  }
  EXPECT_TRUE(no_hold_is_left());
}

// ---- time ----

TEST_F(Promises, every_wait_for_a_node_has_its_end) {
  add_node({}, {{"engine", "openai"}});
  config["scheduler"]["breaker_failures"] = 1000;
  config["relay"] = {{"first_token_timeout_ms", 300}, {"between_tokens_timeout_ms", 300}};
  start_gateway();
  const auto key = create_key("100");
  EXPECT_EQ(ask(key, chat("[[sim stall_before=1]] x")).status, 504);
  EXPECT_EQ(ask(key, chat("[[sim stall_before=1]] x", true)).status, 504);
  const auto stalled = ask(key, chat("[[sim tokens=9 stall_after=3]] x", true));
  EXPECT_EQ(stalled.status, 200);
  EXPECT_EQ(json::parse(stalled.events().back())["error"]["code"], "node_timeout");
  auto body = chat("[[sim tokens=1000 interval_ms=50]] x");
  body["timeout_secs"] = 0.2;
  const auto late = ask(key, body);
  EXPECT_EQ(late.status, 504);
  EXPECT_EQ(late.json()["error"]["code"], "node_timeout");
  EXPECT_TRUE(no_hold_is_left());
}

// ---- suspicion ----

TEST_F(Promises, a_node_that_claims_a_million_tokens_gets_what_it_could_have_used) {
  add_node();
  start_gateway();
  const auto key = create_key("100000");
  for (const bool stream : {false, true}) {
    auto body = chat("[[sim tokens=10 usage=lie:1000000 lie_prompt=1000000]] x", stream);
    const auto answer = ask(key, body);
    ASSERT_EQ(answer.status, 200);
    const auto row = charges(key)[0];
    EXPECT_EQ(row["basis"], "bounded");
    const auto text =
        stream ? answer.streamed_text() : answer.json()["choices"][0]["message"]["content"].get<std::string>();
    EXPECT_EQ(row["usage"]["completion_tokens"].get<std::size_t>(), text.size() + 16);
    EXPECT_LE(row["usage"]["prompt_tokens"].get<std::size_t>(), body.dump().size() + 64);
  }
}

TEST_F(Promises, an_answer_without_usage_is_counted_by_the_gateway) {
  add_node();
  start_gateway();
  const auto key = create_key("100");
  const auto answer = ask(key, chat("[[sim tokens=25 usage=none]] x", true));
  ASSERT_TRUE(answer.done());
  const auto row = charges(key)[0];
  EXPECT_EQ(row["basis"], "relayed");
  EXPECT_EQ(row["usage"]["completion_tokens"].get<std::uint64_t>(), text_chunks(answer));
}

TEST_F(Promises, a_charge_never_passes_its_hold) {
  add_node();
  start_gateway();
  const auto key = create_key("100");
  auto body = chat("[[sim tokens=5000 ignore_max_tokens=1]] x");
  body["max_tokens"] = 10;
  ASSERT_EQ(ask(key, body).status, 200);
  // At most 10 completion tokens, and the prompt's bytes with 64 for the message.
  const auto most = 10 * 2000 + (body.dump().size() + 64) * 1000;
  const auto charged = std::stod(charges(key)[0]["amount_usdc"].get<std::string>()) * -1e9;
  EXPECT_LE(charged, static_cast<double>(most) + 0.5);
}

// ---- charge ----

TEST_F(Promises, two_hundred_at_once_for_a_balance_that_pays_for_fifty) {
  add_node({}, {{"capacity", 256}});
  config["models"][0]["pricing"] = {{"per_request_usd", "0.01"}};
  start_gateway();
  const auto key = create_key("50");
  constexpr int kClients = 200;
  std::atomic<int> paid = 0;
  std::atomic<int> refused = 0;
  {
    std::vector<std::jthread> clients;
    for (int i = 0; i < kClients; ++i) {
      clients.emplace_back([&, i] {
        // Slow enough that all of them are under way before the first has ended.
        const auto answer = ask(key, chat("[[sim tokens=3 delay_ms=1500]] x", i % 2 == 0));
        paid += answer.status == 200 ? 1 : 0;
        refused += answer.status == 402 ? 1 : 0;
      });
    }
  }
  EXPECT_EQ(paid, 50);
  EXPECT_EQ(refused, 150);
  EXPECT_EQ(balance_usdc(key), "0.00");
  EXPECT_EQ(charges(key).size(), 50U);
  EXPECT_TRUE(no_hold_is_left());
}

// What is paid for on a disk that fills up is charged, and then nothing more is taken.
class FullDisk : public Promises {
 protected:
  void run() {
    add_node();
    expect_clean_exit = false;  // it ends with what it could not write
    start_gateway({.environment = {}, .max_file_bytes = 300'000});
    const auto key = create_key("100");
    Answer answer;
    int paid = 0;
    ASSERT_TRUE(eventually([&] {
      answer = ask(key, chat("x"));
      paid += answer.status == 200 ? 1 : 0;
      return answer.status != 200;
    }));
    EXPECT_EQ(answer.status, 503) << answer.body;
    EXPECT_EQ(ask(key, chat("x")).status, 503);
    EXPECT_EQ(call(address, "GET", "/readyz", {}).status, 503);
    EXPECT_EQ(call(address, "GET", "/livez", {}).status, 200);
    gateway->signal(SIGKILL);
    gateway->wait();
    // With room again, the books hold every answer that was acknowledged, once.
    start_gateway();
    EXPECT_EQ(charges(key).size(), static_cast<std::size_t>(paid));
    EXPECT_EQ(ask(key, chat("x")).status, 200);
    gateway->signal(SIGKILL);
    gateway->wait();
  }
};

TEST_F(FullDisk, a_ledger_that_cannot_be_written_takes_no_money_and_says_so) {
  // The journal finds no room for what it sets aside, and grows as long as it can.
  run();
}

TEST_F(FullDisk, what_the_journal_set_aside_is_there_when_the_ledger_cannot_be_written) {
  config["storage"] = {{"journal_bytes", 65'536}};
  run();
}

// ---- flatness ----

TEST_F(Promises, a_slow_client_slows_its_node_and_not_the_gateways_memory) {
  add_node({}, {{"engine", "openai"}});
  config["relay"] = {{"max_stream_bytes", 1'000'000'000}};
  start_gateway();
  const auto key = create_key("100000");
  // What a stream runs through is in memory then: code, and what the allocator keeps at hand.
  ASSERT_TRUE(ask(key, chat("[[sim tokens=2000 ignore_max_tokens=1]] x", true)).done());
  const auto before = gateway->resident_bytes();
  auto [client, answer] = open_stream(key, chat("[[sim flood=1]] x", true));
  ASSERT_TRUE(client.read_until(answer, "content"));
  // Nothing is read any more: the node comes to a stand when the kernel's buffers are full.
  json last;
  ASSERT_TRUE(eventually([&] {
    const auto now = call(nodes[0]->address(), "GET", "/sim/stats", {}).json();
    const bool stands = now["tokens_sent"] == last["tokens_sent"];
    last = now;
    std::this_thread::sleep_for(milliseconds(100));
    return stands;
  }));
  EXPECT_LT(gateway->resident_bytes(), before + (2U << 20U));
}

TEST_F(Promises, a_full_waiting_line_answers_at_once_and_honestly) {
  add_node({}, {{"capacity", 1}});
  config["scheduler"]["queue_limit"] = 2;
  config["scheduler"]["queue_timeout_ms"] = 600;
  start_gateway();
  const auto key = create_key("100");
  auto [busy, head] = open_stream(key, chat("[[sim tokens=100000 ignore_max_tokens=1 interval_ms=20]] x", true));
  std::vector<Client> waiting;
  for (int i = 0; i < 2; ++i) {
    waiting.emplace_back(address);
    waiting.back().request("POST", "/v1/chat/completions", bearer(key), chat("x").dump());
  }
  ASSERT_TRUE(eventually([&] { return metric("turnpike_waiting_requests") == 2; }));
  const auto refused = ask(key, chat("x"));
  EXPECT_EQ(refused.status, 503);
  EXPECT_GE(std::stoi(refused.header("retry-after")), 1);
  for (auto& one : waiting) EXPECT_EQ(one.read_answer().status, 503) << "the wait has its end";
  busy.close();
  EXPECT_TRUE(no_hold_is_left());
  EXPECT_EQ(ask(key, chat("x")).status, 200);
}

TEST_F(Promises, whoever_waits_is_served_when_a_slot_is_free) {
  add_node({}, {{"capacity", 1}});
  start_gateway();
  const auto key = create_key("100");
  std::atomic<int> served = 0;
  {
    std::vector<std::jthread> clients;
    for (int i = 0; i < 20; ++i) {
      clients.emplace_back([&] { served += ask(key, chat("[[sim tokens=3 delay_ms=20]] x")).status == 200 ? 1 : 0; });
    }
  }
  EXPECT_EQ(served, 20);
}

}  // namespace
}  // namespace turnpike::test
