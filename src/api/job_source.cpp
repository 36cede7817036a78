#include "turnpike/api/job_source.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "turnpike/dialect/error_body.hpp"

namespace turnpike::api {

using boost::asio::awaitable;

namespace {

constexpr std::array<std::string_view, 6> kStatuses = {"pending", "processing", "settling",
                                                       "settled", "failed",     "refunded"};

JobView view_of(const ledger::RunningJob& job) {
  return {.id = job.job_id,
          .status = JobStatus::processing,
          .model = job.model,
          .held = job.held,
          .created_at = job.held_at,
          .cursor = job.hold_id};
}

JobView view_of(const ledger::EndedJob& job) {
  const auto& charge = job.charge;
  const auto status = job.paid ? JobStatus::settled : job.code.empty() ? JobStatus::refunded : JobStatus::failed;
  return {.id = charge.job_id,
          .status = status,
          .model = charge.model,
          .worker = charge.node_id,
          .held = job.held,
          .charged = -charge.amount,
          .usage = charge.tokens,
          .basis = charge.basis,
          .error_code = job.code,
          .receipt_hash = job.receipt_hash,
          // Charges from before there were receipts do not say when they were held.
          .created_at = job.held_at == WallTime() ? charge.created_at : job.held_at,
          .completed_at = charge.created_at,
          .cursor = job.cursor};
}

JobStatus status_of(jobs::State state) {
  switch (state) {
    case jobs::State::queued:
      return JobStatus::pending;
    case jobs::State::processing:
      return JobStatus::processing;
    case jobs::State::complete:
      return JobStatus::settled;
    case jobs::State::dead:
      return JobStatus::failed;
    case jobs::State::cancelled:
      break;
  }
  return JobStatus::refunded;
}

JobView view_of(const jobs::Job& job) {
  JobView view{.id = job.id,
               .status = status_of(job.state),
               .model = job.model,
               .held = job.held,
               .created_at = job.created_at,
               .cursor = job.row};
  if (job.failure) view.error_code = dialect::code_of(job.failure->fault);
  if (is_over(job.state)) view.completed_at = job.updated_at;
  return view;
}

Result<JobViews> views_of(Result<jobs::Page> page) {
  if (!page) return std::unexpected(std::move(page).error());
  JobViews views{.next_cursor = page->next_cursor};
  for (const auto& job : page->jobs) views.jobs.push_back(view_of(job));
  return views;
}

Result<JobViews> views_of(Result<ledger::JobPage> page) {
  if (!page) return std::unexpected(std::move(page).error());
  JobViews views{.next_cursor = page->next_cursor, .reached = page->reached};
  for (const auto& job : page->jobs) views.jobs.push_back(view_of(job));
  return views;
}

ledger::JobFilter filter_of(const JobQuery& query) {
  return {.model = query.model, .after = query.after, .before = query.before};
}

}  // namespace

std::string_view to_string(JobStatus status) {
  return kStatuses.at(static_cast<std::size_t>(status));
}

std::optional<JobStatus> parse_job_status(std::string_view text) {
  const auto found = std::ranges::find(kStatuses, text);
  if (found == kStatuses.end()) return std::nullopt;
  return static_cast<JobStatus>(found - kStatuses.begin());
}

awaitable<Result<std::optional<JobView>>> JobSource::find(ledger::AccountId /*account*/, std::string /*id*/) {
  co_return std::nullopt;
}

awaitable<Result<std::optional<JobView>>> RunningJobs::find(ledger::AccountId account, std::string id) {
  for (const auto& job : ledger_.running_jobs(account)) {
    if (job.job_id == id) co_return view_of(job);
  }
  co_return std::nullopt;
}

awaitable<Result<JobViews>> RunningJobs::list(ledger::AccountId account, JobQuery query, int limit,
                                              std::optional<std::int64_t> before) {
  JobViews views;
  if (query.status && *query.status != JobStatus::processing) co_return views;
  for (const auto& job : ledger_.running_jobs(account)) {
    if (before && job.hold_id >= *before) continue;
    if (!query.model.empty() && job.model != query.model) continue;
    if ((query.after && job.held_at < *query.after) || (query.before && job.held_at >= *query.before)) continue;
    if (views.jobs.size() == static_cast<std::size_t>(limit)) {
      views.next_cursor = views.jobs.back().cursor;
      break;
    }
    views.jobs.push_back(view_of(job));
  }
  co_return views;
}

awaitable<Result<std::optional<JobView>>> PaidJobs::find(ledger::AccountId account, std::string id) {
  auto found = co_await ledger_.ended_job(account, id);
  if (!found) co_return std::unexpected(std::move(found).error());
  if (!*found) co_return std::nullopt;
  co_return view_of(**found);
}

awaitable<Result<JobViews>> PaidJobs::list(ledger::AccountId account, JobQuery query, int limit,
                                           std::optional<std::int64_t> before) {
  if (query.status && *query.status != JobStatus::settled) co_return JobViews();
  co_return views_of(co_await ledger_.paid_jobs(account, filter_of(query), limit, before));
}

awaitable<Result<JobViews>> UnpaidJobs::list(ledger::AccountId account, JobQuery query, int limit,
                                             std::optional<std::int64_t> before) {
  auto filter = filter_of(query);
  if (query.status) {
    if (*query.status != JobStatus::failed && *query.status != JobStatus::refunded) co_return JobViews();
    filter.client_left = *query.status == JobStatus::refunded;
  }
  co_return views_of(co_await ledger_.unpaid_jobs(account, std::move(filter), limit, before));
}

awaitable<Result<std::optional<JobView>>> QueuedJobs::find(ledger::AccountId account, std::string id) {
  const auto found = co_await queue_.find(account, std::move(id));
  if (found) co_return view_of(*found);
  if (found.error().fault != Fault::not_found) co_return std::unexpected(found.error());
  co_return std::nullopt;
}

awaitable<Result<JobViews>> QueuedJobs::list(ledger::AccountId account, JobQuery query, int limit,
                                             std::optional<std::int64_t> before) {
  if (query.status && *query.status != JobStatus::pending) co_return JobViews();
  co_return views_of(co_await queue_.list({.account = account,
                                           .state = jobs::State::queued,
                                           .model = std::move(query.model),
                                           .after = query.after,
                                           .before = query.before,
                                           .before_row = before,
                                           .limit = static_cast<std::size_t>(limit)}));
}

awaitable<Result<JobViews>> GivenUpJobs::list(ledger::AccountId account, JobQuery query, int limit,
                                              std::optional<std::int64_t> before) {
  jobs::GivenUpFilter filter{.account = account,
                             .model = std::move(query.model),
                             .after = query.after,
                             .before = query.before,
                             .before_row = before,
                             .limit = static_cast<std::size_t>(limit)};
  if (query.status) {
    if (*query.status != JobStatus::failed && *query.status != JobStatus::refunded) co_return JobViews();
    filter.state = *query.status == JobStatus::failed ? jobs::State::dead : jobs::State::cancelled;
  }
  co_return views_of(co_await queue_.list_given_up(std::move(filter)));
}

}  // namespace turnpike::api
