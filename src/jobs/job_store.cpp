#include "job_store.hpp"

#include <algorithm>
#include <limits>
#include <unordered_map>

#include "job_events.hpp"
#include "turnpike/dialect/error_body.hpp"
#include "turnpike/ledger/ledger.hpp"
#include "turnpike/storage/connection.hpp"
#include "turnpike/storage/times.hpp"

namespace turnpike::jobs {
namespace {

using storage::Connection;
using storage::micros;
using storage::Sql;
using storage::Statement;
using storage::wall_time;

constexpr std::int64_t kPurgedAtOnce = 1'000;
constexpr std::int64_t kNewest = std::numeric_limits<std::int64_t>::max();

std::size_t size_of(std::int64_t stored) {
  return static_cast<std::size_t>(stored);
}

// What job_of() reads.
constexpr storage::SqlPart kJobColumns =
    "id, public_id, account_id, state, dialect, model, tries, fault, fault_message, fault_param, next_try_at, node_id, "
    "created_at, updated_at, held_nanousd";

Job job_of(const Statement& row) {
  Job job{.row = row.integer(0),
          .id = std::string(row.text(1)),
          .account = row.integer(2),
          .state = parse_state(row.text(3)).value_or(State::dead),
          .dialect = std::string(row.text(4)),
          .model = std::string(row.text(5)),
          .retries = size_of(row.integer(6)),
          .held = ledger::Money::nanousd(row.integer(14)),
          .node_id = std::string(row.text(11)),
          .created_at = wall_time(row.integer(12)),
          .updated_at = wall_time(row.integer(13))};
  if (!row.is_null(7)) {
    job.failure = Failure{.fault = dialect::fault_of(row.text(7)).value_or(Fault::internal_error),
                          .message = std::string(row.text(8)),
                          .param = std::string(row.text(9))};
  }
  if (job.state == State::queued) job.next_try = wall_time(row.integer(10));
  return job;
}

std::optional<Job> read_by_row(Connection& connection, std::int64_t row) {
  auto query = connection.prepare(Sql::join<"SELECT ", kJobColumns, " FROM queue_jobs WHERE id = ?">());
  if (!query.bind(row).step()) return std::nullopt;
  return job_of(query);
}

void bind_price(Statement& insert, const ledger::Price& price) {
  insert.bind(price.prompt_per_million.nanousd())
      .bind(price.completion_per_million.nanousd())
      .bind(price.per_request.nanousd())
      .bind(static_cast<std::int64_t>(price.included_output_tokens))
      .bind(price.per_thousand_beyond.nanousd());
}

// Columns as SELECTed by ClaimJob.
Claimed claimed_of(const Statement& row) {
  using ledger::Money;
  return {.row = row.integer(0),
          .request = {.id = std::string(row.text(1)),
                      .account = row.integer(2),
                      .kind = static_cast<scan::RequestKind>(row.integer(3)),
                      .dialect = std::string(row.text(4)),
                      .tier = std::string(row.text(5)),
                      .pool = std::string(row.text(6)),
                      .model = std::string(row.text(7)),
                      .body = std::string(row.text(16)),
                      .most = {.prompt = static_cast<std::uint64_t>(row.integer(17)),
                               .completion = static_cast<std::uint64_t>(row.integer(18))},
                      .price = {.prompt_per_million = Money::nanousd(row.integer(8)),
                                .completion_per_million = Money::nanousd(row.integer(9)),
                                .per_request = Money::nanousd(row.integer(10)),
                                .included_output_tokens = static_cast<std::uint64_t>(row.integer(11)),
                                .per_thousand_beyond = Money::nanousd(row.integer(12))},
                      .held = Money::nanousd(row.integer(13))},
          .tries = size_of(row.integer(14)),
          .created_at = wall_time(row.integer(15))};
}

void append_all(Connection& connection, const std::vector<events::Event>& all) {
  for (const auto& event : all) events::append(connection, event);
}

}  // namespace

void AddJob::run(Connection& connection) {
  existing.reset();
  const Request& request = wanted.request;
  if (!wanted.idempotency_key.empty()) {
    connection
        .prepare(
            "UPDATE queue_jobs SET idempotency_key = NULL WHERE account_id = ? AND idempotency_key = ? AND created_at "
            "< "
            "?")
        .bind(request.account)
        .bind(std::string_view(wanted.idempotency_key))
        .bind(micros(keys_since))
        .run();
    auto query =
        connection.prepare("SELECT id, request_digest FROM queue_jobs WHERE account_id = ? AND idempotency_key = ?");
    query.bind(request.account).bind(std::string_view(wanted.idempotency_key));
    if (query.step()) {
      same_digest = query.text(1) == wanted.digest;
      existing = read_by_row(connection, query.integer(0));
      return;
    }
  }
  auto insert = connection.prepare(
      "INSERT INTO queue_jobs (public_id, account_id, next_try_at, held_nanousd, request_bytes, created_at, "
      "updated_at, dialect, tier, pool, kind, model, most_prompt_tokens, most_completion_tokens, "
      "prompt_per_million_nanousd, completion_per_million_nanousd, per_request_nanousd, included_output_tokens, "
      "per_thousand_beyond_nanousd, idempotency_key, request_digest, request) "
      "VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) RETURNING id");
  insert.bind(std::string_view(request.id))
      .bind(request.account)
      .bind(micros(now))
      .bind(request.held.nanousd())
      .bind(static_cast<std::int64_t>(request.body.size()))
      .bind(micros(now))
      .bind(micros(now))
      .bind(std::string_view(request.dialect))
      .bind(std::string_view(request.tier))
      .bind(std::string_view(request.pool))
      .bind(static_cast<std::int64_t>(request.kind))
      .bind(std::string_view(request.model))
      .bind(static_cast<std::int64_t>(request.most.prompt))
      .bind(static_cast<std::int64_t>(request.most.completion));
  bind_price(insert, request.price);
  insert.bind_text_or_null(wanted.idempotency_key).bind_blob(wanted.digest).bind_blob(request.body);
  insert.step();
  row = insert.integer(0);
  insert.run();
  if (event) events::append(connection, *event);
}

void ClaimJob::run(Connection& connection) {
  claimed.reset();
  next_due.reset();
  {
    auto query = connection.prepare(
        "SELECT id, public_id, account_id, kind, dialect, tier, pool, model, prompt_per_million_nanousd, "
        "completion_per_million_nanousd, per_request_nanousd, included_output_tokens, per_thousand_beyond_nanousd, "
        "held_nanousd, tries, created_at, request, most_prompt_tokens, most_completion_tokens FROM queue_jobs "
        "WHERE account_id = ? AND state = 'queued' AND next_try_at <= ? ORDER BY next_try_at, id LIMIT 1");
    if (query.bind(account).bind(micros(now)).step()) claimed = claimed_of(query);
  }
  if (claimed) {
    connection.prepare("UPDATE queue_jobs SET state = 'processing', updated_at = ? WHERE id = ?")
        .bind(micros(now))
        .bind(claimed->row)
        .run();
    if (tell) events::append(connection, event_of(events::Type::job_processing, claimed->request, claimed->tries, now));
  }
  auto query = connection.prepare("SELECT min(next_try_at) FROM queue_jobs WHERE account_id = ? AND state = 'queued'");
  query.bind(account).step();
  if (!query.is_null(0)) next_due = wall_time(query.integer(0));
}

void KeepResult::run(Connection& connection) {
  connection.prepare("UPDATE queue_jobs SET result = ?, node_id = ? WHERE id = ? AND state = 'processing'")
      .bind_blob(result)
      .bind(std::string_view(node_id))
      .bind(row)
      .run();
  kept = connection.changes() == 1;
}

void CompleteJob::run(Connection& connection) {
  connection
      .prepare(
          "UPDATE queue_jobs SET state = 'complete', updated_at = ?, held_nanousd = 0, request = x'', fault = NULL, "
          "fault_message = NULL, fault_param = NULL WHERE id = ?")
      .bind(micros(now))
      .bind(row)
      .run();
}

void PutBack::run(Connection& connection) {
  auto update = connection.prepare(
      "UPDATE queue_jobs SET state = ?1, tries = ?2, next_try_at = ?3, updated_at = ?4, result = NULL, node_id = NULL, "
      "fault = coalesce(?5, fault), fault_message = CASE WHEN ?5 IS NULL THEN fault_message ELSE ?6 END, "
      "fault_param = CASE WHEN ?5 IS NULL THEN fault_param ELSE ?7 END WHERE id = ?8 AND state = 'processing'");
  update.bind(to_string(state))
      .bind(static_cast<std::int64_t>(tries))
      .bind(micros(next_try))
      .bind(micros(now))
      .bind_text_or_null(failure ? dialect::code_of(failure->fault) : std::string_view())
      .bind_text_or_null(failure ? std::string_view(failure->message) : std::string_view())
      .bind_text_or_null(failure ? std::string_view(failure->param) : std::string_view())
      .bind(row)
      .run();
  append_all(connection, events);
}

void CancelJob::run(Connection& connection) {
  job.reset();
  before.reset();
  std::int64_t row = 0;
  {
    auto query = connection.prepare(
        "SELECT id, state, held_nanousd, request_bytes FROM queue_jobs WHERE public_id = ? AND account_id = ?");
    if (!query.bind(std::string_view(id)).bind(account).step()) return;
    row = query.integer(0);
    held = ledger::Money::nanousd(query.integer(2));
    bytes = size_of(query.integer(3));
    const auto state = parse_state(query.text(1)).value_or(State::dead);
    if (!is_over(state)) before = state;
  }
  if (before) {
    connection
        .prepare(
            "UPDATE queue_jobs SET state = 'cancelled', updated_at = ?, held_nanousd = 0, request = x'', result = "
            "NULL, "
            "node_id = NULL WHERE id = ?")
        .bind(micros(now))
        .bind(row)
        .run();
  }
  job = read_by_row(connection, row);
}

void ReadJob::run(Connection& connection) {
  job.reset();
  auto query = connection.prepare(Sql::join<"SELECT ", kJobColumns,
                                            ", result FROM queue_jobs WHERE public_id = ?1 AND "
                                            "(?2 IS NULL OR account_id = ?2)">());
  if (!query.bind(std::string_view(id)).bind(account).step()) return;
  job = job_of(query);
  if (job->state == State::complete) job->result = query.text(15);
}

namespace {

// For either statement: of an account, by its index, or of all.
constexpr storage::SqlPart kFiltered =
    "AND (?2 IS NULL OR state = ?2) AND (?3 IS NULL OR model = ?3) AND (?4 IS NULL OR created_at >= ?4) "
    "AND (?5 IS NULL OR created_at < ?5) AND id < ?6 ORDER BY id DESC LIMIT ?7";

void bind_filter(Statement& query, const Filter& filter) {
  query.bind(filter.account)
      .bind_text_or_null(filter.state ? to_string(*filter.state) : std::string_view())
      .bind_text_or_null(filter.model)
      .bind(filter.after.transform([](WallTime at) { return micros(at); }))
      .bind(filter.before.transform([](WallTime at) { return micros(at); }))
      .bind(filter.before_row.value_or(kNewest))
      .bind(static_cast<std::int64_t>(filter.limit) + 1);  // one more tells whether there is a next page
}

Page page_of(Statement& query, std::size_t limit) {
  Page page;
  while (query.step()) {
    if (page.jobs.size() == limit) {
      page.next_cursor = page.jobs.back().row;
      break;
    }
    page.jobs.push_back(job_of(query));
  }
  return page;
}

}  // namespace

void ListJobs::run(Connection& connection) {
  if (filter.account) {
    auto query =
        connection.prepare(Sql::join<"SELECT ", kJobColumns, " FROM queue_jobs WHERE account_id = ?1 ", kFiltered>());
    bind_filter(query, filter);
    page = page_of(query, filter.limit);
    return;
  }
  auto query = connection.prepare(
      Sql::join<"SELECT ", kJobColumns, " FROM queue_jobs WHERE (?1 IS NULL OR account_id = ?1) ", kFiltered>());
  bind_filter(query, filter);
  page = page_of(query, filter.limit);
}

// Newest end first; a page goes on behind its last job, wherever that is then.
void ListGivenUp::run(Connection& connection) {
  auto query = connection.prepare(
      Sql::join<
          "SELECT ", kJobColumns,
          " FROM queue_jobs "
          "WHERE account_id = ?1 AND (state = 'dead' OR state = 'cancelled') AND (?2 IS NULL OR state = ?2) "
          "AND (?3 IS NULL OR model = ?3) AND (?4 IS NULL OR updated_at >= ?4) AND (?5 IS NULL OR updated_at < ?5) "
          "AND (?6 IS NULL OR (updated_at, id) < (SELECT updated_at, id FROM queue_jobs WHERE id = ?6)) "
          "ORDER BY updated_at DESC, id DESC LIMIT ?7">());
  query.bind(filter.account)
      .bind_text_or_null(filter.state ? to_string(*filter.state) : std::string_view())
      .bind_text_or_null(filter.model)
      .bind(filter.after.transform([](WallTime at) { return micros(at); }))
      .bind(filter.before.transform([](WallTime at) { return micros(at); }))
      .bind(filter.before_row)
      .bind(static_cast<std::int64_t>(filter.limit) + 1);
  page = page_of(query, filter.limit);
}

void RequeueJob::run(Connection& connection) {
  job.reset();
  std::int64_t row = 0;
  {
    auto query = connection.prepare("SELECT id FROM queue_jobs WHERE public_id = ? AND state = 'dead'");
    if (!query.bind(std::string_view(id)).step()) return;
    row = query.integer(0);
  }
  connection.prepare("UPDATE queue_jobs SET state = 'queued', tries = 0, next_try_at = ?, updated_at = ? WHERE id = ?")
      .bind(micros(now))
      .bind(micros(now))
      .bind(row)
      .run();
  job = read_by_row(connection, row);
}

void PurgeJobs::run(Connection& connection) {
  dead.clear();
  deleted = 0;
  more = false;
  if (purge.done_before) {
    connection
        .prepare(
            "DELETE FROM queue_jobs WHERE id IN (SELECT id FROM queue_jobs WHERE (state = 'complete' OR state = "
            "'cancelled') AND updated_at < ?1 AND (idempotency_key IS NULL OR created_at < ?2) "
            "AND ((?3 AND state = 'complete') OR (?4 AND state = 'cancelled')) LIMIT ?5)")
        .bind(micros(*purge.done_before))
        .bind(micros(purge.keys_since))
        .bind(std::int64_t{purge.complete})
        .bind(std::int64_t{purge.cancelled})
        .bind(kPurgedAtOnce)
        .run();
    deleted += size_of(connection.changes());
    more = connection.changes() == kPurgedAtOnce;
  }
  if (!purge.dead_before) return;
  auto removed = connection.prepare(
      "DELETE FROM queue_jobs WHERE id IN (SELECT id FROM queue_jobs WHERE state = 'dead' AND updated_at < ? LIMIT ?) "
      "RETURNING account_id, request_bytes");
  removed.bind(micros(*purge.dead_before)).bind(kPurgedAtOnce);
  while (removed.step()) dead.push_back({.account = removed.integer(0), .bytes = size_of(removed.integer(1))});
  deleted += dead.size();
  more = more || dead.size() == size_of(kPurgedAtOnce);
}

void ReadOldest::run(Connection& connection) {
  oldest.reset();
  auto query = connection.prepare("SELECT created_at FROM queue_jobs WHERE state = 'queued' ORDER BY id LIMIT 1");
  if (query.step()) oldest = wall_time(query.integer(0));
}

namespace {

// What was charged is complete, whatever the end of the program cut short.
std::size_t complete_charged(Connection& connection, WallTime now) {
  std::vector<std::int64_t> charged;
  {
    auto query =
        connection.prepare("SELECT id, public_id FROM queue_jobs WHERE state = 'processing' AND result IS NOT NULL");
    while (query.step()) {
      if (ledger::is_charged(connection, query.text(1))) charged.push_back(query.integer(0));
    }
  }
  for (const auto row : charged) CompleteJob(row, now).run(connection);
  return charged.size();
}

}  // namespace

Opening load(Connection& connection, WallTime now) {
  Opening opening;
  opening.completed = complete_charged(connection, now);
  connection
      .prepare(
          "UPDATE queue_jobs SET state = 'queued', result = NULL, node_id = NULL, updated_at = ? "
          "WHERE state = 'processing'")
      .bind(micros(now))
      .run();
  opening.queued_again = size_of(connection.changes());
  std::unordered_map<std::int64_t, std::size_t> places;
  // In the order of their ids: the last one seen is the newest.
  auto query = connection.prepare(
      "SELECT account_id, state, tier, held_nanousd, request_bytes, next_try_at FROM queue_jobs "
      "WHERE state = 'queued' OR state = 'dead' ORDER BY id");
  while (query.step()) {
    const auto [place, is_new] = places.try_emplace(query.integer(0), opening.lines.size());
    if (is_new) {
      opening.lines.emplace_back();
      opening.lines.back().account = query.integer(0);
    }
    StoredLine& line = opening.lines[place->second];
    line.tier = query.text(2);
    line.bytes += size_of(query.integer(4));
    if (query.text(1) == to_string(State::dead)) {
      ++line.dead;
      continue;
    }
    ++line.queued;
    line.held += ledger::Money::nanousd(query.integer(3));
    const auto due = wall_time(query.integer(5));
    line.next_due = line.next_due ? std::min(*line.next_due, due) : due;
  }
  return opening;
}

}  // namespace turnpike::jobs
