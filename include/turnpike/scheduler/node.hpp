// The nodes as the gateway knows them: what the operator said of each, and what was seen of it since. Pure: `now` and
// randomness come in.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "turnpike/base/clock.hpp"

namespace turnpike::scheduler {

enum class Engine : std::uint8_t { openai, llama_cpp, vllm, sglang, ollama };

struct ModelName {
  std::string id;    // the gateway's
  std::string name;  // the node's
};

// Who earns by what a node serves, and how much of what its client pays.
struct Payee {
  std::int64_t account = 0;  // 0: nobody
  std::uint32_t share_millionths = 0;
};

// What the configuration says.
struct NodeSpec {
  std::string id;
  std::string url;
  std::vector<std::string> models;
  std::vector<ModelName> model_names;
  std::size_t capacity = 1;  // requests at once
  Engine engine = Engine::openai;
  std::string pool = "bus";
  std::string api_key;  // never logged
  double weight = 1.0;
  std::string probe_path;
  Payee payee = {};
};

struct BreakerRules {
  std::size_t failures = 3;               // in a row, to open
  std::chrono::milliseconds open{5'000};  // the first time; doubled each time it opens again
  std::chrono::milliseconds max_open{60'000};
};

// Keeps requests from a node that fails. Closed: they pass. Open: none does, for a while that doubles. Then one request
// is let through to see; its success closes, its failure opens again.
class Breaker {
 public:
  [[nodiscard]] bool allows(Instant now) const;
  // A request is about to go: when half open, it is the one trial.
  void begin(Instant now);
  void succeed();
  void fail(Instant now, const BreakerRules& rules);
  // The trial ended without a verdict (the client left).
  void abandon() { trial_ = false; }
  [[nodiscard]] bool open(Instant now) const { return now < open_until_; }
  [[nodiscard]] Instant open_until() const { return open_until_; }

 private:
  std::size_t failures_ = 0;
  unsigned times_opened_ = 0;
  bool tripped_ = false;
  bool trial_ = false;
  Instant open_until_{};
};

class Node {
 public:
  Node(NodeSpec spec, std::size_t index) : spec_(std::move(spec)), index_(index) {}

  [[nodiscard]] const NodeSpec& spec() const { return spec_; }
  [[nodiscard]] const std::string& id() const { return spec_.id; }
  [[nodiscard]] std::size_t in_flight() const { return in_flight_; }
  [[nodiscard]] bool serves(std::string_view model) const;
  // What the node calls it.
  [[nodiscard]] std::string_view name_of(std::string_view model) const;

  // Could take a request if it had a free slot.
  [[nodiscard]] bool live(Instant now) const { return probe_ok_ && !draining_ && !removed_ && !breaker_.open(now); }
  // Live, with a free slot.
  [[nodiscard]] bool available(Instant now) const {
    return probe_ok_ && !draining_ && !removed_ && in_flight_ < spec_.capacity && breaker_.allows(now);
  }
  // Milliseconds that one more request would take here, by what was seen: smaller is better.
  [[nodiscard]] double expected_wait() const;
  [[nodiscard]] double latency_ms() const { return latency_ms_; }
  [[nodiscard]] bool draining() const { return draining_; }
  [[nodiscard]] bool probe_ok() const { return probe_ok_; }
  [[nodiscard]] Instant open_until() const { return breaker_.open_until(); }
  [[nodiscard]] std::uint64_t served() const { return served_; }
  [[nodiscard]] std::uint64_t failed() const { return failed_; }

 private:
  friend class NodeRegistry;
  NodeSpec spec_;
  std::size_t index_;
  std::size_t in_flight_ = 0;
  Breaker breaker_;
  double latency_ms_ = 100;  // smoothed; what a node of which nothing is known is taken for
  double error_rate_ = 0;    // smoothed, 0 to 1
  bool probe_ok_ = true;
  bool draining_ = false;
  bool removed_ = false;
  std::uint64_t served_ = 0;
  std::uint64_t failed_ = 0;
};

using NodePtr = std::shared_ptr<Node>;

}  // namespace turnpike::scheduler
