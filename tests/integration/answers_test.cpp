// What a client gets, and what a node is sent, when all goes well.
#include <gmock/gmock.h>

#include <algorithm>
#include <csignal>
#include <set>

#include "support/network.hpp"
#include "turnpike/base/encoding.hpp"

namespace turnpike::test {
namespace {

using nlohmann::json;

class Answers : public NetworkTest {};

std::string text_of(const Answer& answer) {
  return answer.json()["choices"][0]["message"]["content"];
}

TEST_F(Answers, a_whole_answer_is_the_nodes_with_the_gateways_id_and_the_node_named) {
  auto& node = add_node();
  start_gateway();
  const auto key = create_key("100");
  const auto body = chat("tell me");
  const auto direct =
      call(node.address(), "POST", "/v1/chat/completions", {{"Content-Type", "application/json"}}, json(body).dump());
  const auto answer = ask(key, body);
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(text_of(answer), text_of(direct));
  EXPECT_TRUE(answer.json()["id"].get<std::string>().starts_with("gen-"));
  EXPECT_EQ(answer.json()["model"], "m-1");
  EXPECT_EQ(answer.json()["metadata"]["node_id"], "node-1");
  EXPECT_EQ(answer.json()["id"], answer.header("x-turnpike-job-id"));
  EXPECT_EQ(answer.header("x-turnpike-worker"), "node-1");
  EXPECT_TRUE(answer.header("x-request-id").starts_with("req_"));
  EXPECT_EQ(answer.json()["usage"], direct.json()["usage"]);
}

TEST_F(Answers, a_charge_is_usage_times_price_to_the_nanodollar) {
  add_node();
  start_gateway();
  const auto key = create_key("100");
  const auto answer = ask(key, chat("[[sim tokens=10]] tell me"));
  ASSERT_EQ(answer.status, 200);
  const auto usage = answer.json()["usage"];
  EXPECT_EQ(usage["completion_tokens"], 10);
  const auto rows = charges(key);
  ASSERT_EQ(rows.size(), 1U);
  // 1 dollar a million prompt tokens and 2 a million completion tokens are 1000 and 2000 nano-dollars each.
  const auto nanousd = usage["prompt_tokens"].get<int>() * 1000 + 10 * 2000;
  EXPECT_EQ(rows[0]["amount_usdc"], "-0.0000" + std::to_string(nanousd / 1000));
  EXPECT_EQ(rows[0]["basis"], "node_usage");
  EXPECT_EQ(rows[0]["job_id"], answer.json()["id"]);
  EXPECT_TRUE(no_hold_is_left());
}

TEST_F(Answers, a_stream_is_the_nodes_text_chunk_by_chunk_and_ends_in_done) {
  add_node();
  start_gateway();
  const auto key = create_key("100");
  const auto whole = ask(key, chat("[[sim tokens=40]] tell me"));
  const auto stream = ask(key, chat("[[sim tokens=40]] tell me", true));
  ASSERT_EQ(stream.status, 200);
  EXPECT_EQ(stream.header("content-type"), "text/event-stream");
  EXPECT_TRUE(stream.complete);
  EXPECT_TRUE(stream.done());
  EXPECT_EQ(stream.streamed_text(), text_of(whole));
  for (const auto& event : stream.events()) {
    if (event == "[DONE]") continue;
    const auto chunk = json::parse(event);
    EXPECT_EQ(chunk["id"], stream.header("x-turnpike-job-id"));
    EXPECT_EQ(chunk["model"], "m-1");
    EXPECT_FALSE(chunk.contains("usage") && !chunk["usage"].is_null()) << "nobody asked for usage: " << event;
  }
}

TEST_F(Answers, a_stream_is_charged_by_the_usage_that_its_client_did_not_ask_for) {
  add_node();
  start_gateway();
  const auto key = create_key("100");
  ASSERT_TRUE(ask(key, chat("[[sim tokens=12]] x", true)).done());
  const auto rows = charges(key);
  ASSERT_EQ(rows.size(), 1U) << "the charge is durable before the stream's end";
  EXPECT_EQ(rows[0]["basis"], "node_usage");
  EXPECT_EQ(rows[0]["usage"]["completion_tokens"], 12);
}

TEST_F(Answers, usage_that_was_asked_for_is_the_last_chunk) {
  add_node();
  start_gateway();
  const auto key = create_key("100");
  auto body = chat("[[sim tokens=5]] x", true);
  body["stream_options"] = {{"include_usage", true}};
  const auto events = ask(key, body).events();
  ASSERT_GE(events.size(), 3U);
  EXPECT_EQ(events.back(), "[DONE]");
  const auto last = json::parse(events[events.size() - 2]);
  EXPECT_TRUE(last["choices"].empty());
  EXPECT_EQ(last["usage"]["completion_tokens"], 5);
}

TEST_F(Answers, every_way_to_cut_a_stream_gives_the_same_text) {
  add_node();
  start_gateway();
  const auto key = create_key("100");
  const auto text = ask(key, chat("[[sim tokens=30]] same", true)).streamed_text();
  ASSERT_FALSE(text.empty());
  for (const auto* how :
       {"one_write=1", "split=1", "split=7", "merge=5", "crlf=1", "comments=1", "framing=close", "no_done=1"}) {
    const auto answer = ask(key, chat("[[sim tokens=30 " + std::string(how) + "]] same", true));
    EXPECT_TRUE(answer.done()) << how;
    EXPECT_FALSE(answer.streamed_text().empty()) << how;
    const auto words = [](const std::string& all) { return std::count(all.begin(), all.end(), ' '); };
    EXPECT_EQ(words(answer.streamed_text()), words(text)) << how;
  }
  EXPECT_TRUE(no_hold_is_left());
}

TEST_F(Answers, what_the_gateway_does_not_know_reaches_the_node_unchanged_to_the_byte) {
  auto& node = add_node();
  start_gateway();
  const auto key = create_key("100", {"--dialect", "decentral"});
  const std::string body =
      "{ \"model\" :\"m-1\",\t\"x_unknown\":[1e2, "
      "1.50,\"\\u00e9\\/\"],\n\"messages\":[{\"role\":\"user\",\"content\":\"h\\u0069\"}], "
      "\"seed\":123456789012345678901234567890}";
  ASSERT_EQ(call(address, "POST", "/v1/chat/completions", bearer(key), body).status, 200);
  EXPECT_EQ(from_base64(node.last()["body_base64"].get<std::string>()), body);
}

TEST_F(Answers, a_dialects_defaults_are_added_where_they_are_missing_and_only_there) {
  auto& node = add_node();
  start_gateway();
  const auto key = create_key("100");
  auto body = chat("x");
  ASSERT_EQ(ask(key, body).status, 200);
  auto sent = json::parse(*from_base64(node.last()["body_base64"].get<std::string>()));
  EXPECT_EQ(sent["temperature"], 0.7);
  EXPECT_EQ(sent["max_tokens"], 2048);
  body["temperature"] = 0;
  body["max_completion_tokens"] = 7;
  ASSERT_EQ(ask(key, body).status, 200);
  sent = json::parse(*from_base64(node.last()["body_base64"].get<std::string>()));
  EXPECT_EQ(sent["temperature"], 0);
  EXPECT_FALSE(sent.contains("max_tokens"));
}

TEST_F(Answers, every_dialect_has_its_ids_headers_and_refusals) {
  add_node();
  start_gateway();
  struct Expected {
    std::string dialect, prefix, id, header;
    int broke;
  };
  for (const auto& [dialect, prefix, id, header, broke] :
       {Expected{"dria", "dkn_live_", "gen-", "x-turnpike-job-id", 402},
        Expected{"drm3", "inf_", "", "x-turnpike-job-id", 402},
        Expected{"one-adn", "sk_live_", "chatcmpl-", "x-turnpike-job-id", 403},
        Expected{"decentral", "dcntrl_live_", "job_", "x-decentral-job-id", 402}}) {
    const auto key = create_key("100", {"--dialect", dialect});
    EXPECT_TRUE(key.starts_with(prefix)) << key;
    // One of them queues what does not prefer to wait; the others have nothing to wait for.
    auto headers = bearer(key);
    headers.emplace_back("Prefer", "wait=20");
    const auto answer = call(address, "POST", "/v1/chat/completions", headers, chat("x").dump());
    ASSERT_EQ(answer.status, 200) << dialect << answer.body;
    EXPECT_TRUE(answer.json()["id"].get<std::string>().starts_with(id));
    EXPECT_EQ(answer.json()["id"], answer.header(header));
    EXPECT_EQ(ask(create_key("0", {"--dialect", dialect}), chat("x")).status, broke) << dialect;
  }
}

TEST_F(Answers, text_completions_and_embeddings_are_served_and_charged) {
  add_node();
  start_gateway();
  const auto key = create_key("100");
  const auto completion = ask(key, {{"model", "m-1"}, {"prompt", "once upon"}}, "/v1/completions");
  ASSERT_EQ(completion.status, 200) << completion.body;
  EXPECT_FALSE(completion.json()["choices"][0]["text"].get<std::string>().empty());
  const auto stream = ask(key, {{"model", "m-1"}, {"prompt", "once upon"}, {"stream", true}}, "/v1/completions");
  EXPECT_TRUE(stream.done());
  EXPECT_EQ(completion.json()["choices"][0]["text"], stream.streamed_text());
  for (const json& input : {json("one"), json{"one", "two"}, json{1, 2, 3}, json{{1, 2}, {3}}}) {
    const auto embedding = ask(key, {{"model", "m-1"}, {"input", input}}, "/v1/embeddings");
    ASSERT_EQ(embedding.status, 200) << embedding.body;
    EXPECT_FALSE(embedding.json()["data"].empty());
  }
  EXPECT_EQ(charges(key).size(), 6U);
  EXPECT_TRUE(no_hold_is_left());
}

TEST_F(Answers, an_images_data_passes_through) {
  auto& node = add_node();
  start_gateway();
  const auto key = create_key("1000");
  const std::string url = "data:image/png;base64," + to_base64(std::string(3 << 20, 'x'));
  const json body = {
      {"model", "m-1"},
      {"messages",
       {{{"role", "user"},
         {"content",
          {{{"type", "text"}, {"text", "what is this"}}, {{"type", "image_url"}, {"image_url", {{"url", url}}}}}}}}}};
  const auto answer = ask(key, body);
  ASSERT_EQ(answer.status, 200) << answer.body.substr(0, 300);
  const auto sent = json::parse(*from_base64(node.last()["body_base64"].get<std::string>()));
  EXPECT_EQ(sent["messages"], body["messages"]);
}

TEST_F(Answers, models_are_listed_while_a_live_node_serves_them) {
  auto& node = add_node();
  config["models"].push_back({{"id", "org/no-node"}, {"context_window", 1000}});
  start_gateway();
  const auto key = create_key("1");
  auto list = get(key, "/v1/models");
  ASSERT_EQ(list["data"].size(), 1U);
  EXPECT_EQ(list["data"][0]["id"], "m-1");
  EXPECT_EQ(list["data"][0]["nodes"], 1);
  EXPECT_EQ(list["data"][0]["pricing"]["completion_per_million_usd"], "2.00");
  EXPECT_EQ(get(key, "/v1/models/m-1")["id"], "m-1");
  EXPECT_EQ(call(address, "GET", "/v1/models/org/no-node", bearer(key)).status, 404);
  const auto decentral = get(create_key("1", {"--dialect", "decentral"}), "/v1/models");
  EXPECT_EQ(decentral["data"][0]["decentral"]["active_workers"], 1);
  node.process().signal(SIGKILL);
  EXPECT_TRUE(eventually([&] { return get(key, "/v1/models")["data"].empty(); }));
}

TEST_F(Answers, history_pages_through_every_entry_once_newest_first) {
  add_node();
  start_gateway();
  const auto key = create_key("100");
  for (int i = 0; i < 7; ++i) ASSERT_EQ(ask(key, chat("x")).status, 200);
  std::vector<std::string> ids;
  std::string cursor;
  do {
    const auto page = get(key, "/v1/credits/history?limit=3" + (cursor.empty() ? "" : "&cursor=" + cursor));
    for (const auto& row : page["data"]) ids.push_back(row["id"]);
    cursor = page["next_cursor"].is_null() ? "" : page["next_cursor"];
  } while (!cursor.empty());
  EXPECT_EQ(ids.size(), 8U);
  EXPECT_EQ(std::set<std::string>(ids.begin(), ids.end()).size(), 8U);
  EXPECT_EQ(call(address, "GET", "/v1/credits/history?limit=0", bearer(key)).json()["error"]["param"], "limit");
}

TEST_F(Answers, the_probes_and_the_metrics_answer_without_a_key) {
  add_node();
  start_gateway();
  EXPECT_EQ(call(address, "GET", "/livez", {}).status, 200);
  EXPECT_EQ(call(address, "GET", "/readyz", {}).status, 200);
  const auto health = call(address, "GET", "/health", {}).json();
  EXPECT_EQ(health["status"], "ok");
  EXPECT_EQ(health["nodes"]["total"], 1);
  EXPECT_EQ(call(address, "GET", "/.well-known/turnpike", {}).json()["dialects"].size(), 4U);
  EXPECT_THAT(call(address, "GET", "/metrics", {}).body, testing::HasSubstr("turnpike_requests_total"));
}

}  // namespace
}  // namespace turnpike::test
