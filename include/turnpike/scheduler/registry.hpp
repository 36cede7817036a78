// All nodes, and the choice among them. Pure.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "turnpike/base/random.hpp"
#include "turnpike/scheduler/node.hpp"

namespace turnpike::scheduler {

inline constexpr std::string_view kDefaultPool = "bus";

// What a request asks of a node.
struct Want {
  std::string_view model;
  std::string_view pool = kDefaultPool;
  std::uint64_t prefix_hash = 0;               // requests with the same one share a prefix cache; 0: none
  std::span<const Node* const> excluded = {};  // tried already
};

class NodeRegistry {
 public:
  NodeRegistry(BreakerRules rules, std::uint64_t seed) : rules_(rules), rng_(seed) {}

  // Replaces the nodes. One whose id stays keeps what was seen of it; one that goes takes no more requests.
  void assign(std::vector<NodeSpec> specs);

  // An available node, or null. Power of two choices on expected wait, with a preference for the node that the prefix
  // hash points at while its load stays near the others' (consistent hashing with bounded loads, Mirrokni et al. 2016).
  [[nodiscard]] NodePtr choose(const Want& want, Instant now);

  // True when some node could serve it, busy or not.
  [[nodiscard]] bool any_live(const Want& want, Instant now) const;
  // When the first of the wanted model's broken nodes is tried again; Instant::max(): nothing is known.
  [[nodiscard]] Instant next_chance(const Want& want) const;

  void begin(Node& node, Instant now);
  void succeed(Node& node, std::chrono::nanoseconds took);
  void fail(Node& node, Instant now);
  void abandon(Node& node);  // ended without a verdict on the node
  void probed(Node& node, bool ok);
  void drain(Node& node, bool on) { node.draining_ = on; }

  [[nodiscard]] const std::vector<NodePtr>& nodes() const { return nodes_; }
  [[nodiscard]] NodePtr find(std::string_view id) const;

  struct ModelState {
    std::size_t live = 0;
    std::size_t capacity = 0;
    std::size_t in_flight = 0;
    double median_latency_ms = 0;
  };
  [[nodiscard]] ModelState state_of(std::string_view model, std::string_view pool, Instant now) const;

 private:
  [[nodiscard]] bool fits(const Node& node, const Want& want) const;
  void ended(Node& node);
  BreakerRules rules_;
  Rng rng_;
  std::vector<NodePtr> nodes_;
  std::vector<Node*> candidates_;  // kept between calls for its memory
};

}  // namespace turnpike::scheduler
