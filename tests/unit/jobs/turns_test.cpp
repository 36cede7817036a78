#include "turnpike/jobs/turns.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <string>

namespace turnpike::jobs {
namespace {

using namespace std::chrono_literals;

class TurnsTest : public testing::Test {
 protected:
  // Whose turn it is; its account has more jobs that are due, or none.
  std::int64_t turn(bool has_more = true) {
    const auto account = turns.next(now);
    if (!account) return 0;
    turns.took(*account, true, has_more ? std::optional(now) : std::nullopt);
    return *account;
  }

  WallTime now{std::chrono::seconds(1'700'000'000)};
  std::map<std::int64_t, std::uint64_t> limits;
  Turns turns{[this](std::int64_t account) -> std::optional<std::uint64_t> {
    const auto found = limits.find(account);
    return found == limits.end() ? std::nullopt : std::optional(found->second);
  }};
};

TEST_F(TurnsTest, accounts_take_turns_however_many_jobs_each_has) {
  for (int i = 0; i < 1000; ++i) turns.add(1, now);
  turns.add(2, now);
  turns.add(3, now);
  EXPECT_EQ(turn(), 1);
  EXPECT_EQ(turn(), 2);
  EXPECT_EQ(turn(), 3);
  EXPECT_EQ(turn(), 1);
  EXPECT_EQ(turn(false), 2);
  EXPECT_EQ(turn(), 3);
  EXPECT_EQ(turn(), 1);
  EXPECT_EQ(turn(), 3);
}

TEST_F(TurnsTest, an_account_that_comes_late_waits_for_one_turn_of_each_other) {
  turns.add(1, now);
  turns.add(2, now);
  EXPECT_EQ(turn(), 1);
  turns.add(3, now);
  EXPECT_EQ(turn(), 2);
  EXPECT_EQ(turn(), 1) << "it was put in line before";
  EXPECT_EQ(turn(), 3);
}

TEST_F(TurnsTest, a_job_is_not_begun_before_it_is_due) {
  turns.add(1, now + 10s);
  EXPECT_EQ(turn(), 0);
  EXPECT_EQ(turns.next_due(), now + 10s);
  turns.add(1, now + 5s);
  EXPECT_EQ(turns.next_due(), now + 5s) << "the earlier of two";
  turns.add(1, now + 20s);
  EXPECT_EQ(turns.next_due(), now + 5s);
  now += 5s;
  EXPECT_EQ(turn(false), 1);
}

TEST_F(TurnsTest, no_more_of_an_account_run_at_once_than_its_limit_and_it_delays_no_other) {
  limits[1] = 2;
  turns.add(1, now);
  turns.add(2, now);
  EXPECT_EQ(turn(), 1);
  EXPECT_EQ(turn(), 2);
  EXPECT_EQ(turn(), 1);
  EXPECT_EQ(turn(), 2);
  EXPECT_EQ(turn(), 2) << "the first has as many as it may";
  EXPECT_EQ(turns.running(1), 2U);
  turns.ended(1);
  EXPECT_EQ(turn(), 2);
  EXPECT_EQ(turn(), 1);
}

TEST_F(TurnsTest, what_comes_while_an_account_is_looked_up_is_not_forgotten) {
  turns.add(1, now);
  ASSERT_EQ(turns.next(now), 1);
  EXPECT_EQ(turns.next(now), std::nullopt) << "one look at a time";
  turns.add(1, now + 3s);
  turns.took(1, true, std::nullopt);
  EXPECT_EQ(turns.next_due(), now + 3s);
}

TEST_F(TurnsTest, an_account_without_jobs_is_forgotten) {
  turns.add(1, now);
  EXPECT_EQ(turn(false), 1);
  EXPECT_EQ(turns.accounts(), 1U);
  turns.ended(1);
  EXPECT_EQ(turns.accounts(), 0U);
}

// Whatever happens in whatever order, every job gets its turn, none too early, and no limit is passed.
TEST_F(TurnsTest, no_job_is_lost_in_any_order_of_events) {
  std::mt19937_64 rng(11);
  const auto below = [&](std::uint64_t most) { return rng() % most; };
  for (int round = 0; round < 200; ++round) {
    Turns some{[](std::int64_t account) { return std::optional<std::uint64_t>(account); }};
    std::map<std::int64_t, std::multiset<WallTime>> jobs;
    std::map<std::int64_t, std::uint64_t> running;
    std::size_t left = 0;
    WallTime at = now;
    for (int step = 0; step < 400 || left > 0; ++step) {
      ASSERT_LT(step, 20'000) << "a job was forgotten";
      const auto account = static_cast<std::int64_t>(1 + below(4));
      switch (below(4)) {
        case 0:
          if (step < 400) {
            const auto due = at + std::chrono::seconds(below(10));
            jobs[account].insert(due);
            ++left;
            some.add(account, due);
          }
          break;
        case 1:
          at += std::chrono::seconds(below(3));
          break;
        case 2:
          if (running[account] > 0) {
            --running[account];
            some.ended(account);
          }
          break;
        default:
          if (const auto whose = some.next(at)) {
            auto& own = jobs[*whose];
            const bool runs = !own.empty() && *own.begin() <= at;
            if (runs) {
              own.erase(own.begin());
              --left;
              ASSERT_LE(++running[*whose], static_cast<std::uint64_t>(*whose));
            }
            some.took(*whose, runs, own.empty() ? std::nullopt : std::optional(*own.begin()));
          }
      }
    }
  }
}

}  // namespace
}  // namespace turnpike::jobs
