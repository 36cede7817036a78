#include "turnpike/base/task_group.hpp"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <stdexcept>

namespace turnpike {
namespace {

namespace asio = boost::asio;

asio::awaitable<void> wait_for(Signal& signal, int& woken) {
  co_await signal.wait();
  ++woken;
}

asio::awaitable<void> throw_at_once() {
  throw std::runtime_error("unforeseen");
  co_return;
}

asio::awaitable<void> join_and_mark(TaskGroup& group, bool& joined) {
  co_await group.join();
  joined = true;
}

TEST(TaskGroup, join_waits_for_every_task_and_an_exception_ends_only_its_own) {
  asio::io_context loop;
  TaskGroup group(loop.get_executor());
  TaskGroup watchers(loop.get_executor());
  Signal signal(loop.get_executor());
  int woken = 0;
  bool joined = false;
  group.spawn("waits", wait_for(signal, woken));
  group.spawn("throws", throw_at_once());
  watchers.spawn("joins", join_and_mark(group, joined));
  loop.poll();
  EXPECT_EQ(group.size(), 1U);
  EXPECT_FALSE(joined);
  signal.notify();
  EXPECT_EQ(woken, 0) << "a notify never runs the waiter inside the caller";
  loop.restart();
  loop.poll();
  EXPECT_EQ(woken, 1);
  EXPECT_TRUE(joined);
}

TEST(Signal, a_notify_before_the_wait_is_not_lost) {
  asio::io_context loop;
  TaskGroup group(loop.get_executor());
  Signal signal(loop.get_executor());
  int woken = 0;
  signal.notify();
  group.spawn("waits", wait_for(signal, woken));
  loop.poll();
  EXPECT_EQ(woken, 1);
}

}  // namespace
}  // namespace turnpike
