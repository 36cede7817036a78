#include "turnpike/webhooks/retries.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace turnpike::webhooks {
namespace {

using namespace std::chrono_literals;
using std::chrono::seconds;

constexpr WallTime kNow{seconds(1'700'000'000)};  // Tue, 14 Nov 2023 22:13:20 GMT

Verdict judged(const Answered& answered, std::size_t attempts = 1, seconds most = 24h) {
  Rng rng(7);
  return judge(answered, attempts, kNow, most, rng);
}

TEST(Retries, every_2xx_is_a_delivery_and_nothing_else_is) {
  for (int status = 100; status < 600; ++status) {
    const bool delivered = judged({.status = status}).kind == Verdict::Kind::delivered;
    EXPECT_EQ(delivered, status >= 200 && status < 300) << status;
  }
  EXPECT_EQ(judged({.fault = "it did not answer in time"}).kind, Verdict::Kind::retry);
}

TEST(Retries, the_pauses_are_the_tables_give_or_take_a_fifth) {
  const seconds table[] = {5s, 300s, 1'800s, 7'200s, 18'000s, 36'000s, 50'400s, 72'000s, 86'400s};
  for (std::size_t i = 0; i < std::size(table); ++i) {
    WallTime::duration least = WallTime::duration::max();
    WallTime::duration most{};
    for (unsigned seed = 0; seed < 500; ++seed) {
      Rng rng(seed);
      const auto verdict = judge({.status = 500}, i + 1, kNow, 24h, rng);
      ASSERT_EQ(verdict.kind, Verdict::Kind::retry);
      least = std::min(least, verdict.next_attempt - kNow);
      most = std::max(most, verdict.next_attempt - kNow);
    }
    EXPECT_GE(least, table[i] * 4 / 5);
    EXPECT_LE(most, table[i] * 6 / 5);
    EXPECT_LT(least, std::chrono::milliseconds(table[i]) * 9 / 10) << "there is jitter, and it goes both ways";
    EXPECT_GT(most, std::chrono::milliseconds(table[i]) * 11 / 10);
  }
}

TEST(Retries, after_the_tenth_attempt_a_delivery_is_dead) {
  EXPECT_EQ(judged({.status = 500}, 9).kind, Verdict::Kind::retry);
  const auto verdict = judged({.status = 500}, 10);
  EXPECT_EQ(verdict.kind, Verdict::Kind::dead);
  EXPECT_EQ(verdict.fault, "it answered with status 500");
  EXPECT_EQ(judged({.status = 200}, 10).kind, Verdict::Kind::delivered);
}

TEST(Retries, an_endpoint_that_is_gone_is_not_asked_again) {
  EXPECT_EQ(judged({.status = 410}).kind, Verdict::Kind::gone);
}

TEST(Retries, a_redirect_is_a_failure_that_says_so) {
  EXPECT_EQ(judged({.status = 302}).fault, "it answered with status 302; redirects are not followed");
}

TEST(Retries, retry_after_makes_a_pause_longer_never_shorter_and_not_without_end) {
  EXPECT_EQ(judged({.status = 503, .retry_after = "3600"}).next_attempt - kNow, 3'600s);
  EXPECT_GE(judged({.status = 503, .retry_after = "0"}).next_attempt - kNow, 4s);
  EXPECT_EQ(judged({.status = 503, .retry_after = "86400"}, 1, 600s).next_attempt - kNow, 600s);
  EXPECT_EQ(judged({.status = 429, .retry_after = "99999999999999999999999"}).next_attempt - kNow, 24h);
  EXPECT_LE(judged({.status = 503, .retry_after = "soon"}).next_attempt - kNow, 6s);
}

TEST(Retries, retry_after_is_seconds_or_a_date) {
  EXPECT_EQ(read_retry_after("120", kNow), 120s);
  EXPECT_EQ(read_retry_after("Tue, 14 Nov 2023 22:14:20 GMT", kNow), 60s);
  EXPECT_EQ(read_retry_after("Tue, 14 Nov 2023 22:13:19 GMT", kNow), 0s) << "past";
  for (const char* malformed : {"", "-1", "1.5", "120 s", "14 Nov 2023", "Tue, 14 Nov 2023 22:14:20 GMT+1"}) {
    EXPECT_EQ(read_retry_after(malformed, kNow), std::nullopt) << malformed;
  }
}

}  // namespace
}  // namespace turnpike::webhooks
