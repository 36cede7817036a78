#include "turnpike/base/turn_end.hpp"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <optional>
#include <string>
#include <vector>

#include "turnpike/base/task_group.hpp"

namespace turnpike {
namespace {

namespace asio = boost::asio;
using Log = std::vector<std::string>;

struct TurnEndTest : testing::Test {
  // As a request that was read does with its answer.
  asio::awaitable<void> send(std::string name) {
    log.push_back("read " + name);
    const bool shared = turn_end->is_shared();
    if (shared) co_await turn_end->wait();
    log.push_back((shared ? "sent late " : "sent ") + name);
  }
  // A turn in which as many are ready as there are names.
  Log turn(const std::vector<std::string>& names) {
    log.clear();
    for (const auto& name : names) {
      asio::post(loop, [this, name] { group.spawn("send", send(name)); });
    }
    loop.restart();
    loop.run();
    return log;
  }
  // Until one of their turns has been looked at.
  void turns(const std::vector<std::string>& names) {
    for (unsigned i = 0; i < TurnEnd::kLookEvery; ++i) turn(names);
  }

  SystemClock clock;
  asio::io_context loop;
  std::optional<TurnEnd> turn_end{std::in_place, loop.get_executor(), clock};
  TaskGroup group{loop.get_executor()};
  Log log;
};

TEST_F(TurnEndTest, who_has_a_turn_alone_never_waits) {
  for (unsigned i = 0; i < 3 * TurnEnd::kLookEvery; ++i) ASSERT_EQ(turn({"a"}), (Log{"read a", "sent a"}));
}

TEST_F(TurnEndTest, what_a_shared_turn_sends_goes_out_together_behind_all_that_was_ready) {
  turns({"a", "b", "c"});
  EXPECT_EQ(turn({"a", "b", "c"}), (Log{"read a", "read b", "read c", "sent late a", "sent late b", "sent late c"}));
}

TEST_F(TurnEndTest, what_becomes_ready_while_a_shared_turn_ends_goes_out_with_it) {
  turns({"a", "b"});
  log.clear();
  for (const std::string name : {"a", "b"}) group.spawn("send", send(name));
  group.spawn("later", [](TurnEndTest& self) -> asio::awaitable<void> {
    for (int i = 0; i < 2; ++i) co_await asio::post(self.loop, asio::use_awaitable);
    co_await self.send("c");
  }(*this));
  loop.restart();
  loop.run();
  EXPECT_EQ(log, (Log{"read a", "read b", "read c", "sent late a", "sent late b", "sent late c"}));
}

TEST_F(TurnEndTest, once_turns_are_no_longer_shared_nobody_waits_again) {
  turns({"a", "b"});
  EXPECT_EQ(turn({"a"}), (Log{"read a", "sent late a"})) << "which nobody could know";
  EXPECT_EQ(turn({"a"}), (Log{"read a", "sent a"}));
}

TEST_F(TurnEndTest, all_who_waited_go_on_at_one_moment) {
  turns({"a", "b"});
  std::vector<Instant> times;
  for (int i = 0; i < 2; ++i) {
    group.spawn("send", [](TurnEndTest& self, std::vector<Instant>& at) -> asio::awaitable<void> {
      if (self.turn_end->is_shared()) co_await self.turn_end->wait();
      at.push_back(self.clock.now());
    }(*this, times));
  }
  loop.restart();
  loop.run();
  ASSERT_EQ(times.size(), 2U);
  EXPECT_EQ(times.front(), times.back());
}

TEST_F(TurnEndTest, an_end_that_comes_too_late_touches_nothing) {
  turns({"a", "b"});
  ASSERT_TRUE(turn_end->is_shared());
  turn_end.reset();
  loop.restart();
  EXPECT_EQ(loop.run(), 1U);
}

}  // namespace
}  // namespace turnpike
