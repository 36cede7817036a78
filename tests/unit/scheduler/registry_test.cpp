#include "turnpike/scheduler/registry.hpp"

#include <gtest/gtest.h>

#include <array>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace turnpike::scheduler {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

NodeSpec spec(std::string id, std::size_t capacity = 4) {
  NodeSpec made;
  made.url = "http://" + id;
  made.id = std::move(id);
  made.models = {"m"};
  made.capacity = capacity;
  return made;
}

class RegistryTest : public testing::Test {
 protected:
  void assign(std::vector<std::string> ids, std::size_t capacity = 4) {
    std::vector<NodeSpec> specs;
    for (auto& id : ids) specs.push_back(spec(std::move(id), capacity));
    registry.assign(std::move(specs));
  }
  Node& node(std::string_view id) { return *registry.find(id); }
  // How often each is chosen of `times`, none of them kept.
  std::map<std::string, int> choices(const Want& asked, int times = 500) {
    std::map<std::string, int> counts;
    for (; times > 0; --times) {
      const auto chosen = registry.choose(asked, clock.now());
      ++counts[chosen ? chosen->id() : ""];
    }
    return counts;
  }
  void serve(std::string_view id, milliseconds took, int times = 1) {
    for (; times > 0; --times) {
      registry.begin(node(id), clock.now());
      registry.succeed(node(id), took);
    }
  }
  void fail(std::string_view id, int times = 1) {
    for (; times > 0; --times) {
      registry.begin(node(id), clock.now());
      registry.fail(node(id), clock.now());
    }
  }

  HeldClock clock;
  NodeRegistry registry{{.failures = 3, .open = seconds(5), .max_open = seconds(60)}, 7};
  Want want{.model = "m"};
};

using Registry = RegistryTest;

TEST_F(Registry, has_no_choice_without_nodes) {
  EXPECT_EQ(registry.choose(want, clock.now()), nullptr);
  EXPECT_FALSE(registry.any_live(want, clock.now()));
}

TEST_F(Registry, chooses_among_all_that_are_alike) {
  assign({"a", "b", "c"});
  const auto counts = choices(want);
  EXPECT_EQ(counts.size(), 3U);
}

TEST_F(Registry, never_chooses_a_node_without_the_model_or_of_another_pool) {
  auto other_model = spec("b");
  other_model.models = {"n"};
  auto other_pool = spec("c");
  other_pool.pool = "jobs";
  registry.assign({spec("a"), other_model, other_pool});
  EXPECT_EQ(choices(want), (std::map<std::string, int>{{"a", 500}}));
  EXPECT_EQ(choices({.model = "m", .pool = "jobs"}), (std::map<std::string, int>{{"c", 500}}));
}

TEST_F(Registry, never_chooses_a_full_node) {
  assign({"a", "b"}, 1);
  registry.begin(node("a"), clock.now());
  EXPECT_EQ(choices(want), (std::map<std::string, int>{{"b", 500}}));
  registry.begin(node("b"), clock.now());
  EXPECT_EQ(registry.choose(want, clock.now()), nullptr);
  EXPECT_TRUE(registry.any_live(want, clock.now()));
}

TEST_F(Registry, never_chooses_a_drained_node) {
  assign({"a", "b"});
  registry.drain(node("a"), true);
  EXPECT_EQ(choices(want), (std::map<std::string, int>{{"b", 500}}));
  registry.drain(node("a"), false);
  EXPECT_EQ(choices(want).size(), 2U);
}

TEST_F(Registry, never_chooses_a_node_whose_probe_failed) {
  assign({"a", "b"});
  registry.probed(node("a"), false);
  EXPECT_EQ(choices(want), (std::map<std::string, int>{{"b", 500}}));
  registry.probed(node("a"), true);
  EXPECT_EQ(choices(want).size(), 2U);
}

TEST_F(Registry, never_chooses_a_node_whose_breaker_is_open) {
  assign({"a", "b"});
  fail("a", 3);
  EXPECT_EQ(choices(want), (std::map<std::string, int>{{"b", 500}}));
  fail("b", 3);
  EXPECT_FALSE(registry.any_live(want, clock.now()));
  EXPECT_EQ(registry.next_chance(want), clock.now() + seconds(5));
}

TEST_F(Registry, never_chooses_an_excluded_node) {
  assign({"a", "b"});
  const std::array<const Node*, 1> tried{&node("a")};
  EXPECT_EQ(choices({.model = "m", .excluded = tried}), (std::map<std::string, int>{{"b", 500}}));
}

TEST_F(Registry, gives_a_half_open_node_one_request) {
  assign({"a"});
  fail("a", 3);
  clock.advance(seconds(5));
  ASSERT_NE(registry.choose(want, clock.now()), nullptr);
  registry.begin(node("a"), clock.now());
  EXPECT_EQ(registry.choose(want, clock.now()), nullptr);
  registry.succeed(node("a"), milliseconds(1));
  EXPECT_NE(registry.choose(want, clock.now()), nullptr);
}

TEST_F(Registry, prefers_the_node_with_the_lower_expected_wait) {
  assign({"slow", "fast"});
  serve("slow", milliseconds(1000), 20);
  serve("fast", milliseconds(10), 20);
  EXPECT_EQ(choices(want)["fast"], 500);
}

TEST_F(Registry, prefers_the_node_with_less_under_way) {
  assign({"a", "b"});
  registry.begin(node("a"), clock.now());
  EXPECT_EQ(choices(want)["b"], 500);
}

TEST_F(Registry, prefers_the_node_with_more_weight) {
  auto heavy = spec("heavy");
  heavy.weight = 2;
  registry.assign({spec("light"), heavy});
  EXPECT_EQ(choices(want)["heavy"], 500);
}

TEST_F(Registry, a_node_that_fails_fast_gets_less) {
  assign({"bad", "good"});
  serve("good", milliseconds(100), 5);
  serve("bad", milliseconds(100), 5);
  fail("bad", 2);
  EXPECT_EQ(choices(want)["good"], 500);
}

TEST_F(Registry, a_prefix_goes_to_one_node) {
  assign({"a", "b", "c", "d"});
  std::map<std::string, int> owners;
  for (std::uint64_t prefix = 1; prefix <= 64; ++prefix) {
    const auto counts = choices({.model = "m", .prefix_hash = prefix}, 50);
    ASSERT_EQ(counts.size(), 1U) << prefix;
    ++owners[counts.begin()->first];
  }
  EXPECT_EQ(owners.size(), 4U);  // and not all to the same
}

TEST_F(Registry, a_prefix_keeps_its_node_when_another_goes) {
  assign({"a", "b", "c", "d"});
  std::vector<std::string> owners;
  for (std::uint64_t prefix = 1; prefix <= 64; ++prefix) {
    owners.push_back(registry.choose({.model = "m", .prefix_hash = prefix}, clock.now())->id());
  }
  assign({"a", "b", "c"});
  for (std::uint64_t prefix = 1; prefix <= 64; ++prefix) {
    if (owners[prefix - 1] == "d") continue;
    EXPECT_EQ(registry.choose({.model = "m", .prefix_hash = prefix}, clock.now())->id(), owners[prefix - 1]);
  }
}

TEST_F(Registry, a_prefix_leaves_a_node_that_is_busier_than_the_others) {
  assign({"a", "b", "c", "d"}, 16);
  const Want warm{.model = "m", .prefix_hash = 5};
  const auto owner = registry.choose(warm, clock.now());
  for (int i = 0; i < 6; ++i) registry.begin(*owner, clock.now());
  EXPECT_EQ(choices(warm)[owner->id()], 0);
}

TEST_F(Registry, a_prefix_leaves_a_node_that_became_slow) {
  assign({"a", "b", "c"});
  const Want warm{.model = "m", .prefix_hash = 5};
  const auto owner = registry.choose(warm, clock.now());
  serve(owner->id(), seconds(10), 10);
  EXPECT_EQ(choices(warm)[owner->id()], 0);
}

TEST_F(Registry, a_node_that_stays_keeps_what_was_seen_of_it) {
  assign({"a", "b"});
  registry.begin(node("b"), clock.now());
  registry.drain(node("b"), true);
  const auto before = registry.find("b");
  assign({"c", "b"}, 9);
  EXPECT_EQ(registry.find("b"), before);
  EXPECT_EQ(before->in_flight(), 1U);
  EXPECT_TRUE(before->draining());
  EXPECT_EQ(before->spec().capacity, 9U);
}

TEST_F(Registry, a_node_that_went_takes_no_more_but_ends_what_it_has) {
  assign({"a", "b"});
  const auto gone = registry.find("b");
  registry.begin(*gone, clock.now());
  assign({"a"});
  EXPECT_EQ(registry.find("b"), nullptr);
  EXPECT_FALSE(gone->available(clock.now()));
  registry.succeed(*gone, milliseconds(1));
  EXPECT_EQ(gone->in_flight(), 0U);
}

TEST_F(Registry, a_node_at_another_address_is_another_node) {
  assign({"a"});
  fail("a", 3);
  auto moved = spec("a");
  moved.url = "http://elsewhere";
  registry.assign({moved});
  EXPECT_NE(registry.choose(want, clock.now()), nullptr);
}

TEST_F(Registry, tells_the_state_of_a_model_by_its_live_nodes) {
  assign({"a", "b", "c"}, 4);
  serve("a", milliseconds(100));
  registry.begin(node("a"), clock.now());
  registry.probed(node("c"), false);
  const auto state = registry.state_of("m", kDefaultPool, clock.now());
  EXPECT_EQ(state.live, 2U);
  EXPECT_EQ(state.capacity, 8U);
  EXPECT_EQ(state.in_flight, 1U);
  EXPECT_DOUBLE_EQ(state.median_latency_ms, 100);
}

TEST(NodeNames, a_model_has_the_nodes_name_where_it_has_one) {
  auto named = spec("a");
  named.model_names = {{.id = "m", .name = "M.gguf"}};
  const Node node(named, 0);
  EXPECT_EQ(node.name_of("m"), "M.gguf");
  EXPECT_EQ(node.name_of("n"), "n");
}

}  // namespace
}  // namespace turnpike::scheduler
