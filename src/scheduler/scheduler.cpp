#include "turnpike/scheduler/scheduler.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "turnpike/base/signal.hpp"
#include "turnpike/scheduler/fair_line.hpp"

namespace turnpike::scheduler {

namespace asio = boost::asio;

Slot::Slot(Slot&& other) noexcept
    : scheduler_(other.scheduler_), node_(std::exchange(other.node_, nullptr)), since_(other.since_) {}

Slot& Slot::operator=(Slot&& other) noexcept {
  if (this != &other) {
    abandon();
    scheduler_ = other.scheduler_;
    node_ = std::exchange(other.node_, nullptr);
    since_ = other.since_;
  }
  return *this;
}

Slot::~Slot() {
  abandon();
}

void Slot::succeed() {
  if (!node_) return;
  scheduler_->registry_.succeed(*node_, scheduler_->deadlines_.clock().now() - since_);
  node_.reset();
  scheduler_->dispatch();
}

void Slot::fail() {
  if (!node_) return;
  scheduler_->registry_.fail(*node_, scheduler_->deadlines_.clock().now());
  node_.reset();
  scheduler_->dispatch();
}

void Slot::abandon() {
  if (!node_) return;
  scheduler_->registry_.abandon(*node_);
  node_.reset();
  scheduler_->dispatch();
}

struct Scheduler::Waiter {
  Waiter(const asio::any_io_executor& executor, Deadlines& deadlines, const Want& wanted)
      : want(wanted),
        news(executor),
        deadline(deadlines, [](void* self) { static_cast<Waiter*>(self)->expire(); }, this) {}
  void expire() {
    expired = true;
    news.notify();
  }

  const Want& want;
  Signal news;
  Deadline deadline;
  Slot slot;
  bool expired = false;
};

struct Scheduler::Line : FairLine<Waiter> {
  using FairLine<Waiter>::FairLine;
};

Scheduler::Scheduler(asio::any_io_executor executor, Deadlines& deadlines, NodeRegistry& registry, LineLimits limits)
    : executor_(std::move(executor)),
      deadlines_(deadlines),
      registry_(registry),
      limits_(limits),
      line_(std::make_unique<Line>(limits.queue, limits.queue_per_account)) {}

Scheduler::~Scheduler() = default;

std::optional<Slot> Scheduler::try_acquire(const Want& want) {
  // Whoever waits comes first; but a line of requests for other models holds nobody up.
  const auto now = deadlines_.clock().now();
  if (!line_->empty()) return std::nullopt;
  auto node = registry_.choose(want, now);
  if (!node) return std::nullopt;
  registry_.begin(*node, now);
  return Slot(*this, std::move(node), now);
}

void Scheduler::dispatch() {
  while (!line_->empty()) {
    const auto now = deadlines_.clock().now();
    NodePtr node;
    Waiter* waiter = line_->take_first([&](Waiter& candidate) {
      node = registry_.choose(candidate.want, now);
      return node != nullptr;
    });
    if (waiter == nullptr) return;
    registry_.begin(*node, now);
    waiter->slot = Slot(*this, std::move(node), now);
    waiter->news.notify();
  }
}

Error Scheduler::unavailable(std::string message, const Want& want) const {
  // Honest: when a broken node is tried again, or else how long the line takes at the pace that was seen.
  const auto now = deadlines_.clock().now();
  const auto chance = registry_.next_chance(want);
  double seconds = 1;
  if (chance != Instant::max() && chance > now) {
    seconds = std::chrono::duration<double>(chance - now).count();
  } else {
    const auto state = registry_.state_of(want.model, want.pool, now);
    if (state.capacity > 0) {
      seconds =
          static_cast<double>(line_->size()) * state.median_latency_ms / 1000 / static_cast<double>(state.capacity);
    }
  }
  const auto whole = std::chrono::seconds(static_cast<std::int64_t>(std::clamp(std::ceil(seconds), 1.0, 300.0)));
  return {.fault = Fault::service_unavailable, .message = std::move(message), .param = {}, .retry_after = whole};
}

asio::awaitable<Result<Slot>> Scheduler::acquire(Want want, std::int64_t account, Instant deadline,
                                                 std::stop_token stop) {
  if (auto slot = try_acquire(want)) co_return *std::move(slot);
  if (!registry_.any_live(want, deadlines_.clock().now())) {
    co_return std::unexpected(unavailable("no node that serves " + std::string(want.model) + " is live", want));
  }
  Waiter waiter(executor_, deadlines_, want);
  if (!line_->push(account, &waiter)) {
    ++stats_.refused;
    co_return std::unexpected(unavailable("all nodes are busy and the waiting line is full", want));
  }
  ++stats_.waited;
  dispatch();  // the line may hold only requests that the free nodes cannot serve
  waiter.deadline.arm_at(std::min(deadline, deadlines_.clock().now() + limits_.timeout));
  const std::stop_callback wake(stop, [&waiter] { waiter.expire(); });
  while (!waiter.slot.valid() && !waiter.expired) {
    if (!waiter.news.take()) co_await waiter.news.wait();
  }
  if (waiter.slot.valid()) co_return std::move(waiter.slot);
  line_->remove(account, &waiter);
  ++stats_.timed_out;
  co_return std::unexpected(unavailable("all nodes stayed busy", want));
}

SchedulerStats Scheduler::stats() const {
  SchedulerStats stats = stats_;
  stats.waiting = line_->size();
  return stats;
}

}  // namespace turnpike::scheduler
