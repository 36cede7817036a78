// Slots on nodes: given at once where one is free, else after a wait in a bounded line that is fair between accounts.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <stop_token>

#include "turnpike/base/deadlines.hpp"
#include "turnpike/base/error.hpp"
#include "turnpike/scheduler/registry.hpp"

namespace turnpike::scheduler {

class Scheduler;

// One request's place on a node. Say how it went; a slot that goes without a word is abandoned (no verdict on the
// node).
class Slot {
 public:
  Slot() = default;
  Slot(Slot&& other) noexcept;
  Slot& operator=(Slot&& other) noexcept;
  Slot(const Slot&) = delete;
  Slot& operator=(const Slot&) = delete;
  ~Slot();

  [[nodiscard]] bool valid() const { return node_ != nullptr; }
  [[nodiscard]] const NodePtr& node() const { return node_; }
  void succeed();
  void fail();
  void abandon();

 private:
  friend class Scheduler;
  Slot(Scheduler& scheduler, NodePtr node, Instant since)
      : scheduler_(&scheduler), node_(std::move(node)), since_(since) {}
  Scheduler* scheduler_ = nullptr;
  NodePtr node_;
  Instant since_{};
};

struct LineLimits {
  std::size_t queue = 1024;
  std::size_t queue_per_account = 128;
  std::chrono::milliseconds timeout{10'000};
};

struct SchedulerStats {
  std::size_t waiting = 0;
  std::uint64_t waited = 0;
  std::uint64_t refused = 0;
  std::uint64_t timed_out = 0;
};

// Loop thread only. Outlives its slots.
class Scheduler {
 public:
  Scheduler(boost::asio::any_io_executor executor, Deadlines& deadlines, NodeRegistry& registry, LineLimits limits);
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // A free slot, if there is one and nobody waits for it.
  [[nodiscard]] std::optional<Slot> try_acquire(const Want& want);

  // A slot, after a wait of at most the line's timeout and not past `deadline`. Errors: service_unavailable with
  // `retry_after` when no node is live, the line is full, or the wait was too long. A stop ends the wait with that
  // error too; the caller knows better what it means. `want` must stay valid.
  boost::asio::awaitable<Result<Slot>> acquire(Want want, std::int64_t account, Instant deadline, std::stop_token stop);

  // A node came back or was added: whoever waits may have it.
  void dispatch();

  [[nodiscard]] SchedulerStats stats() const;
  [[nodiscard]] NodeRegistry& registry() { return registry_; }

 private:
  friend class Slot;
  struct Waiter;
  struct Line;
  [[nodiscard]] Error unavailable(std::string message, const Want& want) const;

  boost::asio::any_io_executor executor_;
  Deadlines& deadlines_;
  NodeRegistry& registry_;
  LineLimits limits_;
  std::unique_ptr<Line> line_;
  SchedulerStats stats_;
};

}  // namespace turnpike::scheduler
