#include "turnpike/channel/channels.hpp"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/loop.hpp"
#include "common/temp_folder.hpp"
#include "turnpike/storage/connection.hpp"
#include "turnpike/storage/sqlite.hpp"

namespace turnpike::channel {
namespace {

using namespace std::chrono_literals;
using News = Reader::News;

class ChannelsTest : public testing::Test {
 protected:
  ChannelsTest() {
    rules = {.channels = {"general", "requests"},
             .recent = 8,
             .max_readers = 5,
             .max_readers_per_account = 3,
             .retention = 240h};
  }
  void SetUp() override {
    start();
    ASSERT_TRUE(database->run_now([](storage::Connection& connection) {
      connection
          .prepare("INSERT INTO accounts (id, public_id, name, created_at) VALUES (1,'acct_1','',0),(2,'acct_2','',0)")
          .run();
      connection.prepare("INSERT INTO wallets (address, chain, account_id, created_at) VALUES ('0xabc','eip155',2,0)")
          .run();
    }));
  }
  void TearDown() override { stop(); }
  void start() {
    database = storage::open_sqlite(loop.executor(), {.file = folder.file("turnpike.db")}).value();
    tasks.emplace(loop.executor());
    channels = Channels::open(loop.executor(), deadlines, *tasks, *database, rules).value();
    channels->start();
  }
  void stop() {
    tasks->request_stop();
    run_until([this] { return tasks->size() == 0; });
    channels = nullptr;
    tasks.reset();
    database = nullptr;
  }
  template <class Done>
  void run_until(Done done) {
    loop.context().restart();
    while (!done()) {
      if (loop.context().run_one_for(10s) == 0) {
        ADD_FAILURE() << "nothing happens any more";
        return;
      }
    }
  }
  void advance(std::chrono::nanoseconds by) {
    clock.advance(by);
    deadlines.advance(clock.now());
  }
  Message post(const std::string& content, const std::string& channel = "general", std::int64_t account = 1) {
    return loop.run(channels->post({.channel = channel, .account = account, .content = content})).value();
  }
  std::vector<std::string> read(Page page) {
    if (page.channel.empty()) page.channel = "general";
    std::vector<std::string> contents;
    for (const auto& message : loop.run(channels->read(std::move(page))).value()) contents.push_back(message.content);
    return contents;
  }
  std::unique_ptr<Reader> follow(std::optional<std::int64_t> after = {}, std::int64_t account = 1) {
    return channels->follow("general", account, after).value();
  }
  // What it takes without a wait for what is to come.
  std::vector<std::string> taken(Reader& reader) {
    std::vector<std::string> contents;
    while (loop.run(reader.next(0ns, {})) == News::messages) {
      for (const auto& message : reader.messages) contents.push_back(message->content);
    }
    return contents;
  }
  using Texts = std::vector<std::string>;

  turnpike::test::TempFolder folder;
  turnpike::test::Loop loop;
  HeldClock clock;
  Deadlines deadlines{loop.executor(), clock};
  Rules rules;
  std::unique_ptr<storage::Database> database;
  std::optional<TaskGroup> tasks;
  std::unique_ptr<Channels> channels;
};

TEST_F(ChannelsTest, a_message_is_read_as_it_was_posted_after_a_restart_too) {
  const auto posted = loop.run(channels->post({.channel = "requests",
                                               .account = 1,
                                               .author_name = "my-bot",
                                               .avatar = "https://a.example/b.png",
                                               .content = "hello"}));
  ASSERT_TRUE(posted);
  stop();
  start();
  const auto read_back = loop.run(channels->read({.channel = "requests"})).value();
  ASSERT_EQ(read_back.size(), 1U);
  EXPECT_EQ(read_back[0].id, posted->id);
  EXPECT_EQ(read_back[0].author, "acct_1");
  EXPECT_EQ(read_back[0].author_name, "my-bot");
  EXPECT_EQ(read_back[0].avatar, "https://a.example/b.png");
  EXPECT_EQ(read_back[0].content, "hello");
  EXPECT_EQ(read_back[0].created_at, posted->created_at);
}

TEST_F(ChannelsTest, an_author_with_a_wallet_is_known_by_it) {
  EXPECT_EQ(post("hello", "general", 2).author, "0xabc");
}

TEST_F(ChannelsTest, a_channel_that_is_not_configured_is_not_there) {
  EXPECT_EQ(loop.run(channels->post({.channel = "secret", .account = 1, .content = "x"})).error().fault,
            Fault::not_found);
  EXPECT_EQ(loop.run(channels->read({.channel = "secret"})).error().param, "channel");
  EXPECT_EQ(channels->follow("secret", 1, {}).error().fault, Fault::not_found);
}

TEST_F(ChannelsTest, pages_are_oldest_first_and_their_bounds_exclusive) {
  std::vector<Message> posted;
  for (int i = 0; i < 6; ++i) posted.push_back(post(std::to_string(i)));
  post("elsewhere", "requests");
  EXPECT_EQ(read({}), (Texts{"0", "1", "2", "3", "4", "5"}));
  EXPECT_EQ(read({.limit = 2}), (Texts{"4", "5"})) << "the newest";
  EXPECT_EQ(read({.limit = 2, .before = posted[4].created_at}), (Texts{"2", "3"}));
  EXPECT_EQ(read({.limit = 2, .after = posted[1].created_at}), (Texts{"2", "3"})) << "those that follow";
  EXPECT_EQ(read({.before = posted[4].created_at, .after = posted[1].created_at}), (Texts{"2", "3"}));
  EXPECT_EQ(read({.after = posted[5].created_at}), Texts());
}

TEST_F(ChannelsTest, no_two_messages_have_one_time_so_that_pages_leave_none_out) {
  std::vector<WallTime> times;
  for (int i = 0; i < 3; ++i) times.push_back(post("x").created_at);  // the clock stands still
  stop();
  start();
  times.push_back(post("x").created_at);
  for (std::size_t i = 1; i < times.size(); ++i) EXPECT_EQ(times[i] - times[i - 1], 1ms);
}

TEST_F(ChannelsTest, a_reader_gets_what_is_posted_from_then_on_in_order) {
  post("before");
  const auto reader = follow();
  EXPECT_EQ(taken(*reader), Texts());
  post("one");
  post("elsewhere", "requests");
  post("two");
  EXPECT_EQ(taken(*reader), (Texts{"one", "two"}));
  EXPECT_EQ(taken(*reader), Texts());
}

TEST_F(ChannelsTest, a_waiting_reader_is_woken_by_a_message_and_by_silence) {
  const auto reader = follow();
  std::vector<News> heard;
  const auto wait = [&] {
    boost::asio::co_spawn(loop.context(), reader->next(15s, {}),
                          [&](const std::exception_ptr&, News news) { heard.push_back(news); });
    loop.context().restart();
    loop.context().poll();
  };
  wait();
  EXPECT_TRUE(heard.empty());
  post("hello");
  run_until([&] { return heard.size() == 1; });
  EXPECT_EQ(heard[0], News::messages);
  wait();
  advance(14s);
  loop.context().poll();
  EXPECT_EQ(heard.size(), 1U);
  advance(1s + 20ms);
  run_until([&] { return heard.size() == 2; });
  EXPECT_EQ(heard[1], News::silence);
}

TEST_F(ChannelsTest, a_reader_that_comes_back_misses_nothing_however_long_it_was_away) {
  const auto last = post("last seen").id;
  for (int i = 0; i < 200; ++i) post(std::to_string(i));  // far more than is in memory
  for (int restarts = 0; restarts < 2; ++restarts) {
    const auto texts = taken(*follow(last));
    ASSERT_EQ(texts.size(), 200U);
    for (int i = 0; i < 200; ++i) EXPECT_EQ(texts[static_cast<std::size_t>(i)], std::to_string(i));
    post("elsewhere", "requests");  // the newest id is another channel's
    stop();
    start();
  }
}

TEST_F(ChannelsTest, what_is_posted_while_a_reader_catches_up_comes_once) {
  const auto last = post("last seen").id;
  for (int i = 0; i < 100; ++i) post(std::to_string(i));
  const auto reader = follow(last);
  ASSERT_EQ(loop.run(reader->next(0ns, {})), News::messages);
  std::size_t got = reader->messages.size();
  for (int i = 0; i < 3; ++i) post("late");
  got += taken(*reader).size();
  EXPECT_EQ(got, 103U);
}

TEST_F(ChannelsTest, a_reader_that_falls_behind_is_cut_and_can_come_back) {
  const auto reader = follow();
  const auto first = post("0").id;
  for (int i = 1; i < 20; ++i) post(std::to_string(i));
  EXPECT_EQ(loop.run(reader->next(0ns, {})), News::behind);
  EXPECT_EQ(channels->stats().cut, 1U);
  EXPECT_EQ(taken(*follow(first)).size(), 19U);
}

TEST_F(ChannelsTest, no_more_read_along_than_may) {
  std::vector<std::unique_ptr<Reader>> readers;
  for (int i = 0; i < 3; ++i) readers.push_back(follow({}, 1));
  EXPECT_EQ(channels->follow("general", 1, {}).error().fault, Fault::rate_limit_exceeded);
  for (int i = 0; i < 2; ++i) readers.push_back(follow({}, 2));
  EXPECT_EQ(channels->follow("general", 2, {}).error().fault, Fault::rate_limit_exceeded) << "of all together";
  EXPECT_EQ(channels->stats().readers, 5U);
  readers.pop_back();
  EXPECT_TRUE(channels->follow("general", 2, {}));
  readers.clear();
  EXPECT_EQ(channels->stats().readers, 0U);
}

TEST_F(ChannelsTest, a_stop_and_a_client_that_leaves_end_a_reader) {
  const auto reader = follow();
  const auto other = follow();
  std::vector<News> heard;
  const auto hear = [&](const std::exception_ptr&, News news) { heard.push_back(news); };
  std::stop_source left;
  boost::asio::co_spawn(loop.context(), reader->next(1h, left.get_token()), hear);
  boost::asio::co_spawn(loop.context(), other->next(1h, {}), hear);
  loop.context().restart();
  loop.context().poll();
  left.request_stop();
  run_until([&] { return heard.size() == 1; });
  channels->stop();
  run_until([&] { return heard.size() == 2; });
  EXPECT_EQ(heard, (std::vector<News>{News::over, News::over}));
  EXPECT_EQ(channels->follow("general", 1, {}).error().fault, Fault::service_unavailable);
}

TEST_F(ChannelsTest, messages_are_kept_for_the_retention) {
  post("old");
  advance(200h);
  post("new");
  advance(39h);
  run_until([&] { return database->waiting() == 0; });
  EXPECT_EQ(read({}), (Texts{"old", "new"}));
  advance(2h);
  run_until([&] { return database->waiting() == 0; });
  EXPECT_EQ(read({}), (Texts{"new"}));
}

}  // namespace
}  // namespace turnpike::channel
