#include "turnpike/scheduler/fair_line.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <vector>

namespace turnpike::scheduler {
namespace {

struct Waiter {
  std::int64_t account;
  int number;
};

bool any(const Waiter&) {
  return true;
}

TEST(FairLine, serves_each_accounts_first_before_any_accounts_second) {
  FairLine<Waiter> line(100, 100);
  std::array<Waiter, 6> all{{{1, 0}, {1, 1}, {1, 2}, {2, 0}, {2, 1}, {3, 0}}};
  for (auto& waiter : all) ASSERT_TRUE(line.push(waiter.account, &waiter));
  std::vector<std::pair<std::int64_t, int>> order;
  while (auto* waiter = line.take_first(any)) order.emplace_back(waiter->account, waiter->number);
  EXPECT_EQ(order, (std::vector<std::pair<std::int64_t, int>>{{1, 0}, {2, 0}, {3, 0}, {1, 1}, {2, 1}, {1, 2}}));
  EXPECT_TRUE(line.empty());
}

TEST(FairLine, an_account_that_keeps_coming_does_not_hold_up_another) {
  FairLine<Waiter> line(100, 100);
  Waiter busy{1, 0};
  Waiter other{2, 0};
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(line.push(1, &busy));
  ASSERT_TRUE(line.push(2, &other));
  EXPECT_EQ(line.take_first(any), &busy);
  ASSERT_TRUE(line.push(1, &busy));
  EXPECT_EQ(line.take_first(any), &other);
}

TEST(FairLine, refuses_when_it_is_full) {
  FairLine<Waiter> line(2, 2);
  std::array<Waiter, 3> all{{{1, 0}, {2, 0}, {3, 0}}};
  EXPECT_TRUE(line.push(1, all.data()));
  EXPECT_TRUE(line.push(2, &all[1]));
  EXPECT_FALSE(line.push(3, &all[2]));
  EXPECT_EQ(line.size(), 2U);
  line.take_first(any);
  EXPECT_TRUE(line.push(3, &all[2]));
}

TEST(FairLine, refuses_an_account_whose_part_is_full) {
  FairLine<Waiter> line(10, 1);
  std::array<Waiter, 3> all{{{1, 0}, {1, 1}, {2, 0}}};
  EXPECT_TRUE(line.push(1, all.data()));
  EXPECT_FALSE(line.push(1, &all[1]));
  EXPECT_TRUE(line.push(2, &all[2]));
}

TEST(FairLine, one_that_left_is_not_served) {
  FairLine<Waiter> line(10, 10);
  std::array<Waiter, 3> all{{{1, 0}, {1, 1}, {2, 0}}};
  for (auto& waiter : all) ASSERT_TRUE(line.push(waiter.account, &waiter));
  line.remove(1, all.data());
  line.remove(2, &all[2]);
  line.remove(2, &all[2]);
  line.remove(7, &all[1]);
  EXPECT_EQ(line.size(), 1U);
  EXPECT_EQ(line.take_first(any), &all[1]);
  EXPECT_EQ(line.take_first(any), nullptr);
}

TEST(FairLine, passes_over_what_cannot_be_served_now) {
  FairLine<Waiter> line(10, 10);
  std::array<Waiter, 3> all{{{1, 0}, {1, 1}, {2, 1}}};
  for (auto& waiter : all) ASSERT_TRUE(line.push(waiter.account, &waiter));
  const auto second = [](const Waiter& waiter) { return waiter.number == 1; };
  EXPECT_EQ(line.take_first(second), &all[1]);
  EXPECT_EQ(line.take_first(second), &all[2]);
  EXPECT_EQ(line.take_first(second), nullptr);
  EXPECT_EQ(line.size(), 1U);
}

}  // namespace
}  // namespace turnpike::scheduler
