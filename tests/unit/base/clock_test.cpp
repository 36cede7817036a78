#include "turnpike/base/clock.hpp"

#include <gtest/gtest.h>

namespace turnpike {
namespace {

void pass_some_time(const SystemClock& clock) {
  const auto before = clock.exactly_now();
  while (clock.exactly_now() < before + std::chrono::microseconds(50)) {
  }
}

TEST(Moment, is_one_time_however_often_it_is_asked_for) {
  const SystemClock clock;
  const Moment moment(clock);
  const auto now = clock.now();
  const auto wall = clock.wall();
  pass_some_time(clock);
  EXPECT_EQ(clock.now(), now);
  EXPECT_EQ(clock.wall(), wall);
  EXPECT_GT(clock.exactly_now(), now);
}

TEST(Moment, inside_another_is_the_same) {
  const SystemClock clock;
  const Moment moment(clock);
  const auto now = clock.now();
  {
    const Moment inner(clock);
    pass_some_time(clock);
    EXPECT_EQ(clock.now(), now);
  }
  EXPECT_EQ(clock.now(), now);
}

TEST(Moment, ends_and_time_goes_on) {
  const SystemClock clock;
  Instant first;
  {
    const Moment moment(clock);
    first = clock.now();
    pass_some_time(clock);
  }
  EXPECT_GT(clock.now(), first);
  pass_some_time(clock);
  const Moment later(clock);
  EXPECT_GE(clock.now(), first + std::chrono::microseconds(100));
}

}  // namespace
}  // namespace turnpike
