// Brings what the outbox holds to its endpoints: one delivery under way for each endpoint, the oldest first, and a
// bounded number in all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "secret_box.hpp"
#include "turnpike/base/deadlines.hpp"
#include "turnpike/base/random.hpp"
#include "turnpike/base/task_group.hpp"
#include "turnpike/webhooks/retries.hpp"
#include "turnpike/webhooks/webhooks.hpp"
#include "webhook_store.hpp"

namespace turnpike::webhooks {

class Deliverer;

// An endpoint as the loop holds it.
struct LiveEndpoint : std::enable_shared_from_this<LiveEndpoint> {
  LiveEndpoint(Deliverer& by, StoredEndpoint what);

  StoredEndpoint stored;
  http::Place place;
  bool written = false;  // it is in the database
  bool removed = false;

  enum class Phase : std::uint8_t {
    idle,     // nothing is pending, as far as is known
    ready,    // in the line for a delivery
    running,  // a delivery is under way
    waiting,  // for the time of the next attempt
  };
  Phase phase = Phase::idle;
  bool news = false;                    // something may have come since the outbox was read
  bool announced = false;               // and is to be looked for
  std::optional<WallTime> oldest = {};  // of what is pending, once it was read
  Deliverer& deliverer;
  std::optional<Deadline> next_attempt = {};  // while waiting

  [[nodiscard]] bool active() const { return written && !removed && stored.shown.disabled.empty(); }
};
using LivePtr = std::shared_ptr<LiveEndpoint>;

// Loop thread only.
class Deliverer {
 public:
  // An endpoint that answered by 410.
  using Gone = std::function<void(LiveEndpoint& endpoint)>;
  Deliverer(boost::asio::any_io_executor executor, Deadlines& deadlines, TaskGroup& tasks, storage::Database& database,
            const SecretBox& secrets, const Rules& rules, Send send, Gone gone);
  ~Deliverer();  // the tasks are over

  // A change that bears an event for the endpoint is queued: it is looked for soon, along with others.
  void announce(const LivePtr& endpoint);
  // Looks at what the endpoint has to get now, even when it is waiting.
  void look(const LivePtr& endpoint);
  // Waits for no time of the endpoint's any more.
  static void stop_waiting(LiveEndpoint& endpoint) { endpoint.next_attempt.reset(); }
  // Begins nothing more.
  void stop();

  // Counts: endpoints, active, pending and oldest are another's to tell.
  [[nodiscard]] const Stats& stats() const { return stats_; }

 private:
  void look_at_announced();
  void wait(LiveEndpoint& endpoint, WallTime until);
  void run_ready();
  boost::asio::awaitable<void> run(LivePtr endpoint);
  boost::asio::awaitable<std::optional<WallTime>> deliver_next(LiveEndpoint& endpoint);
  boost::asio::awaitable<Answered> attempt(const LiveEndpoint& endpoint, const Delivery& delivery,
                                           const std::string& body);
  boost::asio::awaitable<std::optional<WallTime>> settle(LiveEndpoint& endpoint, Delivery delivery,
                                                         const Verdict& verdict);
  void count(const Verdict& verdict);
  [[nodiscard]] std::string signatures(const LiveEndpoint& endpoint, const Delivery& delivery, std::int64_t timestamp,
                                       const std::string& body) const;
  [[nodiscard]] WallTime now() const { return deadlines_.clock().wall(); }

  boost::asio::any_io_executor executor_;
  Deadlines& deadlines_;
  TaskGroup& tasks_;
  storage::Database& database_;
  const SecretBox& secrets_;
  const Rules& rules_;
  Send send_;
  Gone gone_;
  Rng rng_;
  std::deque<LivePtr> ready_;
  std::vector<LivePtr> announced_;
  std::optional<Deadline> gathering_;  // while something is announced
  Stats stats_;
};

}  // namespace turnpike::webhooks
