// Where jobs are known: each place is a source of GET /v1/jobs, which shows all of them as one list.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "turnpike/base/clock.hpp"
#include "turnpike/base/encoding.hpp"
#include "turnpike/base/error.hpp"
#include "turnpike/jobs/job_queue.hpp"
#include "turnpike/ledger/ledger.hpp"

namespace turnpike::api {

enum class JobStatus : std::uint8_t { pending, processing, settling, settled, failed, refunded };
[[nodiscard]] std::string_view to_string(JobStatus status);
[[nodiscard]] std::optional<JobStatus> parse_job_status(std::string_view text);

// A job as the wire shows it.
struct JobView {
  std::string id = {};
  JobStatus status = JobStatus::pending;
  std::string model = {};
  std::string worker = {};  // the nodes that served it, joined by commas; empty: none yet
  ledger::Money held = {};  // zero: no hold, or one of before there were receipts
  ledger::Money charged = {};
  ledger::TokenCounts usage = {};
  std::string basis = {};       // empty: no charge
  std::string error_code = {};  // empty: none
  std::optional<Sha256> receipt_hash = {};
  WallTime created_at{};
  std::optional<WallTime> completed_at = {};
  std::int64_t cursor = 0;  // its source's own

  // What a list is in the order of.
  [[nodiscard]] WallTime at() const { return completed_at.value_or(created_at); }
};

struct JobQuery {
  std::optional<JobStatus> status = {};
  std::string model = {};               // empty: any
  std::optional<WallTime> after = {};   // at() is then or later …
  std::optional<WallTime> before = {};  // … and before that
};

struct JobViews {
  std::vector<JobView> jobs = {};                // newest first by at()
  std::optional<std::int64_t> next_cursor = {};  // pass as `before` for what follows; none: nothing does
  std::optional<WallTime> reached = {};          // of a page that ended early: nothing that follows is newer
};

// Loop thread only.
class JobSource {
 public:
  virtual ~JobSource() = default;
  // nullopt: the account has no such job here, or another source finds it.
  [[nodiscard]] virtual boost::asio::awaitable<Result<std::optional<JobView>>> find(ledger::AccountId account,
                                                                                    std::string id);
  // At most `limit` of the account's that fit.
  [[nodiscard]] virtual boost::asio::awaitable<Result<JobViews>> list(ledger::AccountId account, JobQuery query,
                                                                      int limit,
                                                                      std::optional<std::int64_t> before) = 0;
};

// Those that hold credits now: processing.
class RunningJobs final : public JobSource {
 public:
  explicit RunningJobs(const ledger::Ledger& ledger) : ledger_(ledger) {}
  boost::asio::awaitable<Result<std::optional<JobView>>> find(ledger::AccountId account, std::string id) override;
  boost::asio::awaitable<Result<JobViews>> list(ledger::AccountId account, JobQuery query, int limit,
                                                std::optional<std::int64_t> before) override;

 private:
  const ledger::Ledger& ledger_;
};

// Those that were charged: settled.
class PaidJobs final : public JobSource {
 public:
  explicit PaidJobs(ledger::Ledger& ledger) : ledger_(ledger) {}
  // Unpaid ones as well.
  boost::asio::awaitable<Result<std::optional<JobView>>> find(ledger::AccountId account, std::string id) override;
  boost::asio::awaitable<Result<JobViews>> list(ledger::AccountId account, JobQuery query, int limit,
                                                std::optional<std::int64_t> before) override;

 private:
  ledger::Ledger& ledger_;
};

// Those that ended without a charge: failed by an error, refunded where the client left. PaidJobs finds them.
class UnpaidJobs final : public JobSource {
 public:
  explicit UnpaidJobs(ledger::Ledger& ledger) : ledger_(ledger) {}
  boost::asio::awaitable<Result<JobViews>> list(ledger::AccountId account, JobQuery query, int limit,
                                                std::optional<std::int64_t> before) override;

 private:
  ledger::Ledger& ledger_;
};

// Those that wait in the queue: pending. While one is processed it holds credits, and once it is complete it was
// charged.
class QueuedJobs final : public JobSource {
 public:
  explicit QueuedJobs(jobs::JobQueue& queue) : queue_(queue) {}
  // Dead and cancelled ones as well.
  boost::asio::awaitable<Result<std::optional<JobView>>> find(ledger::AccountId account, std::string id) override;
  boost::asio::awaitable<Result<JobViews>> list(ledger::AccountId account, JobQuery query, int limit,
                                                std::optional<std::int64_t> before) override;

 private:
  jobs::JobQueue& queue_;
};

// Those of the queue that came to nothing: dead ones failed, cancelled ones were refunded. QueuedJobs finds them.
class GivenUpJobs final : public JobSource {
 public:
  explicit GivenUpJobs(jobs::JobQueue& queue) : queue_(queue) {}
  boost::asio::awaitable<Result<JobViews>> list(ledger::AccountId account, JobQuery query, int limit,
                                                std::optional<std::int64_t> before) override;

 private:
  jobs::JobQueue& queue_;
};

}  // namespace turnpike::api
