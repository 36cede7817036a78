#include "turnpike/scheduler/registry.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <utility>

namespace turnpike::scheduler {
namespace {

constexpr double kSmoothing = 0.2;  // weight of the newest observation
constexpr double kErrorPenalty =
    20.0;  // a node that always fails looks this much slower: failing fast must not look idle
constexpr double kBoundedLoad = 1.25;   // a warm node is preferred up to this multiple of the mean load
constexpr double kWarmAdvantage = 2.0;  // … and while its expected wait is below this multiple of the alternative's

// Rendezvous hashing: each node's claim on a prefix.
std::uint64_t claim(std::uint64_t prefix, std::string_view node) {
  std::uint64_t x = prefix ^ (std::hash<std::string_view>{}(node) * 0x9E3779B97F4A7C15ULL);
  x ^= x >> 33U;
  x *= 0xFF51AFD7ED558CCDULL;
  x ^= x >> 33U;
  x *= 0xC4CEB9FE1A85EC53ULL;
  return x ^ (x >> 33U);
}

}  // namespace

bool Breaker::allows(Instant now) const {
  if (!tripped_) return true;
  return now >= open_until_ && !trial_;
}

void Breaker::begin(Instant now) {
  if (tripped_ && now >= open_until_) trial_ = true;
}

void Breaker::succeed() {
  *this = Breaker{};
}

void Breaker::fail(Instant now, const BreakerRules& rules) {
  ++failures_;
  const bool trial_failed = trial_;
  trial_ = false;
  if (!trial_failed && (tripped_ || failures_ < rules.failures)) return;  // tripped: it was under way before
  const auto doubled = rules.open * (std::int64_t{1} << std::min(times_opened_, 20U));
  open_until_ = now + std::min<std::chrono::milliseconds>(doubled, rules.max_open);
  ++times_opened_;
  tripped_ = true;
}

bool Node::serves(std::string_view model) const {
  return std::ranges::find(spec_.models, model) != spec_.models.end();
}

std::string_view Node::name_of(std::string_view model) const {
  for (const auto& name : spec_.model_names) {
    if (name.id == model) return name.name;
  }
  return model;
}

double Node::expected_wait() const {
  const double load = static_cast<double>(in_flight_ + 1) / static_cast<double>(spec_.capacity);
  return load * latency_ms_ * (1 + kErrorPenalty * error_rate_) / std::max(spec_.weight, 0.001);
}

void NodeRegistry::assign(std::vector<NodeSpec> specs) {
  std::vector<NodePtr> next;
  for (auto& spec : specs) {
    const auto known = find(spec.id);
    if (known && known->spec_.url == spec.url) {
      known->spec_ = std::move(spec);
      known->index_ = next.size();
      next.push_back(known);
    } else {
      next.push_back(std::make_shared<Node>(std::move(spec), next.size()));
    }
  }
  for (const auto& node : nodes_) {
    if (std::ranges::find(next, node) == next.end()) node->removed_ = true;
  }
  nodes_ = std::move(next);
}

bool NodeRegistry::fits(const Node& node, const Want& want) const {
  return node.spec_.pool == want.pool && node.serves(want.model) &&
         std::ranges::find(want.excluded, &node) == want.excluded.end();
}

NodePtr NodeRegistry::choose(const Want& want, Instant now) {
  candidates_.clear();
  std::size_t in_flight = 0;
  for (const auto& node : nodes_) {
    if (!fits(*node, want) || !node->available(now)) continue;
    candidates_.push_back(node.get());
    in_flight += node->in_flight_;
  }
  if (candidates_.empty()) return nullptr;
  if (candidates_.size() == 1) return nodes_[candidates_[0]->index_];

  const auto first = rng_() % candidates_.size();
  auto second = rng_() % (candidates_.size() - 1);
  if (second >= first) ++second;
  Node* chosen = candidates_[first];
  if (candidates_[second]->expected_wait() < chosen->expected_wait()) chosen = candidates_[second];

  if (want.prefix_hash != 0) {
    Node* warm = *std::ranges::max_element(candidates_, {},
                                           [&](const Node* node) { return claim(want.prefix_hash, node->id()); });
    const double mean = static_cast<double>(in_flight + 1) / static_cast<double>(candidates_.size());
    const bool within = static_cast<double>(warm->in_flight_ + 1) <= std::ceil(kBoundedLoad * mean);
    if (within && warm->expected_wait() <= kWarmAdvantage * chosen->expected_wait()) chosen = warm;
  }
  return nodes_[chosen->index_];
}

bool NodeRegistry::any_live(const Want& want, Instant now) const {
  return std::ranges::any_of(nodes_, [&](const NodePtr& node) { return fits(*node, want) && node->live(now); });
}

Instant NodeRegistry::next_chance(const Want& want) const {
  Instant first = Instant::max();
  for (const auto& node : nodes_) {
    if (fits(*node, want) && node->probe_ok_) first = std::min(first, node->open_until());
  }
  return first;
}

void NodeRegistry::begin(Node& node, Instant now) {
  ++node.in_flight_;
  node.breaker_.begin(now);
}

void NodeRegistry::ended(Node& node) {
  assert(node.in_flight_ > 0);
  --node.in_flight_;
}

void NodeRegistry::succeed(Node& node, std::chrono::nanoseconds took) {
  ended(node);
  ++node.served_;
  node.breaker_.succeed();
  const double ms = std::chrono::duration<double, std::milli>(took).count();
  node.latency_ms_ += kSmoothing * (ms - node.latency_ms_);
  node.error_rate_ -= kSmoothing * node.error_rate_;
}

void NodeRegistry::fail(Node& node, Instant now) {
  ended(node);
  ++node.failed_;
  node.breaker_.fail(now, rules_);
  node.error_rate_ += kSmoothing * (1 - node.error_rate_);
}

void NodeRegistry::abandon(Node& node) {
  ended(node);
  node.breaker_.abandon();
}

void NodeRegistry::probed(Node& node, bool ok) {
  node.probe_ok_ = ok;
}

NodePtr NodeRegistry::find(std::string_view id) const {
  for (const auto& node : nodes_) {
    if (node->id() == id) return node;
  }
  return nullptr;
}

NodeRegistry::ModelState NodeRegistry::state_of(std::string_view model, std::string_view pool, Instant now) const {
  ModelState state;
  std::vector<double> latencies;
  for (const auto& node : nodes_) {
    if (node->spec_.pool != pool || !node->serves(model) || !node->live(now)) continue;
    ++state.live;
    state.capacity += node->spec_.capacity;
    state.in_flight += node->in_flight_;
    latencies.push_back(node->latency_ms_);
  }
  if (!latencies.empty()) {
    const auto middle = latencies.begin() + static_cast<std::ptrdiff_t>(latencies.size() / 2);
    std::ranges::nth_element(latencies, middle);
    state.median_latency_ms = *middle;
  }
  return state;
}

}  // namespace turnpike::scheduler
