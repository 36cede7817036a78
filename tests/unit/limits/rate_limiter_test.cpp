#include "turnpike/limits/rate_limiter.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <optional>
#include <random>
#include <utility>
#include <vector>

namespace turnpike::limits {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr std::array<std::uint64_t, 9> kLimits{1, 2, 3, 7, 10, 59, 100, 1'000, 12'345};

class BucketTest : public testing::Test {
 protected:
  std::uint64_t take_all(Bucket& bucket) {
    std::uint64_t taken = 0;
    while (bucket.take(clock.now()).allowed) ++taken;
    return taken;
  }
  HeldClock clock;
};

using Buckets = BucketTest;

TEST_F(Buckets, a_full_one_gives_a_minutes_requests_at_once_and_no_more) {
  for (const auto limit : kLimits) {
    Bucket bucket(limit, clock.now());
    EXPECT_EQ(take_all(bucket), limit);
  }
}

TEST_F(Buckets, an_empty_one_gives_a_minutes_requests_in_each_minute) {
  for (const auto limit : kLimits) {
    Bucket bucket(limit, clock.now());
    take_all(bucket);
    for (int minute = 0; minute < 5; ++minute) {
      clock.advance(minutes(1));
      EXPECT_EQ(take_all(bucket), limit);
    }
  }
}

TEST_F(Buckets, refills_evenly) {
  for (const std::uint64_t limit : {1U, 2U, 10U, 60U, 100U}) {
    Bucket bucket(limit, clock.now());
    take_all(bucket);
    const auto each = nanoseconds(minutes(1)) / static_cast<std::int64_t>(limit);
    for (std::uint64_t i = 0; i < 3 * limit; ++i) {
      clock.advance(each - milliseconds(1));
      EXPECT_FALSE(bucket.take(clock.now()).allowed) << limit;
      clock.advance(milliseconds(1));
      EXPECT_TRUE(bucket.take(clock.now()).allowed) << limit;
    }
  }
}

TEST_F(Buckets, the_wait_is_exact) {
  std::mt19937_64 rng(1);
  for (const auto limit : kLimits) {
    Bucket bucket(limit, clock.now());
    for (int round = 0; round < 200; ++round) {
      const auto verdict = bucket.take(clock.now());
      if (!verdict.allowed) {
        ASSERT_GT(verdict.wait, milliseconds(0)) << limit;
        clock.advance(verdict.wait - milliseconds(1));
        ASSERT_FALSE(bucket.take(clock.now()).allowed) << limit;
        clock.advance(milliseconds(1));
        ASSERT_TRUE(bucket.take(clock.now()).allowed) << limit;
      }
      const auto pause = nanoseconds(minutes(1)) / static_cast<std::int64_t>(limit) / 2;
      clock.advance(pause * static_cast<std::int64_t>(rng() % 3) / 2);
    }
  }
}

TEST_F(Buckets, no_stretch_of_time_gives_more_than_a_burst_and_its_refill) {
  std::mt19937_64 rng(2);
  for (const std::uint64_t limit : {1U, 3U, 10U, 100U}) {
    Bucket bucket(limit, clock.now());
    std::vector<Instant> taken;
    for (int round = 0; round < 2'000; ++round) {
      if (bucket.take(clock.now()).allowed) taken.push_back(clock.now());
      clock.advance(milliseconds(rng() % (60'000 / limit)));
    }
    for (std::size_t i = 0; i < taken.size(); ++i) {
      for (std::size_t j = i; j < taken.size(); ++j) {
        const double refill =
            std::chrono::duration<double>(taken[j] - taken[i]) / seconds(60) * static_cast<double>(limit);
        ASSERT_LE(static_cast<double>(j - i + 1), static_cast<double>(limit) + refill + 1e-3) << limit;
      }
    }
  }
}

TEST_F(Buckets, says_how_many_are_left) {
  Bucket bucket(10, clock.now());
  for (std::uint64_t left = 10; left > 0; --left) EXPECT_EQ(bucket.take(clock.now()).remaining, left - 1);
  EXPECT_EQ(bucket.take(clock.now()).remaining, 0U);
  EXPECT_EQ(bucket.take(clock.now()).limit, 10U);
}

TEST_F(Buckets, says_when_it_is_full_again) {
  Bucket bucket(10, clock.now());
  EXPECT_EQ(bucket.take(clock.now()).reset, seconds(6));
  const auto verdict = bucket.take(clock.now());
  EXPECT_EQ(verdict.reset, seconds(12));
  clock.advance(verdict.reset - milliseconds(1));
  EXPECT_FALSE(bucket.full(clock.now()));
  clock.advance(milliseconds(1));
  EXPECT_TRUE(bucket.full(clock.now()));
}

TEST_F(Buckets, saves_no_more_than_a_minutes_requests) {
  Bucket bucket(10, clock.now());
  clock.advance(minutes(100));
  EXPECT_EQ(take_all(bucket), 10U);
}

TEST_F(Buckets, a_refusal_takes_nothing) {
  Bucket bucket(1, clock.now());
  take_all(bucket);
  const auto wait = bucket.take(clock.now()).wait;
  for (int i = 0; i < 100; ++i) EXPECT_EQ(bucket.take(clock.now()).wait, wait);
}

TEST_F(Buckets, a_lower_limit_counts_from_now_on) {
  Bucket bucket(100, clock.now());
  bucket.set_limit(10);
  EXPECT_EQ(take_all(bucket), 10U);
}

TEST_F(Buckets, takes_the_largest_limit_that_can_be_set) {
  Bucket bucket(1'125'899'906'842'624, clock.now());
  EXPECT_TRUE(bucket.take(clock.now()).allowed);
}

class RateLimiterTest : public testing::Test {
 protected:
  HeldClock clock;
  RateLimiter limiter{100};
};

using Limiter = RateLimiterTest;

TEST_F(Limiter, lets_everything_through_without_limits) {
  std::vector<Admission> running;
  for (int i = 0; i < 1'000; ++i) running.push_back(limiter.admit(1, {}, clock.now()));
  for (const auto& one : running) EXPECT_TRUE(one.verdict.allowed);
}

TEST_F(Limiter, counts_accounts_apart) {
  const Tier tier{.requests_per_minute = 1, .concurrent_requests = std::nullopt};
  EXPECT_TRUE(limiter.admit(1, tier, clock.now()).verdict.allowed);
  EXPECT_TRUE(limiter.admit(2, tier, clock.now()).verdict.allowed);
  EXPECT_FALSE(limiter.admit(1, tier, clock.now()).verdict.allowed);
}

TEST_F(Limiter, bounds_requests_at_once) {
  const Tier tier{.requests_per_minute = std::nullopt, .concurrent_requests = 2};
  const auto first = limiter.admit(1, tier, clock.now());
  {
    const auto second = limiter.admit(1, tier, clock.now());
    EXPECT_TRUE(second.verdict.allowed);
    const auto third = limiter.admit(1, tier, clock.now());
    EXPECT_FALSE(third.verdict.allowed);
    EXPECT_GT(third.verdict.wait, milliseconds(0));
  }
  EXPECT_TRUE(limiter.admit(1, tier, clock.now()).verdict.allowed);
}

TEST_F(Limiter, a_moved_admission_counts_once) {
  const Tier tier{.requests_per_minute = std::nullopt, .concurrent_requests = 1};
  auto first = limiter.admit(1, tier, clock.now());
  auto moved = std::move(first);
  EXPECT_FALSE(limiter.admit(1, tier, clock.now()).verdict.allowed);
  moved = Admission();
  EXPECT_TRUE(limiter.admit(1, tier, clock.now()).verdict.allowed);
}

TEST_F(Limiter, a_request_refused_for_those_at_once_takes_nothing_of_the_minute) {
  const Tier tier{.requests_per_minute = 2, .concurrent_requests = 1};
  {
    const auto running = limiter.admit(1, tier, clock.now());
    for (int i = 0; i < 5; ++i) EXPECT_FALSE(limiter.admit(1, tier, clock.now()).verdict.allowed);
  }
  EXPECT_TRUE(limiter.admit(1, tier, clock.now()).verdict.allowed);
}

TEST_F(Limiter, a_request_refused_for_the_minute_is_not_under_way) {
  const Tier tier{.requests_per_minute = 1, .concurrent_requests = 1};
  EXPECT_TRUE(limiter.admit(1, tier, clock.now()).verdict.allowed);
  const auto refused = limiter.admit(1, tier, clock.now());
  EXPECT_FALSE(refused.verdict.allowed);
  clock.advance(minutes(1));
  EXPECT_TRUE(limiter.admit(1, tier, clock.now()).verdict.allowed);
}

TEST_F(Limiter, does_not_forget_an_account_whose_bucket_is_not_full) {
  RateLimiter small(1);
  const Tier tier{.requests_per_minute = 1, .concurrent_requests = std::nullopt};
  EXPECT_TRUE(small.admit(1, tier, clock.now()).verdict.allowed);
  EXPECT_TRUE(small.admit(2, tier, clock.now()).verdict.allowed);
  EXPECT_FALSE(small.admit(1, tier, clock.now()).verdict.allowed);
}

TEST_F(Limiter, does_not_forget_an_account_with_requests_under_way) {
  RateLimiter small(1);
  const Tier tier{.requests_per_minute = std::nullopt, .concurrent_requests = 1};
  const auto running = small.admit(1, tier, clock.now());
  const auto other = small.admit(2, tier, clock.now());
  EXPECT_FALSE(small.admit(1, tier, clock.now()).verdict.allowed);
}

}  // namespace
}  // namespace turnpike::limits
