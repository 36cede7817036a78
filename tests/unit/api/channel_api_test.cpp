#include "turnpike/api/channel_api.hpp"

#include <memory>
#include <string>
#include <utility>

#include "api_fixture.hpp"
#include "turnpike/base/deadlines.hpp"
#include "turnpike/base/task_group.hpp"

namespace turnpike::api {
namespace {

using nlohmann::json;
using test::Asked;

class ChannelApiTest : public test::ApiTest {
 protected:
  void SetUp() override {
    ApiTest::SetUp();
    channels = channel::Channels::open(
                   loop.executor(), deadlines, tasks, *database,
                   {.channels = {"general", "requests"}, .recent = 8, .max_readers = 4, .max_readers_per_account = 2})
                   .value();
    api = std::make_unique<ChannelApi>(*guard, *channels, clock,
                                       ChannelLimits{.posts_per_minute = 3,
                                                     .max_accounts = 10,
                                                     .max_characters = 10,
                                                     .max_body_bytes = 1'000,
                                                     .keep_alive_interval = std::chrono::seconds(15)});
    key = make_key();
  }
  void TearDown() override {
    api = nullptr;
    channels = nullptr;
    ApiTest::TearDown();
  }
  http::Response post(const json& body, const std::string& with = "") {
    Asked asked;
    asked.key(with.empty() ? key : with).field("Accept", "application/json").body(body.dump());
    return loop.run(api->post(asked.request()));
  }
  http::Response read(const std::string& query, const std::string& with = "") {
    Asked asked;
    asked.key(with.empty() ? key : with).field("Accept", "application/json").query(query);
    return loop.run(api->read(asked.request()));
  }
  static std::string param(const http::Response& response) {
    const auto body = json_of(response);
    return body["error"]["param"].is_string() ? body["error"]["param"].get<std::string>() : "";
  }

  Deadlines deadlines{loop.executor(), clock};
  TaskGroup tasks{loop.executor()};
  std::unique_ptr<channel::Channels> channels;
  std::unique_ptr<ChannelApi> api;
  std::string key;
};

TEST_F(ChannelApiTest, a_message_is_shown_as_the_contract_has_it) {
  const auto posted =
      post({{"channel", "general"}, {"content", "hello"}, {"name", "my-bot"}, {"avatar", "https://a.example/b.png"}});
  EXPECT_EQ(posted.status, 201);
  const auto message = json_of(posted);
  EXPECT_TRUE(message["id"].get<std::string>().starts_with("msg-"));
  EXPECT_EQ(message["channel"], "general");
  EXPECT_EQ(message["author"], ledger->find(account)->public_id);
  EXPECT_EQ(message["authorName"], "my-bot");
  EXPECT_EQ(message["authorType"], "api");
  EXPECT_EQ(message["avatar"], "https://a.example/b.png");
  EXPECT_EQ(message["content"], "hello");
  EXPECT_EQ(message["createdAt"], "2023-11-14T22:13:20.000Z");
  EXPECT_EQ(json_of(read("channel=general")), (json{{"messages", {message}}}));
  EXPECT_EQ(json_of(read("channel=requests")), (json{{"messages", json::array()}}));
}

TEST_F(ChannelApiTest, posting_needs_chat_write_and_reading_chat_read) {
  const auto reader = make_key(with_scopes("chat:read"));
  const auto writer = make_key(with_scopes("chat:write"));
  EXPECT_EQ(post({{"channel", "general"}, {"content", "x"}}, reader).status, 403);
  EXPECT_EQ(read("channel=general", writer).status, 403);
  EXPECT_EQ(post({{"channel", "general"}, {"content", "x"}}, writer).status, 201);
  EXPECT_EQ(read("channel=general", reader).status, 200);
}

TEST_F(ChannelApiTest, what_is_wrong_is_named) {
  const auto refused = [&](json more) {
    json body = {{"channel", "general"}, {"content", "x"}};
    body.update(more);
    return param(post(body));
  };
  EXPECT_EQ(refused({{"channel", 1}}), "channel");
  EXPECT_EQ(refused({{"channel", "secret"}}), "channel");
  EXPECT_EQ(post({{"channel", "secret"}, {"content", "x"}}).status, 404);
  EXPECT_EQ(refused({{"content", ""}}), "content");
  EXPECT_EQ(refused({{"content", std::string(11, 'x')}}), "content");
  EXPECT_EQ(refused({{"name", "My Bot"}}), "name");
  EXPECT_EQ(refused({{"name", std::string(33, 'a')}}), "name");
  EXPECT_EQ(refused({{"avatar", "http://a.example/b.png"}}), "avatar");
  EXPECT_EQ(refused({{"avatar", "https://a.example/\"onload=x"}}), "avatar");
  EXPECT_EQ(param(read("")), "channel");
  EXPECT_EQ(param(read("channel=general&limit=201")), "limit");
  EXPECT_EQ(param(read("channel=general&before=yesterday")), "before");
  EXPECT_EQ(param(read("channel=general&after=1")), "after");
}

TEST_F(ChannelApiTest, a_length_is_counted_in_characters) {
  EXPECT_EQ(post({{"channel", "general"}, {"content", "\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9"}})
                .status,
            201);
}

TEST_F(ChannelApiTest, an_account_posts_no_more_than_it_may_whatever_key_it_has) {
  const json message = {{"channel", "general"}, {"content", "x"}};
  for (int i = 0; i < 3; ++i) EXPECT_EQ(post(message).status, 201);
  const auto refused = post(message, make_key());
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(header_of(refused, "Retry-After"), "20");
  clock.advance(std::chrono::seconds(20));
  EXPECT_EQ(post(message).status, 201);
  account = account_with(0);
  EXPECT_EQ(post(message, make_key()).status, 201) << "another account is another's";
}

}  // namespace
}  // namespace turnpike::api
