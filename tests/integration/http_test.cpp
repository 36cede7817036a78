// The HTTP surface against clients that are slow, broken or hostile.
#include <gmock/gmock.h>

#include <csignal>
#include <fstream>
#include <thread>

#include "support/network.hpp"

namespace turnpike::test {
namespace {

using nlohmann::json;
using namespace std::string_literals;

class Http : public NetworkTest {
 protected:
  void SetUp() override {
    add_node();
    config["http"] = {{"head_timeout_ms", 400},
                      {"body_timeout_ms", 400},
                      {"idle_timeout_ms", 1500},
                      {"max_head_bytes", 4096},
                      {"max_body_bytes", 1'000'000}};
    // Other suites look at the log for debugging; here it would be the test's own garbage.
    config["log"]["level"] = "info";
  }
  std::string post(const std::string& key, const std::string& body, const std::string& more = "") {
    return "POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer " + key +
           "\r\nContent-Type: application/json\r\nAccept: application/json\r\n" + more +
           "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }
  Answer raw(const std::string& bytes) {
    Client client(address);
    client.send(bytes);
    return client.read_answer();
  }
};

TEST_F(Http, requests_with_two_lengths_are_refused_and_the_connection_ends) {
  start_gateway();
  for (const auto* fields :
       {"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        "Content-Length: 3\r\nContent-Length: 4\r\n", "Content-Length: -1\r\n", "Content-Length: 3x\r\n",
        "Content-Length: 99999999999999999999\r\n"}) {
    Client client(address);
    client.send("POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\n" + std::string(fields) + "\r\nabc");
    EXPECT_EQ(client.read_answer().status, 400) << fields;
    EXPECT_TRUE(client.at_end()) << fields;
  }
}

TEST_F(Http, a_malformed_head_is_refused_and_the_connection_ends) {
  start_gateway();
  for (const std::string head :
       {"GARBAGE\r\n\r\n", "GET / HTTP/9.9\r\nHost: t\r\n\r\n", "GET /health HTTP/1.1\r\nHost : t\r\n\r\n",
        "GET /health HTTP/1.1\r\n\r\n", "GET /health HTTP/1.1\r\nHost: t\r\nX: a\r\n folded\r\n\r\n",
        "GET /he alth HTTP/1.1\r\nHost: t\r\n\r\n"}) {
    Client client(address);
    client.send(head);
    EXPECT_EQ(client.read_answer().status, 400) << head;
    EXPECT_TRUE(client.at_end()) << head;
  }
  EXPECT_EQ(raw("GET /he\0alth HTTP/1.1\r\nHost: t\r\n\r\n"s).status, 400);
}

TEST_F(Http, paths_methods_types_and_sizes_have_their_answers) {
  start_gateway();
  const auto key = create_key("1");
  EXPECT_EQ(call(address, "GET", "/nowhere", bearer(key)).status, 404);
  const auto wrong = call(address, "GET", "/v1/chat/completions", bearer(key));
  EXPECT_EQ(wrong.status, 405);
  EXPECT_THAT(wrong.header("allow"), testing::HasSubstr("POST"));
  EXPECT_EQ(wrong.json()["error"]["code"], "method_not_allowed");
  EXPECT_EQ(call(address, "POST", "/v1/chat/completions",
                 {{"Authorization", "Bearer " + key}, {"Content-Type", "text/plain"}}, "x")
                .status,
            415);
  EXPECT_EQ(call(address, "POST", "/v1/chat/completions", bearer(key), std::string(1'000'001, ' ')).status, 413);
  EXPECT_EQ(raw("GET /health HTTP/1.1\r\nHost: t\r\nX: " + std::string(5000, 'x') + "\r\n\r\n").status, 431);
  const auto head = call(address, "HEAD", "/health", {});
  EXPECT_EQ(head.status, 200);
  EXPECT_NE(head.header("content-length"), "0");
}

TEST_F(Http, preflights_are_answered_and_origins_told) {
  config["http"]["cors_allowed_origins"] = {"https://app.example"};
  start_gateway();
  const auto preflight = call(address, "OPTIONS", "/v1/chat/completions",
                              {{"Origin", "https://app.example"},
                               {"Access-Control-Request-Method", "POST"},
                               {"Access-Control-Request-Headers", "authorization,content-type"}});
  EXPECT_EQ(preflight.status, 204);
  EXPECT_EQ(preflight.header("access-control-allow-origin"), "https://app.example");
  EXPECT_EQ(preflight.header("access-control-allow-headers"), "authorization,content-type");
  EXPECT_EQ(call(address, "GET", "/health", {{"Origin", "https://evil.example"}}).header("access-control-allow-origin"),
            "");
}

TEST_F(Http, slow_clients_end_in_408_or_a_closed_socket) {
  start_gateway();
  const auto key = create_key("1");
  EXPECT_EQ(raw("GET /health HTTP/1.1\r\nHo").status, 408);
  EXPECT_EQ(raw("POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nabc").status, 408);
  Client idle(address);
  EXPECT_TRUE(idle.at_end()) << "a connection that says nothing is closed without a word";
}

TEST_F(Http, a_byte_at_a_time_is_as_good_as_all_at_once) {
  config["http"]["head_timeout_ms"] = 20'000;
  config["http"]["body_timeout_ms"] = 20'000;
  start_gateway();
  const auto key = create_key("1");
  Client client(address);
  const auto request = post(key, chat("x").dump());
  for (int round = 0; round < 2; ++round) {
    for (const char c : request) client.send(std::string_view(&c, 1));
    EXPECT_EQ(client.read_answer().status, 200) << round;
  }
}

TEST_F(Http, a_later_request_in_two_pieces_is_read_whole) {
  start_gateway();
  const auto key = create_key("100");
  Client client(address);
  client.send(post(key, chat("x").dump()));
  ASSERT_EQ(client.read_answer().status, 200);
  const auto second = post(key, chat(std::string(9000, 'y')).dump());
  const auto head_end = second.find("\r\n\r\n") + 4;
  client.send(second.substr(0, head_end));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // the pieces must not travel as one
  client.send(second.substr(head_end));
  EXPECT_EQ(client.read_answer().status, 200);
}

TEST_F(Http, a_head_that_comes_again_is_read_as_the_first_time) {
  start_gateway();
  const auto key = create_key("100");
  const auto poor = create_key("0.000001");
  Client client(address);
  const auto ask = [&](const std::string& request) {
    client.send(request);
    return client.read_answer().status;
  };
  for (const std::size_t size : {1U, 300U, 2U, 9000U, 3U, 20000U}) {
    EXPECT_EQ(ask(post(key, chat(std::string(size, 'x')).dump())), 200) << size;
    EXPECT_EQ(ask(post(key, chat("[[sim tokens=3]] " + std::string(size, 'y'), true).dump())), 200) << size;
  }
  EXPECT_EQ(ask(post(poor, chat("x").dump())), 402);
  EXPECT_EQ(ask(post(poor, chat("xy").dump())), 402);
  const auto chunked = "POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer " + key +
                       "\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
  EXPECT_EQ(ask(chunked), 400);
  EXPECT_EQ(ask(chunked), 400);
  EXPECT_EQ(ask(post(key, chat("x").dump())), 200);
  auto vast = post(key, "{}");
  vast.replace(vast.find("Length: 2"), 9, "Length: 1000001");
  EXPECT_EQ(ask(vast), 413);
  EXPECT_TRUE(client.at_end());
}

TEST_F(Http, chunked_bodies_are_read_and_their_framing_checked) {
  start_gateway();
  const auto key = create_key("1");
  const auto body = chat("x").dump();
  const std::string head = "POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer " + key +
                           "\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
  std::string chunks;
  for (const char c : body) chunks += "1\r\n" + std::string(1, c) + "\r\n";
  Client client(address);
  client.send(head + chunks + "0\r\n\r\n" + post(key, body));
  EXPECT_EQ(client.read_answer().status, 200);
  EXPECT_EQ(client.read_answer().status, 200) << "the next request begins where the chunks end";
  EXPECT_EQ(raw(head + "zz\r\nabc").status, 400);
  EXPECT_EQ(raw(head + "f4241\r\n" + std::string(1'000'001, ' ') + "\r\n0\r\n\r\n").status, 413);
}

TEST_F(Http, pipelined_requests_are_answered_in_order) {
  start_gateway();
  const auto key = create_key("10");
  Client client(address);
  std::string all;
  for (int i = 1; i <= 20; ++i) all += post(key, chat("[[sim tokens=" + std::to_string(i) + "]] x", i % 3 == 0).dump());
  client.send(all);
  for (int i = 1; i <= 20; ++i) {
    const auto answer = client.read_answer();
    ASSERT_EQ(answer.status, 200) << i;
    const auto text =
        i % 3 == 0 ? answer.streamed_text() : answer.json()["choices"][0]["message"]["content"].get<std::string>();
    EXPECT_EQ(std::count(text.begin(), text.end(), ' ') + 1, i) << text;
  }
}

TEST_F(Http, a_client_that_waits_to_be_told_to_go_on_is_told) {
  start_gateway();
  const auto key = create_key("1");
  const auto body = chat("x").dump();
  Client client(address);
  const auto request = post(key, body, "Expect: 100-continue\r\n");
  client.send(request.substr(0, request.size() - body.size()));
  EXPECT_EQ(client.read_head().status, 100);
  client.send(body);
  EXPECT_EQ(client.read_answer().status, 200);
}

TEST_F(Http, old_clients_get_streams_that_end_with_the_connection) {
  start_gateway();
  const auto key = create_key("1");
  const auto body = chat("x", true).dump();
  Client client(address);
  client.send("POST /v1/chat/completions HTTP/1.0\r\nAuthorization: Bearer " + key +
              "\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
              body);
  const auto answer = client.read_answer();
  EXPECT_EQ(answer.header("transfer-encoding"), "");
  EXPECT_TRUE(answer.done());
}

TEST_F(Http, connections_over_the_limit_are_closed_and_the_rest_goes_on) {
  config["http"]["max_connections"] = 4;
  start_gateway();
  Client first(address);
  first.request("GET", "/health", {});
  ASSERT_EQ(first.read_answer().status, 200);
  std::vector<Client> more;
  for (int i = 0; i < 3; ++i) more.emplace_back(address);
  ASSERT_TRUE(eventually([&] { return Client(address).at_end(); }));
  first.request("GET", "/health", {});
  EXPECT_EQ(first.read_answer().status, 200);
}

TEST_F(Http, bad_bodies_are_refused_with_the_member_at_fault_before_any_hold) {
  start_gateway();
  const auto key = create_key("100");
  const auto message = [](const std::string& member, const std::string& value) {
    return R"({"model":"m-1","messages":[{"role":"user","content":"a"},{)" +
           std::string(R"("role":"user","content":"b",)") + "\"" + member + "\":" + value + "}]}";
  };
  const auto with = [](const std::string& more) {
    return R"({"model":"m-1","messages":[{"role":"user","content":"a"}],)" + more + "}";
  };
  struct Case {
    std::string body, param;
  };
  const std::vector<Case> cases{
      {"", ""},
      {"{", ""},
      {"[]", ""},
      {"null", ""},
      {with(R"("x":1)") + "}", ""},
      {with(R"("x":01)"), ""},
      {with(R"("x":[1,])"), ""},
      {with("\"x\":\"\xff\xfe\""), ""},
      {with(std::string("\"x\":\"a\0b\"", 9)), ""},
      {with(R"("x":"\q")"), ""},
      {R"({"messages":[{"role":"user","content":"a"}]})", "model"},
      {R"({"model":7,"messages":[{"role":"user","content":"a"}]})", "model"},
      {R"({"model":"m-1"})", "messages"},
      {R"({"model":"m-1","messages":[]})", "messages"},
      {R"({"model":"m-1","messages":{}})", "messages"},
      {R"({"model":"m-1","messages":["a"]})", "messages[0]"},
      {R"({"model":"m-1","messages":[{"role":"user","content":"a"},{"role":"robot","content":"a"}]})",
       "messages[1].role"},
      {R"({"model":"m-1","messages":[{"content":"a"}]})", "messages[0].role"},
      {R"({"model":"m-1","messages":[{"role":"user"}]})", "messages[0].content"},
      {R"({"model":"m-1","messages":[{"role":"user","content":7}]})", "messages[0].content"},
      {R"({"model":"m-1","messages":[{"role":"user","content":[{"type":"smell"}]}]})", "messages[0].content[0].type"},
      {R"({"model":"m-1","messages":[{"role":"user","content":[{"type":"text"}]}]})", "messages[0].content[0].text"},
      {R"({"model":"m-1","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"ftp://x"}}]}]})",
       "messages[0].content[0].image_url.url"},
      {with(R"("temperature":2.1)"), "temperature"},
      {with(R"("temperature":"hot")"), "temperature"},
      {with(R"("top_p":-0.1)"), "top_p"},
      {with(R"("presence_penalty":3)"), "presence_penalty"},
      {with(R"("frequency_penalty":-2.5)"), "frequency_penalty"},
      {with(R"("max_tokens":0)"), "max_tokens"},
      {with(R"("max_tokens":1.5)"), "max_tokens"},
      {with(R"("max_tokens":-1)"), "max_tokens"},
      {with(R"("n":0)"), "n"},
      {with(R"("stream":"yes")"), "stream"},
      {with(R"("stream_options":7)"), "stream_options"},
      {with(R"("stream_options":{"include_usage":1})"), "stream_options.include_usage"},
      {with(R"("stop":7)"), "stop"},
      {with(R"("response_format":{"type":"xml"})"), "response_format.type"},
      {with(R"("timeout_secs":0)"), "timeout_secs"},
      {with(R"("stream":true,"stream":false)"), "stream"},
      {with(R"("model":"m-1")"), "model"},
      {message("x", "[" + std::string(100, '[') + std::string(100, ']') + "]"), ""},
  };
  for (const auto& [body, param] : cases) {
    const auto answer = call(address, "POST", "/v1/chat/completions", bearer(key), body);
    EXPECT_EQ(answer.status, 400) << body << "\n" << answer.body;
    if (answer.status != 400) continue;
    EXPECT_EQ(answer.json()["error"]["code"], "invalid_request") << body;
    EXPECT_EQ(answer.json()["error"]["param"], param.empty() ? json(nullptr) : json(param)) << body << answer.body;
  }
  EXPECT_EQ(metric("turnpike_open_holds"), 0);
  EXPECT_EQ(metric("turnpike_releases_total"), 0) << "no hold was ever made";
  EXPECT_EQ(nodes[0]->stats()["prompts"], 0);
}

TEST_F(Http, keys_scopes_models_and_balances_have_their_refusals) {
  config["models"].push_back({{"id", "m-dark"}, {"context_window", 100}});
  config["tiers"] = {{"free", {{"requests_per_minute", 3}}}};
  start_gateway();
  const auto key = create_key("100");
  EXPECT_EQ(call(address, "POST", "/v1/chat/completions", {}, chat("x").dump()).status, 401);
  EXPECT_EQ(ask("dkn_live_unknown", chat("x")).status, 401);
  auto body = chat("x");
  body["model"] = "nobody";
  const auto unknown = ask(key, body);
  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(unknown.json()["error"]["code"], "model_not_found");
  body["model"] = "m-dark";
  const auto dark = ask(key, body);
  EXPECT_EQ(dark.status, 503);
  EXPECT_GE(std::stoi(dark.header("retry-after")), 1);
  EXPECT_GE(dark.json()["error"]["retry_after"].get<int>(), 1);
  const auto poor = ask(create_key("0"), chat("x"));
  EXPECT_EQ(poor.status, 402);
  EXPECT_EQ(poor.json()["error"]["type"], "payment_error");
  EXPECT_EQ(ask(create_key("1", {"--scopes", "models:read"}), chat("x")).status, 403);
  const auto limited = create_key("100", {"--dialect", "one-adn"});
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(ask(limited, chat("x")).header("x-ratelimit-remaining-requests"), std::to_string(2 - i));
  const auto refused = ask(limited, chat("x"));
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(refused.header("x-ratelimit-limit-requests"), "3");
  EXPECT_GE(std::stoi(refused.header("retry-after")), 1);
  EXPECT_TRUE(no_hold_is_left());
}

TEST_F(Http, tokens_are_limited_by_what_may_be_used_and_then_by_what_was) {
  config["tiers"] = {{"free", {{"requests_per_minute", nullptr}, {"tokens_per_minute", 1'000}}}};
  start_gateway();
  const auto key = create_key("100", {"--dialect", "one-adn"});
  auto body = chat("x");
  body["max_tokens"] = 600;
  const auto first = ask(key, body);
  ASSERT_EQ(first.status, 200) << first.body;
  EXPECT_EQ(first.header("x-ratelimit-limit-tokens"), "1000");
  const auto used = first.json()["usage"]["total_tokens"].get<int>();
  EXPECT_EQ(first.header("x-ratelimit-remaining-tokens"), std::to_string(1'000 - used)) << "the rest was given back";
  EXPECT_THAT(first.header("x-ratelimit-reset-tokens"), testing::MatchesRegex("[0-9.]+m?s"));
  auto running = chat("[[sim endless=1 interval_ms=20]] x", true);
  running["max_tokens"] = 600;
  const auto [client, head] = open_stream(key, running);
  EXPECT_EQ(head.status, 200);
  const auto refused = ask(key, body);
  EXPECT_EQ(refused.status, 429) << "two may use 1,200";
  EXPECT_EQ(refused.json()["error"]["code"], "rate_limit_exceeded");
  EXPECT_EQ(refused.header("x-ratelimit-limit-tokens"), "1000");
  EXPECT_GE(std::stoi(refused.header("retry-after")), 1);
}

TEST_F(Http, errors_of_a_limited_key_say_what_is_left_too) {
  config["tiers"] = {{"free", {{"requests_per_minute", 3}}}};
  start_gateway();
  const auto key = create_key("0", {"--dialect", "one-adn"});
  const auto poor = ask(key, chat("x"));
  EXPECT_EQ(poor.status, 403);
  EXPECT_EQ(poor.header("x-ratelimit-remaining-requests"), "2");
  EXPECT_EQ(poor.header("x-ratelimit-limit-tokens"), "10000");
  auto unknown = chat("x");
  unknown["model"] = "m-none";
  const auto missing = ask(key, unknown);
  EXPECT_EQ(missing.status, 404);
  EXPECT_EQ(missing.header("x-ratelimit-remaining-requests"), "1");
}

TEST_F(Http, a_days_tokens_survive_a_crash) {
  config["tiers"] = {{"queue", {{"tokens_per_day", 10'000}}}};
  start_gateway();
  const auto key = create_key("100", {"--tier", "queue"});
  const auto first = ask(key, chat("x"));
  ASSERT_EQ(first.status, 200) << first.body;
  const int used = first.json()["usage"]["total_tokens"];
  EXPECT_EQ(first.header("x-ratelimit-remaining-tokens"), std::to_string(10'000 - used));
  gateway->signal(SIGKILL);
  gateway->wait();
  start_gateway();
  const auto second = ask(key, chat("x"));
  EXPECT_EQ(second.header("x-ratelimit-remaining-tokens"), std::to_string(10'000 - 2 * used));
}

TEST_F(Http, an_operator_limits_one_account) {
  start_gateway();
  const auto made = run({TURNPIKE_BINARY_DIR "/turnpike", "keys", "create", "--credits", "100", "--json", "--data-dir",
                         config["data_dir"].get<std::string>()},
                        folder.file("keys.log"));
  const std::string key = json::parse(made.output)["api_key"];
  const std::string account = json::parse(made.output)["account_id"];
  EXPECT_EQ(ask(key, chat("x")).header("x-ratelimit-limit-requests"), "");
  const auto set = [&](std::vector<std::string> words) {
    words.insert(words.begin(), {TURNPIKE_BINARY_DIR "/turnpike", "limits"});
    words.insert(words.end(), {"--account", account, "--data-dir", config["data_dir"].get<std::string>()});
    const auto done = run(std::move(words), folder.file("limits.log"));
    EXPECT_EQ(done.code, 0) << done.output;
    return done.output;
  };
  set({"set", "--requests-per-minute", "2", "--tokens-per-day", "none"});
  EXPECT_EQ(ask(key, chat("x")).header("x-ratelimit-remaining-requests"), "1");
  stop_gateway();
  start_gateway();
  EXPECT_THAT(set({"show"}), testing::HasSubstr("none"));
  EXPECT_EQ(ask(key, chat("x")).header("x-ratelimit-limit-requests"), "2");
  set({"clear"});
  EXPECT_EQ(ask(key, chat("x")).header("x-ratelimit-limit-requests"), "");
}

TEST_F(Http, strangers_are_limited_by_address_and_a_trusted_proxy_says_whose) {
  config["http"]["anonymous_requests_per_minute"] = 20;
  config["http"]["trusted_proxies"] = {"127.0.0.0/8"};
  start_gateway();
  const auto health = [&](const std::string& client) {
    return call(address, "GET", "/health", {{"X-Forwarded-For", client}}, "").status;
  };
  for (int i = 0; i < 20; ++i) EXPECT_EQ(health("198.51.100.1"), 200);
  EXPECT_EQ(health("198.51.100.1"), 429);
  EXPECT_EQ(health("203.0.113.5, 198.51.100.1"), 429) << "what a client says of itself is not believed";
  EXPECT_EQ(health("198.51.100.2"), 200);
  const auto refused = call(address, "GET", "/v1/models",
                            {{"Authorization", "Bearer dkn_live_nobody"}, {"X-Forwarded-For", "198.51.100.1"}}, "");
  EXPECT_EQ(refused.status, 429);
  EXPECT_GE(std::stoi(refused.header("retry-after")), 1);
  const auto key = create_key("1");
  EXPECT_EQ(
      call(address, "GET", "/v1/models", {{"Authorization", "Bearer " + key}, {"X-Forwarded-For", "198.51.100.1"}}, "")
          .status,
      200);
}

TEST_F(Http, a_dria_client_that_does_not_ask_for_json_gets_plain_text) {
  start_gateway();
  const auto plain = call(address, "POST", "/v1/chat/completions", {{"Authorization", "Bearer dkn_live_x"}}, "{}");
  EXPECT_TRUE(plain.header("content-type").starts_with("text/plain"));
  const auto one_adn = call(address, "POST", "/v1/chat/completions", {{"Authorization", "Bearer sk_live_x"}}, "{}");
  EXPECT_EQ(one_adn.header("content-type"), "application/json");
}

TEST_F(Http, no_key_prompt_or_answer_reaches_the_log) {
  config["log"]["level"] = "trace";
  start_gateway();
  const auto key = create_key("10");
  const auto answer = ask(key, chat("a-very-private-prompt"));
  ASSERT_EQ(answer.status, 200);
  ask(key, chat("a-very-private-prompt [[sim die_after=3]]", true));
  ask(key, chat("a-very-private-prompt [[sim garbage=1]]"));
  call(address, "GET", "/v1/models?secret=a-very-private-prompt", bearer(key));
  const auto log = gateway->output();
  EXPECT_EQ(log.find(key), std::string::npos);
  EXPECT_EQ(log.find("a-very-private-prompt"), std::string::npos);
  EXPECT_EQ(log.find(answer.json()["choices"][0]["message"]["content"].get<std::string>()), std::string::npos);
  EXPECT_NE(log.find(answer.header("x-request-id")), std::string::npos) << "the request id is there";
}

}  // namespace
}  // namespace turnpike::test
