#include "turnpike/scheduler/scheduler.hpp"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace turnpike::scheduler {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

NodeSpec spec(std::string id, std::size_t capacity, std::string model = "m") {
  NodeSpec made;
  made.id = std::move(id);
  made.url = "http://x";
  made.models = {std::move(model)};
  made.capacity = capacity;
  return made;
}

class SchedulerTest : public testing::Test {
 protected:
  using Outcome = std::optional<Result<Slot>>;

  void SetUp() override { registry.assign({spec("a", 1)}); }
  // Who still waits holds places in the scheduler: every wait ends before it does.
  void TearDown() override {
    settle();
    while (scheduler.stats().waiting > 0) pass(seconds(1));
  }

  // Asks for a slot; the outcome is there when it was given or refused.
  std::shared_ptr<Outcome> ask(std::int64_t account, Want want = {.model = "m"}, Instant deadline = Instant::max(),
                               std::stop_token stop = {}) {
    auto outcome = std::make_shared<Outcome>();
    boost::asio::co_spawn(loop, scheduler.acquire(want, account, deadline, std::move(stop)),
                          [outcome](const std::exception_ptr& error, Result<Slot> slot) {
                            if (!error) outcome->emplace(std::move(slot));
                          });
    settle();
    return outcome;
  }
  // Runs what can run now; the wheel's own timer, which ticks in real time, is not waited for.
  void settle() {
    loop.restart();
    while (loop.poll() > 0) {
    }
  }
  void pass(milliseconds by) {
    clock.advance(by);
    wheel.advance(clock.now());
    settle();
  }
  static bool given(const std::shared_ptr<Outcome>& outcome) { return outcome->has_value() && (*outcome)->has_value(); }
  static bool refused(const std::shared_ptr<Outcome>& outcome) {
    return outcome->has_value() && !(*outcome)->has_value();
  }

  boost::asio::io_context loop;
  HeldClock clock;
  Deadlines wheel{loop.get_executor(), clock};
  NodeRegistry registry{{.failures = 3, .open = seconds(5), .max_open = seconds(60)}, 7};
  Scheduler scheduler{
      loop.get_executor(), wheel, registry, {.queue = 3, .queue_per_account = 2, .timeout = seconds(10)}};
};

using Schedulers = SchedulerTest;

TEST_F(Schedulers, gives_a_free_slot_at_once) {
  auto slot = scheduler.try_acquire({.model = "m"});
  ASSERT_TRUE(slot.has_value());
  EXPECT_EQ(slot->node()->in_flight(), 1U);
  EXPECT_FALSE(scheduler.try_acquire({.model = "m"}).has_value());
}

TEST_F(Schedulers, a_slot_that_goes_without_a_word_is_no_verdict) {
  {
    const auto slot = scheduler.try_acquire({.model = "m"});
  }
  const auto node = registry.find("a");
  EXPECT_EQ(node->in_flight(), 0U);
  EXPECT_EQ(node->served() + node->failed(), 0U);
}

TEST_F(Schedulers, a_slot_says_how_it_went_once) {
  auto slot = scheduler.try_acquire({.model = "m"});
  slot->succeed();
  slot->fail();
  const auto node = registry.find("a");
  EXPECT_EQ(node->served(), 1U);
  EXPECT_EQ(node->failed(), 0U);
}

TEST_F(Schedulers, latency_is_what_the_slot_was_held) {
  auto slot = scheduler.try_acquire({.model = "m"});
  clock.advance(milliseconds(600));
  slot->succeed();
  EXPECT_DOUBLE_EQ(registry.find("a")->latency_ms(), 200);  // a fifth of the way from 100
}

TEST_F(Schedulers, a_waiter_gets_the_slot_that_comes_free) {
  auto slot = scheduler.try_acquire({.model = "m"});
  const auto waiter = ask(1);
  EXPECT_FALSE(waiter->has_value());
  EXPECT_EQ(scheduler.stats().waiting, 1U);
  slot->succeed();
  settle();
  EXPECT_TRUE(given(waiter));
  EXPECT_EQ(scheduler.stats().waiting, 0U);
}

TEST_F(Schedulers, whoever_waits_comes_before_whoever_comes) {
  auto slot = scheduler.try_acquire({.model = "m"});
  const auto waiter = ask(1);
  slot->succeed();
  EXPECT_FALSE(scheduler.try_acquire({.model = "m"}).has_value());
  settle();
  EXPECT_TRUE(given(waiter));
}

TEST_F(Schedulers, a_line_for_another_model_holds_nobody_up) {
  registry.assign({spec("a", 1), spec("b", 1, "n")});
  auto slot = scheduler.try_acquire({.model = "m"});
  const auto waiter = ask(1);
  const auto other = ask(1, {.model = "n"});
  EXPECT_FALSE(waiter->has_value());
  EXPECT_TRUE(given(other));
}

TEST_F(Schedulers, serves_accounts_in_turn) {
  auto slot = scheduler.try_acquire({.model = "m"});
  const auto first = ask(1);
  const auto second = ask(1);
  const auto other = ask(2);
  slot->succeed();
  settle();
  ASSERT_TRUE(given(first));
  (*first)->value().succeed();
  settle();
  EXPECT_TRUE(given(other));
  EXPECT_FALSE(second->has_value());
  (*other)->value().succeed();
  settle();
  EXPECT_TRUE(given(second));
}

TEST_F(Schedulers, a_wait_that_is_too_long_ends_with_when_to_come_back) {
  auto slot = scheduler.try_acquire({.model = "m"});
  const auto waiter = ask(1);
  pass(seconds(9));
  EXPECT_FALSE(waiter->has_value());
  pass(seconds(1) + Deadlines::kTick);
  ASSERT_TRUE(refused(waiter));
  EXPECT_EQ((*waiter)->error().fault, Fault::service_unavailable);
  EXPECT_GE((*waiter)->error().retry_after, seconds(1));
  EXPECT_EQ(scheduler.stats().timed_out, 1U);
  EXPECT_EQ(scheduler.stats().waiting, 0U);
}

TEST_F(Schedulers, a_wait_ends_at_the_requests_own_deadline) {
  auto slot = scheduler.try_acquire({.model = "m"});
  const auto waiter = ask(1, {.model = "m"}, clock.now() + seconds(2));
  pass(seconds(2) + Deadlines::kTick);
  EXPECT_TRUE(refused(waiter));
}

TEST_F(Schedulers, a_stop_ends_the_wait) {
  auto slot = scheduler.try_acquire({.model = "m"});
  std::stop_source stop;
  const auto waiter = ask(1, {.model = "m"}, Instant::max(), stop.get_token());
  EXPECT_FALSE(waiter->has_value());
  stop.request_stop();
  settle();
  ASSERT_TRUE(refused(waiter));
  slot->succeed();
  EXPECT_TRUE(scheduler.try_acquire({.model = "m"}).has_value());
}

TEST_F(Schedulers, a_stop_before_the_wait_ends_it_at_once) {
  auto slot = scheduler.try_acquire({.model = "m"});
  std::stop_source stop;
  stop.request_stop();
  EXPECT_TRUE(refused(ask(1, {.model = "m"}, Instant::max(), stop.get_token())));
}

TEST_F(Schedulers, refuses_when_the_line_is_full) {
  auto slot = scheduler.try_acquire({.model = "m"});
  const std::vector waiting{ask(1), ask(1)};
  EXPECT_TRUE(refused(ask(1)));
  const auto third = ask(2);
  EXPECT_FALSE(third->has_value());
  EXPECT_TRUE(refused(ask(3)));
  EXPECT_EQ(scheduler.stats().refused, 2U);
  for (int i = 0; i < 3; ++i) pass(seconds(10));
}

TEST_F(Schedulers, refuses_at_once_when_no_node_is_live) {
  registry.probed(*registry.find("a"), false);
  const auto outcome = ask(1);
  ASSERT_TRUE(refused(outcome));
  EXPECT_EQ((*outcome)->error().fault, Fault::service_unavailable);
  EXPECT_TRUE((*outcome)->error().retry_after.has_value());
}

TEST_F(Schedulers, says_when_a_broken_node_is_tried_again) {
  for (int i = 0; i < 3; ++i) scheduler.try_acquire({.model = "m"})->fail();
  const auto outcome = ask(1);
  ASSERT_TRUE(refused(outcome));
  EXPECT_EQ((*outcome)->error().retry_after, seconds(5));
}

TEST_F(Schedulers, a_node_that_comes_back_serves_the_line) {
  auto slot = scheduler.try_acquire({.model = "m"});
  const auto waiter = ask(1);
  registry.assign({spec("a", 1), spec("b", 1)});
  scheduler.dispatch();
  settle();
  EXPECT_TRUE(given(waiter));
}

}  // namespace
}  // namespace turnpike::scheduler
