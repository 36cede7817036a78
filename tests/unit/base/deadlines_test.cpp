#include "turnpike/base/deadlines.hpp"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <memory>
#include <random>
#include <vector>

namespace turnpike {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class DeadlinesTest : public testing::Test {
 protected:
  void pass(milliseconds by) {
    clock.advance(by);
    wheel.advance(clock.now());
  }
  static void count(void* owner) { ++*static_cast<int*>(owner); }

  boost::asio::io_context loop;
  HeldClock clock;
  Deadlines wheel{loop.get_executor(), clock};
  int fired = 0;
};

TEST_F(DeadlinesTest, fires_once_and_never_early) {
  Deadline deadline(wheel, &count, &fired);
  deadline.arm(milliseconds(100));
  pass(milliseconds(99));
  EXPECT_EQ(fired, 0);
  pass(milliseconds(1) + Deadlines::kTick);
  EXPECT_EQ(fired, 1);
  pass(seconds(100));
  EXPECT_EQ(fired, 1);
}

TEST_F(DeadlinesTest, one_that_moves_later_fires_at_the_later_time) {
  Deadline deadline(wheel, &count, &fired);
  deadline.arm(milliseconds(100));
  for (int i = 0; i < 50; ++i) {
    pass(milliseconds(50));
    deadline.arm(milliseconds(100));
  }
  EXPECT_EQ(fired, 0);
  pass(milliseconds(100) + Deadlines::kTick);
  EXPECT_EQ(fired, 1);
}

TEST_F(DeadlinesTest, one_that_moves_earlier_fires_at_the_earlier_time) {
  Deadline deadline(wheel, &count, &fired);
  deadline.arm(seconds(1000));
  deadline.arm(milliseconds(10));
  pass(milliseconds(10) + Deadlines::kTick);
  EXPECT_EQ(fired, 1);
}

TEST_F(DeadlinesTest, one_beyond_a_turn_of_the_wheel_waits_its_time) {
  Deadline deadline(wheel, &count, &fired);
  deadline.arm(seconds(600));
  for (int i = 0; i < 599; ++i) pass(seconds(1));
  EXPECT_EQ(fired, 0);
  pass(seconds(1) + Deadlines::kTick);
  EXPECT_EQ(fired, 1);
}

TEST_F(DeadlinesTest, a_disarmed_or_destroyed_one_never_fires) {
  Deadline deadline(wheel, &count, &fired);
  deadline.arm(milliseconds(10));
  deadline.disarm();
  {
    Deadline gone(wheel, &count, &fired);
    gone.arm(milliseconds(10));
  }
  pass(seconds(1));
  EXPECT_EQ(fired, 0);
}

TEST_F(DeadlinesTest, what_fires_may_destroy_its_neighbours) {
  struct Pair {
    std::unique_ptr<Deadline> a;
    std::unique_ptr<Deadline> b;
    int fired = 0;
  } pair;
  const auto fire = [](void* owner) {
    auto& self = *static_cast<Pair*>(owner);
    ++self.fired;
    self.a.reset();
    self.b.reset();
  };
  pair.a = std::make_unique<Deadline>(wheel, fire, &pair);
  pair.b = std::make_unique<Deadline>(wheel, fire, &pair);
  pair.a->arm(milliseconds(5));
  pair.b->arm(milliseconds(5));
  pass(seconds(1));
  EXPECT_EQ(pair.fired, 1);
}

TEST_F(DeadlinesTest, a_thousand_at_random_times_each_fire_within_a_tick_of_theirs) {
  std::mt19937 random(7);
  struct One {
    Instant due;
    const HeldClock* clock = nullptr;
    bool fired = false;
  };
  std::vector<One> ones(1000);
  std::vector<std::unique_ptr<Deadline>> deadlines;
  for (auto& one : ones) {
    one.clock = &clock;
    one.due = clock.now() + milliseconds(random() % 100'000);
    deadlines.push_back(std::make_unique<Deadline>(
        wheel,
        [](void* owner) {
          auto& self = *static_cast<One*>(owner);
          EXPECT_GE(self.clock->now(), self.due);
          EXPECT_LE(self.clock->now(), self.due + 2 * Deadlines::kTick);
          self.fired = true;
        },
        &one));
    deadlines.back()->arm_at(one.due);
  }
  for (int i = 0; i < 101'000 / 20; ++i) pass(milliseconds(20));
  for (const auto& one : ones) EXPECT_TRUE(one.fired);
}

}  // namespace
}  // namespace turnpike
