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
  for (const auto& one : running) EXPECT_TRUE(one.requests().allowed);
}

TEST_F(Limiter, counts_accounts_apart) {
  const Tier tier{.requests_per_minute = 1, .concurrent_requests = std::nullopt};
  EXPECT_TRUE(limiter.admit(1, tier, clock.now()).requests().allowed);
  EXPECT_TRUE(limiter.admit(2, tier, clock.now()).requests().allowed);
  EXPECT_FALSE(limiter.admit(1, tier, clock.now()).requests().allowed);
}

TEST_F(Limiter, bounds_requests_at_once) {
  const Tier tier{.requests_per_minute = std::nullopt, .concurrent_requests = 2};
  const auto first = limiter.admit(1, tier, clock.now());
  {
    const auto second = limiter.admit(1, tier, clock.now());
    EXPECT_TRUE(second.requests().allowed);
    const auto third = limiter.admit(1, tier, clock.now());
    EXPECT_FALSE(third.requests().allowed);
    EXPECT_GT(third.requests().wait, milliseconds(0));
  }
  EXPECT_TRUE(limiter.admit(1, tier, clock.now()).requests().allowed);
}

TEST_F(Limiter, a_moved_admission_counts_once) {
  const Tier tier{.requests_per_minute = std::nullopt, .concurrent_requests = 1};
  auto first = limiter.admit(1, tier, clock.now());
  auto moved = std::move(first);
  EXPECT_FALSE(limiter.admit(1, tier, clock.now()).requests().allowed);
  moved = Admission();
  EXPECT_TRUE(limiter.admit(1, tier, clock.now()).requests().allowed);
}

TEST_F(Limiter, a_request_refused_for_those_at_once_takes_nothing_of_the_minute) {
  const Tier tier{.requests_per_minute = 2, .concurrent_requests = 1};
  {
    const auto running = limiter.admit(1, tier, clock.now());
    for (int i = 0; i < 5; ++i) EXPECT_FALSE(limiter.admit(1, tier, clock.now()).requests().allowed);
  }
  EXPECT_TRUE(limiter.admit(1, tier, clock.now()).requests().allowed);
}

TEST_F(Limiter, a_request_refused_for_the_minute_is_not_under_way) {
  const Tier tier{.requests_per_minute = 1, .concurrent_requests = 1};
  EXPECT_TRUE(limiter.admit(1, tier, clock.now()).requests().allowed);
  const auto refused = limiter.admit(1, tier, clock.now());
  EXPECT_FALSE(refused.requests().allowed);
  clock.advance(minutes(1));
  EXPECT_TRUE(limiter.admit(1, tier, clock.now()).requests().allowed);
}

TEST_F(Limiter, of_a_thousand_requests_at_once_as_many_go_through_as_the_minute_allows) {
  const Tier tier{.requests_per_minute = 100};
  const auto count = [&] {
    int admitted = 0;
    for (int i = 0; i < 1'000; ++i) admitted += limiter.admit(1, tier, clock.now()).requests().allowed ? 1 : 0;
    return admitted;
  };
  EXPECT_EQ(count(), 100);
  clock.advance(seconds(6));
  EXPECT_EQ(count(), 10);
  clock.advance(minutes(5));
  EXPECT_EQ(count(), 100);
}

class TokenTest : public RateLimiterTest {
 protected:
  // A request that is admitted; `tier` limits tokens alone.
  Admission admit(const Tier& tier) { return limiter.admit(1, tier, clock.now()); }
  bool reserve(Admission& admission, std::uint64_t most) { return admission.reserve(most, today, clock.now()); }
  void settle(Admission& admission, std::uint64_t used) {
    today.used_tokens += used;
    admission.settle(used, today, clock.now());
  }
  Today today{.used_tokens = 0, .left = std::chrono::hours(5)};
  Tier minute{.tokens_per_minute = 1'000};
  Tier day{.tokens_per_day = 1'000};
};

using Tokens = TokenTest;

TEST_F(Tokens, what_a_request_may_use_is_set_aside_and_what_it_did_not_use_is_given_back) {
  for (const auto& tier : {minute, day}) {
    today.used_tokens = 0;
    auto first = admit(tier);
    auto second = admit(tier);
    EXPECT_TRUE(reserve(first, 700));
    EXPECT_EQ(first.tokens().limit, 1'000U);
    EXPECT_EQ(first.tokens().remaining, 300U);
    EXPECT_FALSE(reserve(second, 301));
    EXPECT_EQ(second.tokens().remaining, 300U);
    EXPECT_GT(second.tokens().wait, milliseconds(0));
    EXPECT_FALSE(second.tokens().reason.empty());
    settle(first, 100);
    EXPECT_EQ(first.tokens().remaining, 900U);
    EXPECT_TRUE(reserve(second, 900));
    clock.advance(minutes(1));
  }
}

TEST_F(Tokens, a_request_that_goes_unsettled_used_none) {
  for (const auto& tier : {minute, day}) {
    {
      auto gone = admit(tier);
      EXPECT_TRUE(reserve(gone, 1'000));
    }
    auto next = admit(tier);
    EXPECT_TRUE(reserve(next, 1'000));
  }
}

TEST_F(Tokens, a_request_that_may_use_more_than_the_limit_takes_what_is_left_of_it) {
  for (const auto& tier : {minute, day}) {
    auto large = admit(tier);
    EXPECT_TRUE(reserve(large, 1'000'000));
    EXPECT_EQ(large.tokens().remaining, 0U);
    auto next = admit(tier);
    EXPECT_FALSE(reserve(next, 1));
    settle(large, 10);
    EXPECT_TRUE(reserve(next, 990));
    auto another = admit(tier);
    EXPECT_FALSE(reserve(another, 1'000'000));
    settle(next, 40);
    EXPECT_FALSE(reserve(next, 951));
    EXPECT_TRUE(reserve(another, 1'000'000));
    EXPECT_EQ(another.tokens().remaining, 0U);
    settle(another, 950);
    EXPECT_FALSE(reserve(next, 1'000'000)) << "nothing is left";
    today.used_tokens = 0;
    clock.advance(minutes(2));
  }
}

TEST_F(Tokens, a_minutes_tokens_come_back_evenly) {
  auto first = admit(minute);
  EXPECT_TRUE(reserve(first, 1'000));
  settle(first, 1'000);
  EXPECT_EQ(first.tokens().reset, minutes(1));
  auto next = admit(minute);
  EXPECT_FALSE(reserve(next, 500));
  EXPECT_EQ(next.tokens().wait, seconds(30));
  clock.advance(seconds(30) - milliseconds(1));
  EXPECT_FALSE(reserve(next, 500));
  clock.advance(milliseconds(1));
  EXPECT_TRUE(reserve(next, 500));
}

TEST_F(Tokens, who_used_more_than_was_set_aside_waits_for_it) {
  auto first = admit(minute);
  EXPECT_TRUE(reserve(first, 1'000));
  settle(first, 3'000);
  EXPECT_EQ(first.tokens().remaining, 0U);
  auto next = admit(minute);
  clock.advance(minutes(2));
  EXPECT_FALSE(reserve(next, 1));
  clock.advance(minutes(1));
  EXPECT_TRUE(reserve(next, 1'000));
}

TEST_F(Tokens, a_day_that_is_used_up_says_how_long_it_lasts) {
  today.used_tokens = 999;
  auto request = admit(day);
  EXPECT_FALSE(reserve(request, 2));
  EXPECT_EQ(request.tokens().wait, today.left);
  EXPECT_EQ(request.tokens().reset, today.left);
  EXPECT_EQ(request.tokens().remaining, 1U);
  EXPECT_TRUE(reserve(request, 1));
}

TEST_F(Tokens, of_two_limits_the_tighter_one_is_told) {
  const Tier both{.tokens_per_minute = 1'000, .tokens_per_day = 1'500};
  auto request = admit(both);
  EXPECT_TRUE(reserve(request, 0));
  EXPECT_EQ(request.tokens().limit, 1'000U);
  today.used_tokens = 600;
  EXPECT_TRUE(reserve(request, 0));
  EXPECT_EQ(request.tokens().limit, 1'500U);
  EXPECT_EQ(request.tokens().remaining, 900U);
  EXPECT_FALSE(reserve(request, 901));
  EXPECT_EQ(request.tokens().wait, today.left);
}

TEST_F(Tokens, without_a_limit_nothing_is_told_and_nothing_refused) {
  auto request = admit({.requests_per_minute = 10});
  EXPECT_FALSE(request.limits_tokens());
  EXPECT_TRUE(reserve(request, 1'000'000'000));
  EXPECT_FALSE(request.tokens().limit);
  Admission of_nobody;
  EXPECT_TRUE(reserve(of_nobody, 1'000'000'000));
}

TEST_F(Tokens, no_stretch_of_time_uses_more_than_a_burst_and_its_refill) {
  std::mt19937_64 rng(3);
  for (const std::uint64_t limit : {10U, 100U, 1'000U, 77'777U}) {
    RateLimiter limited(100);
    const Tier tier{.tokens_per_minute = limit};
    std::vector<std::pair<Admission, std::uint64_t>> running;
    std::vector<std::pair<Instant, double>> uses;
    for (int round = 0; round < 1'500; ++round) {
      auto admission = limited.admit(1, tier, clock.now());
      const auto most = 1 + rng() % limit;
      if (admission.reserve(most, today, clock.now())) running.emplace_back(std::move(admission), most);
      while (running.size() > rng() % 4) {
        std::swap(running.back(), running.at(rng() % running.size()));
        const auto used = rng() % (running.back().second + 1);
        running.back().first.settle(used, today, clock.now());
        uses.emplace_back(clock.now(), static_cast<double>(used));
        running.pop_back();
      }
      clock.advance(milliseconds(rng() % 5'000));
    }
    for (std::size_t i = 0; i < uses.size(); ++i) {
      double used = 0;
      for (std::size_t j = i; j < uses.size(); ++j) {
        used += uses[j].second;
        const double refill =
            std::chrono::duration<double>(uses[j].first - uses[i].first) / seconds(60) * static_cast<double>(limit);
        ASSERT_LE(used, static_cast<double>(limit) + refill + 1e-3 * static_cast<double>(limit)) << limit;
      }
    }
  }
}

TEST_F(Limiter, does_not_forget_an_account_that_owes_tokens) {
  RateLimiter small(1);
  const Tier tier{.tokens_per_minute = 10};
  {
    auto first = small.admit(1, tier, clock.now());
    EXPECT_TRUE(first.reserve(10, {}, clock.now()));
    first.settle(10, {}, clock.now());
  }
  const auto other = small.admit(2, tier, clock.now());
  auto second = small.admit(1, tier, clock.now());
  EXPECT_FALSE(second.reserve(1, {}, clock.now()));
}

TEST_F(Limiter, does_not_forget_an_account_whose_bucket_is_not_full) {
  RateLimiter small(1);
  const Tier tier{.requests_per_minute = 1, .concurrent_requests = std::nullopt};
  EXPECT_TRUE(small.admit(1, tier, clock.now()).requests().allowed);
  EXPECT_TRUE(small.admit(2, tier, clock.now()).requests().allowed);
  EXPECT_FALSE(small.admit(1, tier, clock.now()).requests().allowed);
}

TEST_F(Limiter, does_not_forget_an_account_with_requests_under_way) {
  RateLimiter small(1);
  const Tier tier{.requests_per_minute = std::nullopt, .concurrent_requests = 1};
  const auto running = small.admit(1, tier, clock.now());
  const auto other = small.admit(2, tier, clock.now());
  EXPECT_FALSE(small.admit(1, tier, clock.now()).requests().allowed);
}

}  // namespace
}  // namespace turnpike::limits
