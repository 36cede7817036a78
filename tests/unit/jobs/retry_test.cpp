#include "turnpike/jobs/retry.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace turnpike::jobs {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

TEST(Retry, pauses_double_from_ten_seconds_to_five_minutes_a_fifth_more_or_less) {
  const RetryRules rules;
  const std::vector<milliseconds> middles{10s, 20s, 40s, 80s, 160s, 300s, 300s};
  for (std::size_t tries = 1; tries <= middles.size(); ++tries) {
    const auto pause = pause_after(rules, tries);
    EXPECT_EQ(pause.least, middles[tries - 1] * 8 / 10) << tries;
    EXPECT_EQ(pause.most, middles[tries - 1] * 12 / 10) << tries;
  }
  EXPECT_EQ(pause_after(rules, 49).most, 360s);
  EXPECT_EQ(pause_after(rules, 1'000'000).most, 360s) << "nothing overflows";
}

TEST(Retry, what_is_drawn_lies_within_the_pause_and_reaches_both_of_its_ends) {
  Rng rng(7);
  const Pause pause{.least = 8ms, .most = 12ms};
  std::vector<int> seen(20);
  for (int i = 0; i < 1000; ++i) {
    const auto drawn = draw(pause, rng);
    ASSERT_GE(drawn, 8ms);
    ASSERT_LE(drawn, 12ms);
    ++seen[static_cast<std::size_t>(drawn.count())];
  }
  EXPECT_GT(seen[8], 0);
  EXPECT_GT(seen[12], 0);
}

TEST(Retry, a_first_pause_above_the_longest_is_cut_to_it) {
  EXPECT_EQ(pause_after({.first = 10s, .most = 5s, .jitter_percent = 0}, 1).least, 5s);
}

TEST(Retry, only_what_another_try_may_mend_is_tried_again) {
  for (const auto fault : {Fault::node_error, Fault::invalid_node_output, Fault::service_unavailable,
                           Fault::node_timeout, Fault::internal_error}) {
    EXPECT_TRUE(may_mend(fault));
  }
  for (const auto fault : {Fault::invalid_request, Fault::model_not_found, Fault::insufficient_credits,
                           Fault::invalid_api_key, Fault::request_too_large, Fault::unfit_answer}) {
    EXPECT_FALSE(may_mend(fault));
  }
}

}  // namespace
}  // namespace turnpike::jobs
