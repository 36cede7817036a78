// The jobs of an account that are over: its charges, and what ended without one.
#include <limits>
#include <utility>

#include "ledger_store.hpp"
#include "receipt_store.hpp"
#include "turnpike/storage/connection.hpp"
#include "turnpike/storage/times.hpp"

namespace turnpike::ledger {
namespace {

using storage::Connection;
using storage::micros;
using storage::Sql;
using storage::Statement;
using storage::wall_time;

constexpr std::size_t kMostEntriesLookedAt = 2'000;  // for one page
constexpr std::size_t kMostForgottenAtOnce = 10'000;

// What paid_job() reads.
constexpr storage::SqlPart kPaidColumns =
    "id, amount_nanousd, job_id, model, basis, prompt_tokens, completion_tokens, node_id, created_at, receipt, "
    "receipt_hash";

EndedJob paid_job(const Statement& row) {
  EndedJob job;
  job.cursor = job.charge.id = row.integer(0);
  job.charge.amount = Money::nanousd(row.integer(1));
  job.charge.job_id = row.text(2);
  job.charge.model = row.text(3);
  job.charge.basis = row.text(4);
  job.charge.tokens = {.prompt = static_cast<std::uint64_t>(row.integer(5)),
                       .completion = static_cast<std::uint64_t>(row.integer(6))};
  job.charge.node_id = row.text(7);
  job.charge.created_at = wall_time(row.integer(8));
  if (!row.is_null(9)) {
    const ReceiptFacts facts = decode_facts(row.text(9));
    job.held = facts.held;
    job.held_at = facts.held_at;
    job.receipt_hash = stored_hash(row.text(10));
  }
  return job;
}

// What unpaid_job() reads.
constexpr storage::SqlPart kUnpaidColumns = "id, job_id, model, held_nanousd, code, created_at, ended_at";

EndedJob unpaid_job(const Statement& row) {
  EndedJob job;
  job.paid = false;
  job.cursor = row.integer(0);
  job.charge.job_id = row.text(1);
  job.charge.model = row.text(2);
  job.held = Money::nanousd(row.integer(3));
  job.code = row.text(4);
  job.held_at = wall_time(row.integer(5));
  job.charge.created_at = wall_time(row.integer(6));
  return job;
}

}  // namespace

void ReadPaidJobs::run(Connection& connection) {
  page = {};
  std::int64_t next = before ? entry_before(connection, account, *before) : newest;
  std::int64_t last = 0;
  WallTime reached{};
  for (std::size_t looked_at = 0; next != 0; ++looked_at) {
    if (page.jobs.size() == limit || looked_at == kMostEntriesLookedAt) {
      page.next_cursor = last;
      if (page.jobs.size() < limit) page.reached = reached;
      return;
    }
    auto row = connection.prepare(
        Sql::join<"SELECT ", kPaidColumns, ", type = 'charge', coalesce(previous_id, 0) FROM entries WHERE id = ?">());
    if (!row.bind(next).step()) return;  // its commit failed
    const auto at = wall_time(row.integer(8));
    // Entries of an account are in the order of their times.
    if (filter.after && at < *filter.after) return;
    const bool fits = row.integer(11) != 0 && (filter.model.empty() || filter.model == row.text(3)) &&
                      (!filter.before || at < *filter.before);
    if (fits) page.jobs.push_back(paid_job(row));
    last = next;
    reached = at;
    next = row.integer(12);
  }
}

void ReadUnpaidJobs::run(Connection& connection) {
  page = {};
  auto row = connection.prepare(
      Sql::join<"SELECT ", kUnpaidColumns,
                " FROM unpaid_jobs WHERE account_id = ?1 AND id < ?2 AND (?3 IS NULL OR model = ?3) AND ended_at >= ?4 "
                "AND ended_at < ?5 AND (?6 IS NULL OR (code IS NULL) = ?6) ORDER BY id DESC LIMIT ?7">());
  row.bind(account)
      .bind(before.value_or(std::numeric_limits<std::int64_t>::max()))
      .bind_text_or_null(filter.model)
      .bind(filter.after ? micros(*filter.after) : std::numeric_limits<std::int64_t>::min())
      .bind(filter.before ? micros(*filter.before) : std::numeric_limits<std::int64_t>::max())
      .bind(filter.client_left.transform([](bool left) { return std::int64_t{left ? 1 : 0}; }))
      .bind(static_cast<std::int64_t>(limit + 1));
  while (row.step()) {
    if (page.jobs.size() == limit) {
      page.next_cursor = page.jobs.back().cursor;
      break;
    }
    page.jobs.push_back(unpaid_job(row));
  }
}

void ReadJob::run(Connection& connection) {
  page.reset();
  auto paid = connection.prepare(
      Sql::join<"SELECT ", kPaidColumns, " FROM entries WHERE job_id = ? AND account_id = ? AND type = 'charge'">());
  if (paid.bind(std::string_view(job_id)).bind(account).step()) {
    page = paid_job(paid);
    return;
  }
  auto unpaid = connection.prepare(
      Sql::join<"SELECT ", kUnpaidColumns, " FROM unpaid_jobs WHERE job_id = ? AND account_id = ?">());
  if (unpaid.bind(std::string_view(job_id)).bind(account).step()) page = unpaid_job(unpaid);
}

void UnpaidJob::run(Connection& connection) {
  connection
      .prepare(
          "INSERT INTO unpaid_jobs (job_id, account_id, model, held_nanousd, code, created_at, ended_at) VALUES "
          "(?,?,?,?,?,?,?)")
      .bind(std::string_view(job_id))
      .bind(account)
      .bind(std::string_view(model))
      .bind(held.nanousd())
      .bind_text_or_null(code)
      .bind(micros(created_at))
      .bind(micros(ended_at))
      .run();
  connection.prepare("DELETE FROM unpaid_jobs WHERE id <= (SELECT max(id) FROM unpaid_jobs) - ?")
      .bind(static_cast<std::int64_t>(most))
      .run();
  if (event) events::append(connection, *event);
}

void ForgetUnpaidJobs::run(Connection& connection) {
  connection
      .prepare(
          "DELETE FROM unpaid_jobs WHERE id IN (SELECT id FROM unpaid_jobs WHERE ended_at < ? ORDER BY ended_at LIMIT "
          "?)")
      .bind(micros(before))
      .bind(static_cast<std::int64_t>(kMostForgottenAtOnce))
      .run();
}

}  // namespace turnpike::ledger
