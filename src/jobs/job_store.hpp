// What the queue asks of the database. All SQL of jobs is in job_store.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "turnpike/events/event.hpp"
#include "turnpike/jobs/job_queue.hpp"
#include "turnpike/storage/database.hpp"

namespace turnpike::jobs {

// Adds a job, unless its idempotency key made one already: then that is `existing`, and nothing is written.
struct AddJob final : storage::Operation {
  void run(storage::Connection& connection) override;
  Enqueue wanted;
  WallTime now{};
  WallTime keys_since{};  // older idempotency keys are forgotten
  std::optional<events::Event> event;
  std::int64_t row = 0;
  std::optional<Job> existing;
  bool same_digest = false;
};

// A job that is to be run now.
struct Claimed {
  std::int64_t row = 0;
  Request request;
  std::size_t tries = 0;
  WallTime created_at{};
};

// Takes the account's job that has been due longest.
struct ClaimJob final : storage::Operation {
  ClaimJob(ledger::AccountId whose, WallTime at, bool tells) : account(whose), now(at), tell(tells) {}
  void run(storage::Connection& connection) override;
  ledger::AccountId account;
  WallTime now;
  bool tell;  // an event job.processing
  std::optional<Claimed> claimed;
  std::optional<WallTime> next_due;  // of those that are left
};

// Keeps the answer of a job that is about to be charged; `kept` is false when it is not being processed any more.
struct KeepResult final : storage::Operation {
  KeepResult(std::int64_t which, std::string_view body, std::string_view node)
      : row(which), result(body), node_id(node) {}
  void run(storage::Connection& connection) override;
  std::int64_t row;
  std::string result;
  std::string node_id;
  bool kept = false;
};

// In the transaction of the job's charge.
struct CompleteJob final : storage::Operation {
  CompleteJob(std::int64_t which, WallTime at) : row(which), now(at) {}
  void run(storage::Connection& connection) override;
  std::int64_t row;
  WallTime now;
};

// A job that was processed waits again, or is dead.
struct PutBack final : storage::Operation {
  void run(storage::Connection& connection) override;
  std::int64_t row = 0;
  State state = State::queued;
  std::size_t tries = 0;
  WallTime next_try{};
  std::optional<Failure> failure;  // none: what is there stays
  WallTime now{};
  std::vector<events::Event> events;
};

struct CancelJob final : storage::Operation {
  CancelJob(ledger::AccountId whose, std::string which, WallTime at) : account(whose), id(std::move(which)), now(at) {}
  void run(storage::Connection& connection) override;
  ledger::AccountId account;
  std::string id;
  WallTime now;
  std::optional<Job> job;       // as it is now; none: there is none
  std::optional<State> before;  // what it was, if that was changed
  ledger::Money held;
  std::size_t bytes = 0;
};

struct ReadJob final : storage::Operation {
  ReadJob(std::optional<ledger::AccountId> whose, std::string which) : account(whose), id(std::move(which)) {}
  void run(storage::Connection& connection) override;
  std::optional<ledger::AccountId> account;  // none: anybody's
  std::string id;
  std::optional<Job> job;
};

struct ListJobs final : storage::Operation {
  explicit ListJobs(Filter what) : filter(std::move(what)) {}
  void run(storage::Connection& connection) override;
  Filter filter;
  Page page;
};

struct ListGivenUp final : storage::Operation {
  explicit ListGivenUp(GivenUpFilter what) : filter(std::move(what)) {}
  void run(storage::Connection& connection) override;
  GivenUpFilter filter;
  Page page;
};

// A dead job waits again.
struct RequeueJob final : storage::Operation {
  RequeueJob(std::string which, WallTime at) : id(std::move(which)), now(at) {}
  void run(storage::Connection& connection) override;
  std::string id;
  WallTime now;
  std::optional<Job> job;  // as it is now; none: it was not dead
};

// Which jobs that are over are to be deleted.
struct Purge {
  std::optional<WallTime> done_before = {};  // complete and cancelled ones; none: not these
  std::optional<WallTime> dead_before = {};
  bool complete = true;  // of the done ones
  bool cancelled = true;
  WallTime keys_since{};  // a job whose idempotency key is younger stays
};

// Deletes some of them.
struct PurgeJobs final : storage::Operation {
  explicit PurgeJobs(const Purge& which) : purge(which) {}
  void run(storage::Connection& connection) override;
  Purge purge;
  struct Dead {
    ledger::AccountId account;
    std::size_t bytes;
  };
  std::vector<Dead> dead;  // that were deleted
  std::size_t deleted = 0;
  bool more = false;  // there may be more of them
};

struct ReadOldest final : storage::Operation {
  void run(storage::Connection& connection) override;
  std::optional<WallTime> oldest;  // of the queued ones
};

// What an account has in the queue.
struct StoredLine {
  ledger::AccountId account = 0;
  std::string tier;  // of its newest job
  std::size_t queued = 0;
  std::size_t dead = 0;
  std::size_t bytes = 0;  // of all of these
  ledger::Money held;
  std::optional<WallTime> next_due;  // of the queued ones
};

// What earlier runs left. Jobs that were processed are complete where they were charged, and queued otherwise.
struct Opening {
  std::vector<StoredLine> lines;
  std::size_t completed = 0;
  std::size_t queued_again = 0;
};
Opening load(storage::Connection& connection, WallTime now);

}  // namespace turnpike::jobs
