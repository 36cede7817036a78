#include "turnpike/relay/usage.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace turnpike::relay {
namespace {

constexpr Seen kSeen{.prompt_bytes = 100,
                     .prompt_text_bytes = 41,
                     .messages = 2,
                     .images = 1,
                     .image_token_allowance = 1000,
                     .text_bytes = 30,
                     .text_events = 0};

TEST(Usage, a_claim_within_the_bounds_stands) {
  const auto used = use_of_complete(kSeen, {.prompt_tokens = 12, .completion_tokens = 7});
  EXPECT_EQ(used.prompt_tokens, 12U);
  EXPECT_EQ(used.completion_tokens, 7U);
  EXPECT_TRUE(used.claimed);
  EXPECT_FALSE(used.bounded);
}

TEST(Usage, a_claim_at_the_bounds_stands) {
  EXPECT_EQ(prompt_bound(kSeen), 100U + 2 * 64 + 1000);
  EXPECT_EQ(completion_bound(kSeen), 30U + 16);
  const auto used =
      use_of_complete(kSeen, {.prompt_tokens = prompt_bound(kSeen), .completion_tokens = completion_bound(kSeen)});
  EXPECT_FALSE(used.bounded);
}

TEST(Usage, a_claim_over_the_bounds_is_cut_to_them) {
  const auto most = std::numeric_limits<std::uint64_t>::max();
  const auto used = use_of_complete(kSeen, {.prompt_tokens = most, .completion_tokens = most});
  EXPECT_EQ(used.prompt_tokens, prompt_bound(kSeen));
  EXPECT_EQ(used.completion_tokens, completion_bound(kSeen));
  EXPECT_TRUE(used.bounded);
}

TEST(Usage, one_part_over_its_bound_is_said) {
  EXPECT_TRUE(use_of_complete(kSeen, {.prompt_tokens = 1, .completion_tokens = 47}).bounded);
  EXPECT_TRUE(use_of_complete(kSeen, {.prompt_tokens = 1229, .completion_tokens = 1}).bounded);
}

TEST(Usage, what_a_node_does_not_claim_is_counted) {
  const auto none = use_of_complete(kSeen, {});
  EXPECT_EQ(none.prompt_tokens, 11U);     // 41 bytes at four a token, rounded up
  EXPECT_EQ(none.completion_tokens, 8U);  // 30 bytes
  EXPECT_FALSE(none.claimed);
  const auto half = use_of_complete(kSeen, {.prompt_tokens = std::nullopt, .completion_tokens = 5});
  EXPECT_EQ(half.prompt_tokens, 11U);
  EXPECT_EQ(half.completion_tokens, 5U);
  EXPECT_FALSE(half.claimed);
}

TEST(Usage, a_chunk_of_a_broken_stream_is_a_token) {
  auto seen = kSeen;
  seen.text_events = 9;
  EXPECT_EQ(use_of_relayed(seen).completion_tokens, 9U);
}

TEST(Usage, chunks_count_no_more_than_their_text_allows) {
  auto seen = kSeen;
  seen.text_events = 500;
  EXPECT_EQ(use_of_relayed(seen).completion_tokens, completion_bound(seen));
}

TEST(Usage, nothing_relayed_is_no_completion) {
  auto seen = kSeen;
  seen.text_bytes = 0;
  EXPECT_EQ(use_of_relayed(seen).completion_tokens, 0U);
}

// ---- among nodes ----

TEST(Attribute, one_node_has_all_of_it) {
  Part part{.node_id = "node-1", .payee = {}, .text_events = 99};
  attribute({.prompt_tokens = 12, .completion_tokens = 7}, {&part, 1});
  EXPECT_EQ(part.prompt_tokens, 12U);
  EXPECT_EQ(part.completion_tokens, 7U);
}

TEST(Attribute, each_that_broke_has_its_chunks_and_the_last_the_prompt_and_the_rest) {
  Part parts[] = {{.node_id = "a", .payee = {}, .text_events = 3},
                  {.node_id = "b", .payee = {}, .text_events = 2},
                  {.node_id = "c", .payee = {}, .text_events = 1}};
  attribute({.prompt_tokens = 12, .completion_tokens = 9}, parts);
  EXPECT_EQ(parts[0].prompt_tokens, 0U);
  EXPECT_EQ(parts[0].completion_tokens, 3U);
  EXPECT_EQ(parts[1].completion_tokens, 2U);
  EXPECT_EQ(parts[2].prompt_tokens, 12U);
  EXPECT_EQ(parts[2].completion_tokens, 4U) << "as it claims, not as its chunks were counted";
}

TEST(Attribute, sums_to_what_was_used_where_the_bound_is_below_the_chunks) {
  for (std::uint64_t used = 0; used < 10; ++used) {
    Part parts[] = {{.node_id = "a", .payee = {}, .text_events = 3},
                    {.node_id = "b", .payee = {}, .text_events = 4},
                    {.node_id = "c", .payee = {}}};
    attribute({.prompt_tokens = 1, .completion_tokens = used}, parts);
    EXPECT_EQ(parts[0].completion_tokens + parts[1].completion_tokens + parts[2].completion_tokens, used);
    EXPECT_LE(parts[0].completion_tokens, 3U);
    EXPECT_LE(parts[1].completion_tokens, 4U);
    EXPECT_LE(parts[2].completion_tokens, used);
  }
  attribute({.prompt_tokens = 1}, {});
}

}  // namespace
}  // namespace turnpike::relay
