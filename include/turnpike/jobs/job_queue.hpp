// The durable queue: jobs live in the database, wait their turn, are tried until one try succeeds or the last one
// failed, and survive any end of the program (docs/decisions/0018-queued-jobs.md).
//
// Thread: the loop's. Nothing blocks but JobQueue::open.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "turnpike/base/clock.hpp"
#include "turnpike/base/deadlines.hpp"
#include "turnpike/base/error.hpp"
#include "turnpike/base/task_group.hpp"
#include "turnpike/events/subscriptions.hpp"
#include "turnpike/jobs/job.hpp"
#include "turnpike/jobs/retry.hpp"
#include "turnpike/ledger/ledger.hpp"

namespace turnpike::storage {
class Database;
class Operation;
}  // namespace turnpike::storage

namespace turnpike::jobs {

struct Rules {
  std::size_t max_jobs = 0;              // that are not over, and dead ones: these wait for an operator
  std::size_t max_jobs_per_account = 0;  // of these
  std::size_t max_bytes = 0;             // of their requests together
  std::size_t max_running = 0;
  RetryRules retries = {};
  std::chrono::seconds retention{};                         // of complete and cancelled jobs, results and all
  std::optional<std::chrono::seconds> dead_retention = {};  // absent: until an operator requeues or purges them
  std::chrono::seconds idempotency{};                       // how long an Idempotency-Key is remembered
};

// A request that is paid for, as far as its upper bound goes, and is to be queued.
struct Enqueue {
  Request request;
  std::string idempotency_key = {};  // empty: none
  std::string digest = {};           // SHA-256 of what the key stands for
};

struct Enqueued {
  Job job;
  bool is_new = true;  // false: an earlier request with the same key made it
};

struct Filter {
  std::optional<ledger::AccountId> account = {};
  std::optional<State> state = {};
  std::string model = {};                       // empty: any
  std::optional<WallTime> after = {};           // made then or later
  std::optional<WallTime> before = {};          // made earlier
  std::optional<std::int64_t> before_row = {};  // a page's next_cursor
  std::size_t limit = 50;
};

// Jobs that came to nothing: dead and cancelled ones, by when that was.
struct GivenUpFilter {
  ledger::AccountId account = 0;
  std::optional<State> state = {};  // dead or cancelled
  std::string model = {};           // empty: any
  std::optional<WallTime> after = {};
  std::optional<WallTime> before = {};
  std::optional<std::int64_t> before_row = {};
  std::size_t limit = 50;
};

struct Page {
  std::vector<Job> jobs;  // newest first, without results
  std::optional<std::int64_t> next_cursor;
};

struct Stats {
  std::size_t queued = 0;
  std::size_t processing = 0;
  std::size_t dead = 0;
  std::size_t bytes = 0;                // of requests that are kept
  std::optional<WallTime> oldest = {};  // of the queued ones, as of a moment ago
  std::uint64_t completed = 0;          // since the start, as are the rest
  std::uint64_t tries_failed = 0;
  std::uint64_t given_up = 0;
  std::uint64_t cancelled = 0;
  std::uint64_t refused = 0;  // for want of room
};

// How a try ended.
struct Outcome {
  std::optional<Error> error;  // none: it is complete, and charged
  // The account's limits do not let it run now: it is no try, and waits this long.
  std::optional<std::chrono::milliseconds> not_before = {};
};

// Before a whole answer is charged. The operation it gives runs in the charge's transaction. Error: do not charge.
using Keep = std::function<boost::asio::awaitable<Result<std::shared_ptr<storage::Operation>>>(
    std::string_view body, std::string_view node_id)>;

// Runs one try. `hold` is the caller's when it fails. Stopped: the node's work ends at once, and nothing is charged.
using Run = std::function<boost::asio::awaitable<Outcome>(const Request& request, ledger::Hold& hold, const Keep& keep,
                                                          std::stop_token stop)>;

// Jobs of an account that may run at once, by the tier of its newest job; nullopt: no limit.
using Concurrency = std::function<std::optional<std::uint64_t>(ledger::AccountId account, const std::string& tier)>;

struct QueueParts {
  boost::asio::any_io_executor executor;
  Deadlines& deadlines;
  TaskGroup& tasks;  // runs the jobs, and is joined before the queue goes
  storage::Database& database;
  ledger::Ledger& ledger;
  const events::Subscriptions& subscriptions;
  Run run;
  Concurrency concurrency;
  std::uint64_t seed = 0;  // of the jitter
};

class JobQueue {
 public:
  // Takes up what earlier runs left: what ran is queued again, what was charged is complete. Blocks. Open it after the
  // ledger, whose journal must be in the database. Error: internal_error when the database cannot be read.
  [[nodiscard]] static Result<std::unique_ptr<JobQueue>> open(QueueParts parts, const Rules& rules);
  ~JobQueue();
  JobQueue(const JobQueue&) = delete;
  JobQueue& operator=(const JobQueue&) = delete;

  // Runs jobs from here on.
  void start();

  // Takes the hold over, and the job is durable when this completes. With an idempotency key that was seen before, the
  // job it made, and the hold is given back. Errors: rate_limit_exceeded when there is no room; idempotency_mismatch;
  // service_unavailable. The hold is given back then.
  [[nodiscard]] boost::asio::awaitable<Result<Enqueued>> enqueue(Enqueue wanted, ledger::Hold hold);

  // One of the account's jobs, with its result. Errors: not_found, service_unavailable.
  [[nodiscard]] boost::asio::awaitable<Result<Job>> find(ledger::AccountId account, std::string id);

  // The same, once it is over, or as it is at `until` or when `client_gone` is stopped.
  [[nodiscard]] boost::asio::awaitable<Result<Job>> wait(ledger::AccountId account, std::string id, Instant until,
                                                         std::stop_token client_gone);

  // Stops it for good, its node at once, and gives its credits back. Errors: not_found; conflict when it is over or is
  // being charged; service_unavailable.
  [[nodiscard]] boost::asio::awaitable<Result<Job>> cancel(ledger::AccountId account, std::string id);

  [[nodiscard]] boost::asio::awaitable<Result<Page>> list(Filter filter);
  [[nodiscard]] boost::asio::awaitable<Result<Page>> list_given_up(GivenUpFilter filter);

  // For operators, who know no account. A dead job waits again, with all its tries before it; its credits are held
  // anew. Errors: not_found; conflict when it is not dead; insufficient_credits; service_unavailable.
  [[nodiscard]] boost::asio::awaitable<Result<Job>> requeue(std::string id);
  [[nodiscard]] boost::asio::awaitable<Result<Job>> show(std::string id);
  // Deletes jobs that are over: those in `state` (none: all), updated before `older_than`. How many it were.
  [[nodiscard]] boost::asio::awaitable<Result<std::size_t>> purge(std::optional<State> state, WallTime older_than);

  // No job begins any more; those that run go on until stop_running().
  void stop_starting();
  // Cuts off what runs: it stays queued, and nothing is charged for it.
  void stop_running();
  // Completes when nothing runs.
  [[nodiscard]] boost::asio::awaitable<void> idle();

  [[nodiscard]] Stats stats() const;

 private:
  struct Inner;
  explicit JobQueue(std::unique_ptr<Inner> inner);
  std::unique_ptr<Inner> inner_;
};

}  // namespace turnpike::jobs
