// Channels over real sockets: posted, read by pages, and read along.
#include <gmock/gmock.h>

#include <csignal>
#include <string>

#include "support/network.hpp"

namespace turnpike::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

#if __has_feature(address_sanitizer)
constexpr std::size_t kMostGrowth = 1'000'000'000;  // it keeps what was freed
#else
constexpr std::size_t kMostGrowth = 12'000'000;
#endif

class Channel : public NetworkTest {
 protected:
  void start() {
    start_gateway();
    key = create_key("0");
  }
  json post(const std::string& content, const std::string& channel = "general") const {
    const auto posted =
        call(address, "POST", "/v1/channel", bearer(key), json{{"channel", channel}, {"content", content}}.dump());
    EXPECT_EQ(posted.status, 201) << posted.body;
    return posted.json();
  }
  // A stream of the channel, and its head read.
  std::pair<Client, Answer> follow(const std::string& last_id = "", const std::string& channel = "general") const {
    Client client(address);
    Headers headers = bearer(key);
    if (!last_id.empty()) headers.emplace_back("Last-Event-ID", last_id);
    client.request("GET", "/v1/channel/stream?channel=" + channel, headers);
    auto answer = client.read_head();
    return {std::move(client), std::move(answer)};
  }

  std::string key;
};

TEST_F(Channel, a_message_reaches_those_who_read_along_and_those_who_come_later) {
  start();
  auto [client, stream] = follow();
  EXPECT_EQ(stream.status, 200);
  EXPECT_EQ(stream.header("content-type"), "text/event-stream");
  const auto message = post("hello, all");
  post("not for you", "requests");
  const auto second = post("and again");
  ASSERT_TRUE(client.read_until(stream, "and again"));
  EXPECT_THAT(stream.body, HasSubstr("id: " + message["id"].get<std::string>() + "\ndata: " + message.dump() + "\n\n"));
  EXPECT_THAT(stream.body, Not(HasSubstr("not for you")));
  const auto listed = get(key, "/v1/channel?channel=general");
  EXPECT_EQ(listed, (json{{"messages", json::array({message, second})}}));
  EXPECT_EQ(get(key, "/v1/channel?channel=general&after=" + message["createdAt"].get<std::string>())["messages"],
            json::array({second}));
  EXPECT_EQ(metric("turnpike_channel_readers"), 1);
  client.close();
  EXPECT_TRUE(eventually([&] { return metric("turnpike_channel_readers") == 0; }));
}

TEST_F(Channel, a_reader_that_comes_back_gets_what_it_missed_over_a_restart_too) {
  start();
  const auto seen = post("seen")["id"].get<std::string>();
  post("missed");
  ASSERT_EQ(stop_gateway(), 0);
  start_gateway();
  auto [client, stream] = follow(seen);
  ASSERT_TRUE(client.read_until(stream, "missed"));
  post("new");
  ASSERT_TRUE(client.read_until(stream, "new"));
  EXPECT_THAT(stream.body, Not(HasSubstr("\"seen\"")));
  EXPECT_EQ(follow("41").second.status, 400);
}

TEST_F(Channel, silence_is_broken_by_comments) {
  config["channel_limits"] = {{"keep_alive_interval_ms", 50}};
  start();
  auto [client, stream] = follow();
  EXPECT_TRUE(client.read_until(stream, ": keep-alive\n\n: keep-alive\n\n"));
}

TEST_F(Channel, a_reader_that_takes_nothing_is_cut_and_costs_no_memory) {
  config["channel_limits"] = {
      {"recent_messages", 8}, {"posts_per_minute", 100'000}, {"max_characters", 50'000}, {"max_body_bytes", 100'000}};
  start();
  auto [client, stream] = follow();
  const auto before = gateway->resident_bytes();
  const std::string text(40'000, 'x');
  constexpr int kPosted = 400;
  for (int i = 0; i < kPosted; ++i) post(std::to_string(i) + text);
  EXPECT_LT(gateway->resident_bytes(), before + kMostGrowth) << "sixteen megabytes were posted";
  client.read_rest(stream);
  EXPECT_TRUE(stream.complete) << "it ends like one that is over, and comes back";
  EXPECT_EQ(metric("turnpike_channel_readers_cut_total"), 1);
  const auto id = stream.body.rfind("id: msg-");
  ASSERT_NE(id, std::string::npos);
  auto [again, rest] = follow(stream.body.substr(id + 4, stream.body.find('\n', id) - id - 4));
  EXPECT_TRUE(again.read_until(rest, "\"content\":\"" + std::to_string(kPosted - 1) + "x"));
}

TEST_F(Channel, streams_end_when_the_gateway_stops) {
  start();
  auto [client, stream] = follow();
  post("last");
  ASSERT_TRUE(client.read_until(stream, "last"));
  gateway->signal(SIGTERM);
  EXPECT_EQ(gateway->wait(std::chrono::seconds(5)), 0);
  client.read_rest(stream);
  EXPECT_TRUE(stream.complete);
}

TEST_F(Channel, an_account_reads_along_as_often_as_it_may) {
  config["channel_limits"] = {{"max_readers_per_account", 1}};
  start();
  auto [client, stream] = follow();
  EXPECT_EQ(stream.status, 200);
  EXPECT_EQ(follow().second.status, 429);
  EXPECT_EQ(follow("", "secret").second.status, 404);
}

}  // namespace
}  // namespace turnpike::test
