#include "turnpike/ledger/price.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <random>
#include <stdexcept>

namespace turnpike::ledger {
namespace {

Money usdc(std::string_view text) {
  return Money::from_usdc(text).value();
}

TEST(Money, reads_and_writes_dollars_and_credits_exactly) {
  EXPECT_EQ(usdc("10").to_usdc(), "10.00");
  EXPECT_EQ(usdc("-0.000052").to_usdc(), "-0.000052");
  EXPECT_EQ(usdc("0.000000001").nanousd(), 1);
  EXPECT_EQ(Money::from_credits("1")->to_usdc(), "0.01");
  EXPECT_EQ(Money::from_credits("0.0000001")->nanousd(), 1);
  EXPECT_FALSE(Money::from_credits("0.00000001"));
  EXPECT_FALSE(Money::from_usdc("0.0000000001"));
  EXPECT_FALSE(Money::from_usdc("1e3"));
  EXPECT_FALSE(Money::from_usdc("99999999999"));
}

TEST(Money, whole_credits_are_rounded_down) {
  EXPECT_EQ(Money::nanousd(19'999'999).whole_credits(), 1);
  EXPECT_EQ(Money::nanousd(-1).whole_credits(), -1);
  EXPECT_EQ(Money::nanousd(-10'000'000).whole_credits(), -1);
  EXPECT_EQ(Money().whole_credits(), 0);
}

TEST(Money, a_sum_that_does_not_fit_throws) {
  EXPECT_THROW(std::ignore = Money::max() + Money::nanousd(1), std::overflow_error);
  EXPECT_THROW(std::ignore = Money::nanousd(-2) - Money::max(), std::overflow_error);
  EXPECT_EQ((Money::max() - Money::nanousd(1)).nanousd(), std::numeric_limits<std::int64_t>::max() - 1);
}

TEST(Price, tokens_cost_their_share_of_a_million) {
  const Price price{.prompt_per_million = usdc("1"), .completion_per_million = usdc("2")};
  EXPECT_EQ(price.cost({.prompt = 12, .completion = 8}), usdc("0.000028"));
  EXPECT_EQ(price.cost({}), Money());
}

TEST(Price, a_charge_is_rounded_up_once) {
  const Price price{.prompt_per_million = Money::nanousd(1), .completion_per_million = Money::nanousd(1)};
  EXPECT_EQ(price.cost({.prompt = 1, .completion = 1}).nanousd(), 1);
  EXPECT_EQ(price.cost({.prompt = 500'000, .completion = 500'000}).nanousd(), 1);
  EXPECT_EQ(price.cost({.prompt = 500'000, .completion = 500'001}).nanousd(), 2);
}

TEST(Price, a_request_pays_for_its_included_tokens_and_then_for_thousands) {
  const Price price{.per_request = usdc("0.03"), .included_output_tokens = 1000, .per_thousand_beyond = usdc("0.01")};
  EXPECT_EQ(price.cost({.prompt = 5000, .completion = 0}), usdc("0.03"));
  EXPECT_EQ(price.cost({.completion = 1000}), usdc("0.03"));
  EXPECT_EQ(price.cost({.completion = 1500}), usdc("0.035"));
  EXPECT_EQ(price.cost({.completion = 3000}), usdc("0.05"));
}

TEST(Price, an_absurd_claim_is_dear_and_never_wraps_around) {
  constexpr auto most = std::numeric_limits<std::uint64_t>::max();
  const Price dearest{.prompt_per_million = Money::max(),
                      .completion_per_million = Money::max(),
                      .per_request = Money::max(),
                      .included_output_tokens = 0,
                      .per_thousand_beyond = Money::max()};
  EXPECT_EQ(dearest.cost({.prompt = most, .completion = most}), Money::max());
  const Price usual{.completion_per_million = usdc("2")};
  EXPECT_GE(usual.cost({.completion = most}), usual.cost({.completion = 1'000'000'000}));
}

TEST(Price, more_tokens_never_cost_less) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 10'000; ++round) {
    const Price price{.prompt_per_million = Money::nanousd(static_cast<std::int64_t>(random() % 1'000'000'000'000)),
                      .completion_per_million = Money::nanousd(static_cast<std::int64_t>(random() % 1'000'000'000'000)),
                      .per_request = Money::nanousd(static_cast<std::int64_t>(random() % 1'000'000'000)),
                      .included_output_tokens = random() % 4000,
                      .per_thousand_beyond = Money::nanousd(static_cast<std::int64_t>(random() % 1'000'000'000))};
    const TokenCounts some{.prompt = random() % 1'000'000, .completion = random() % 1'000'000};
    const TokenCounts more{.prompt = some.prompt + random() % 100, .completion = some.completion + random() % 100};
    EXPECT_LE(price.cost(some), price.cost(more));
  }
}

}  // namespace
}  // namespace turnpike::ledger
