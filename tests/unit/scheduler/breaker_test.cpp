#include <gtest/gtest.h>

#include "turnpike/scheduler/node.hpp"

namespace turnpike::scheduler {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class BreakerTest : public testing::Test {
 protected:
  void fail(int times) {
    for (; times > 0; --times) {
      breaker.begin(clock.now());
      breaker.fail(clock.now(), rules);
    }
  }
  // How long it stays shut from now on, in whole steps of 100 ms.
  milliseconds pause() {
    milliseconds waited{0};
    while (!breaker.allows(clock.now()) && waited < seconds(1000)) {
      clock.advance(milliseconds(100));
      waited += milliseconds(100);
    }
    return waited;
  }
  HeldClock clock;
  BreakerRules rules{.failures = 3, .open = seconds(5), .max_open = seconds(30)};
  Breaker breaker;
};

using Breakers = BreakerTest;

TEST_F(Breakers, opens_after_so_many_failures_in_a_row) {
  fail(2);
  EXPECT_TRUE(breaker.allows(clock.now()));
  fail(1);
  EXPECT_FALSE(breaker.allows(clock.now()));
  EXPECT_TRUE(breaker.open(clock.now()));
}

TEST_F(Breakers, a_success_between_failures_begins_the_count_again) {
  fail(2);
  breaker.succeed();
  fail(2);
  EXPECT_TRUE(breaker.allows(clock.now()));
}

TEST_F(Breakers, stays_open_for_its_time) {
  fail(3);
  clock.advance(seconds(5) - milliseconds(1));
  EXPECT_FALSE(breaker.allows(clock.now()));
  clock.advance(milliseconds(1));
  EXPECT_TRUE(breaker.allows(clock.now()));
}

TEST_F(Breakers, lets_one_request_through_when_half_open) {
  fail(3);
  pause();
  EXPECT_TRUE(breaker.allows(clock.now()));
  breaker.begin(clock.now());
  EXPECT_FALSE(breaker.allows(clock.now()));
}

TEST_F(Breakers, doubles_its_time_up_to_the_most) {
  fail(3);
  EXPECT_EQ(pause(), seconds(5));
  fail(1);
  EXPECT_EQ(pause(), seconds(10));
  fail(1);
  EXPECT_EQ(pause(), seconds(20));
  for (int i = 0; i < 100; ++i) {
    fail(1);
    EXPECT_EQ(pause(), seconds(30));
  }
}

TEST_F(Breakers, a_trial_that_succeeds_closes_it_and_forgets) {
  fail(3);
  pause();
  fail(1);
  pause();
  breaker.begin(clock.now());
  breaker.succeed();
  fail(2);
  EXPECT_TRUE(breaker.allows(clock.now()));
  fail(1);
  EXPECT_EQ(pause(), seconds(5));
}

TEST_F(Breakers, a_trial_without_a_verdict_lets_the_next_one_try) {
  fail(3);
  pause();
  breaker.begin(clock.now());
  breaker.abandon();
  EXPECT_TRUE(breaker.allows(clock.now()));
}

TEST_F(Breakers, requests_that_were_under_way_when_it_opened_do_not_make_it_longer) {
  for (int i = 0; i < 10; ++i) breaker.begin(clock.now());
  for (int i = 0; i < 10; ++i) breaker.fail(clock.now(), rules);
  EXPECT_EQ(pause(), seconds(5));
}

}  // namespace
}  // namespace turnpike::scheduler
