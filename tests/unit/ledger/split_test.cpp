#include "turnpike/ledger/split.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <vector>

namespace turnpike::ledger {
namespace {

__extension__ using Wide = unsigned __int128;

Part part(std::int64_t cost, std::uint32_t share_millionths) {
  return {.cost = Money::nanousd(cost), .share_millionths = share_millionths};
}

TEST(Split, one_node_earns_its_share_of_the_charge_rounded_down) {
  for (const auto [charged, share, earned] : {std::tuple{1'000, 800'000U, 800},
                                              {999, 800'000U, 799},
                                              {1, 999'999U, 0},
                                              {1, 1'000'000U, 1},
                                              {7, 0U, 0},
                                              {3, 333'333U, 0}}) {
    Part parts[] = {part(charged, share)};
    split(Money::nanousd(charged), parts);
    EXPECT_EQ(parts[0].earned.nanousd(), earned) << charged << " at " << share;
  }
}

TEST(Split, nodes_share_by_what_their_tokens_cost) {
  Part parts[] = {part(300, kWholeShare), part(100, 500'000), part(0, kWholeShare), part(200, 0)};
  split(Money::nanousd(1'200), parts);
  EXPECT_EQ(parts[0].earned.nanousd(), 600);
  EXPECT_EQ(parts[1].earned.nanousd(), 100);
  EXPECT_EQ(parts[2].earned.nanousd(), 0);
  EXPECT_EQ(parts[3].earned.nanousd(), 0);
}

TEST(Split, a_charge_of_zero_and_nodes_that_cost_nothing_earn_nothing) {
  Part free[] = {part(0, kWholeShare), part(0, kWholeShare)};
  split(Money::nanousd(500), free);
  EXPECT_EQ(free[0].earned, Money());
  Part parts[] = {part(5, kWholeShare)};
  split(Money(), parts);
  EXPECT_EQ(parts[0].earned, Money());
  split(Money::nanousd(5), {});
}

TEST(Split, the_largest_amounts_fit) {
  std::vector<Part> parts(100, part(Money::max().nanousd(), kWholeShare));
  split(Money::max(), parts);
  for (const auto& each : parts) EXPECT_EQ(each.earned.nanousd(), Money::max().nanousd() / 100);
}

// Of any size up to all 63 bits.
std::int64_t any_amount(std::mt19937_64& random) {
  return static_cast<std::int64_t>(random() >> (1 + random() % 63));
}

TEST(Split, never_pays_more_than_the_charge_and_loses_less_than_two_nano_dollars_a_node) {
  std::mt19937_64 random(20'260'613);
  for (int round = 0; round < 20'000; ++round) {
    const auto charged = any_amount(random);
    std::vector<Part> parts(1 + random() % 5);
    Wide costs = 0;
    for (auto& each : parts) {
      each = part(any_amount(random), static_cast<std::uint32_t>(random() % (kWholeShare + 1)));
      costs += static_cast<Wide>(each.cost.nanousd());
    }
    split(Money::nanousd(charged), parts);
    Wide sum = 0;
    for (const auto& each : parts) {
      ASSERT_GE(each.earned, Money());
      sum += static_cast<Wide>(each.earned.nanousd());
      if (costs == 0) continue;
      // Exactly, it would earn charged × cost × share / (costs × 1'000'000): taken part by part, for room.
      const Wide of_charge = static_cast<Wide>(charged) * static_cast<Wide>(each.cost.nanousd()) / costs;
      const Wide exact = of_charge * each.share_millionths;
      const Wide earned = static_cast<Wide>(each.earned.nanousd());
      ASSERT_LE(earned * kWholeShare, exact);
      ASSERT_GT((earned + 1) * kWholeShare, exact);
    }
    ASSERT_LE(sum, static_cast<Wide>(charged));
  }
}

TEST(Split, equal_nodes_at_whole_shares_leave_the_network_the_rounding_alone) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 5'000; ++round) {
    const auto charged = any_amount(random);
    std::vector<Part> parts(1 + random() % 7, part(1 + any_amount(random) / 8, kWholeShare));
    split(Money::nanousd(charged), parts);
    std::int64_t sum = 0;
    for (const auto& each : parts) sum += each.earned.nanousd();
    ASSERT_LE(sum, charged);
    ASSERT_LT(charged - sum, static_cast<std::int64_t>(parts.size()));
  }
}

}  // namespace
}  // namespace turnpike::ledger
