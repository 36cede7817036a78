#include "ledger_store.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "ledger_record.hpp"
#include "turnpike/storage/connection.hpp"
#include "turnpike/storage/times.hpp"

namespace turnpike::ledger {
namespace {

using storage::Connection;
using storage::micros;
using storage::Statement;
using storage::wall_time;

// Counts of tokens are far below 2^63; one that is not was absurd already.
std::int64_t stored(std::uint64_t count) {
  return static_cast<std::int64_t>(std::min<std::uint64_t>(count, std::numeric_limits<std::int64_t>::max()));
}

EntryType entry_type(std::string_view text) {
  for (const auto type : {EntryType::topup, EntryType::grant, EntryType::charge}) {
    if (text == to_string(type)) return type;
  }
  return EntryType::adjustment;
}

void delete_hold(Connection& connection, std::int64_t id) {
  connection.prepare("DELETE FROM holds WHERE id = ?").bind(id).run();
}

Entry entry_of(const Statement& row) {
  Entry entry;
  entry.id = row.integer(0);
  entry.type = entry_type(row.text(1));
  entry.amount = Money::nanousd(row.integer(2));
  entry.balance = Money::nanousd(row.integer(3));
  entry.job_id = row.text(4);
  entry.model = row.text(5);
  entry.basis = row.text(6);
  entry.tokens = {.prompt = static_cast<std::uint64_t>(row.integer(7)),
                  .completion = static_cast<std::uint64_t>(row.integer(8))};
  entry.node_id = row.text(9);
  entry.note = row.text(10);
  entry.created_at = wall_time(row.integer(11));
  return entry;
}

std::vector<JournalHolds::Row> left_holds(Connection& connection) {
  std::vector<JournalHolds::Row> rows;
  auto query = connection.prepare("SELECT id, account_id, amount_nanousd, job_id, model, created_at FROM holds");
  while (query.step()) {
    rows.push_back({.id = query.integer(0),
                    .account = query.integer(1),
                    .amount = Money::nanousd(query.integer(2)),
                    .job_id = std::string(query.text(3)),
                    .model = std::string(query.text(4)),
                    .created_at = wall_time(query.integer(5))});
  }
  return rows;
}

std::int64_t number(Connection& connection, storage::Sql sql) {
  auto query = connection.prepare(sql);
  query.step();
  return query.integer(0);
}

bool is_charged(Connection& connection, std::string_view job_id) {
  auto query = connection.prepare("SELECT 1 FROM entries WHERE job_id = ?");
  return query.bind(job_id).step();
}

Money stored_balance(Connection& connection, AccountId account) {
  auto query = connection.prepare("SELECT balance_nanousd FROM entries WHERE account_id = ? ORDER BY id DESC LIMIT 1");
  return query.bind(account).step() ? Money::nanousd(query.integer(0)) : Money();
}

// From the newest back: what is older than `since` is not read, however much it is.
std::uint64_t tokens_since(Connection& connection, AccountId account, WallTime since) {
  auto query = connection.prepare(
      "SELECT created_at, prompt_tokens + completion_tokens FROM entries WHERE account_id = ? ORDER BY id DESC");
  query.bind(account);
  std::uint64_t tokens = 0;
  while (query.step() && query.integer(0) >= micros(since)) tokens += static_cast<std::uint64_t>(query.integer(1));
  return tokens;
}

}  // namespace

void NewEntry::run(Connection& connection) {
  connection
      .prepare(
          "INSERT INTO entries (id, account_id, type, amount_nanousd, balance_nanousd, job_id, model, basis, "
          "prompt_tokens, completion_tokens, node_id, note, created_at) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)")
      .bind(id)
      .bind(account)
      .bind(to_string(type))
      .bind(amount.nanousd())
      .bind(balance.nanousd())
      .bind_text_or_null(job_id)
      .bind_text_or_null(model)
      .bind_text_or_null(basis ? to_string(*basis) : std::string_view())
      .bind(stored(tokens.prompt))
      .bind(stored(tokens.completion))
      .bind_text_or_null(node_id)
      .bind_text_or_null(note)
      .bind(micros(created_at))
      .run();
  if (hold_id) delete_hold(connection, *hold_id);
  for (const auto& event : events) events::append(connection, event);
}

void NewAccount::run(Connection& connection) {
  connection.prepare("INSERT INTO accounts (id, public_id, name, created_at) VALUES (?,?,?,?)")
      .bind(account.id)
      .bind(std::string_view(account.public_id))
      .bind(std::string_view(account.name))
      .bind(micros(account.created_at))
      .run();
}

void JournalHolds::run(Connection& connection) {
  for (const Row& row : rows) {
    connection
        .prepare("INSERT INTO holds (id, account_id, amount_nanousd, job_id, model, created_at) VALUES (?,?,?,?,?,?)")
        .bind(row.id)
        .bind(row.account)
        .bind(row.amount.nanousd())
        .bind(std::string_view(row.job_id))
        .bind(std::string_view(row.model))
        .bind(micros(row.created_at))
        .run();
  }
}

void ForgetHold::run(Connection& connection) {
  delete_hold(connection, id);
}

void ReadHistory::run(Connection& connection) {
  auto query = connection.prepare(
      "SELECT id, type, amount_nanousd, balance_nanousd, job_id, model, basis, prompt_tokens, completion_tokens, "
      "node_id, note, created_at FROM entries WHERE account_id = ? AND id < ? ORDER BY id DESC LIMIT ?");
  // One more than asked for tells whether there is a next page.
  query.bind(account)
      .bind(before.value_or(std::numeric_limits<std::int64_t>::max()))
      .bind(static_cast<std::int64_t>(limit + 1));
  page = {};
  while (query.step()) {
    if (page.entries.size() == limit) {
      page.next_cursor = page.entries.back().id;
      break;
    }
    page.entries.push_back(entry_of(query));
  }
}

Opening load(Connection& connection, WallTime day) {
  Opening opening;
  std::vector<std::size_t> active;  // accounts that had entries since `day`
  {
    auto query = connection.prepare(
        "SELECT a.id, a.public_id, a.name, a.created_at, coalesce(e.id, 0), coalesce(e.balance_nanousd, 0), "
        "coalesce(e.created_at, 0) "
        "FROM accounts a LEFT JOIN entries e ON e.account_id = a.id AND "
        "e.id = (SELECT max(id) FROM entries WHERE account_id = a.id)");
    while (query.step()) {
      opening.accounts.push_back({.account = {.id = query.integer(0),
                                              .public_id = std::string(query.text(1)),
                                              .name = std::string(query.text(2)),
                                              .created_at = wall_time(query.integer(3))},
                                  .balance = Money::nanousd(query.integer(5))});
      opening.last_entry_id = std::max(opening.last_entry_id, query.integer(4));
      if (query.integer(6) >= micros(day)) active.push_back(opening.accounts.size() - 1);
    }
  }
  for (const auto i : active) {
    StoredAccount& account = opening.accounts[i];
    account.day_tokens = tokens_since(connection, account.account.id, day);
  }
  opening.last_hold_id = number(connection, "SELECT coalesce(max(id), 0) FROM holds");
  opening.left_holds = left_holds(connection);
  connection.prepare("DELETE FROM holds").run();
  return opening;
}

void CatchUp::apply(Connection& connection, std::string_view record) {
  const Recorded recorded = read_record(record);
  if (const auto* account = std::get_if<Account>(&recorded)) {
    auto stored = connection.prepare("SELECT 1 FROM accounts WHERE id = ?");
    if (!stored.bind(account->id).step()) NewAccount(*account).run(connection);
    return;
  }
  // Entries reach the tables in the order of their ids: those up to the last one stored are there.
  if (!last_entry_)
    last_entry_ = number(
        connection, "SELECT coalesce(max((SELECT max(id) FROM entries WHERE account_id = a.id)), 0) FROM accounts a");
  auto& entry = *std::get<std::unique_ptr<NewEntry>>(recorded);
  if (entry.id <= *last_entry_) return;
  if (entry.id != *last_entry_ + 1) {
    throw storage::StorageError("the journal goes on at entry " + std::to_string(entry.id) + ", the database ends at " +
                                    std::to_string(*last_entry_) +
                                    ": they are not of one run, or the machine lost power; without the journal's two "
                                    "files the gateway starts with what the database has",
                                false);
  }
  last_entry_ = entry.id;
  const bool charged_already = !entry.job_id.empty() && is_charged(connection, entry.job_id);
  if (charged_already) {
    spdlog::error("ledger: {} was settled already: entry {} is left out", entry.job_id, entry.id);
    return;
  }
  entry.balance = stored_balance(connection, entry.account) + entry.amount;
  entry.run(connection);
  ++entries_;
}

Audit audit_books(Connection& connection) {
  Audit audit;
  audit.accounts = static_cast<std::size_t>(number(connection, "SELECT count(*) FROM accounts"));
  audit.entries = static_cast<std::size_t>(number(connection, "SELECT count(*) FROM entries"));
  audit.holds = static_cast<std::size_t>(number(connection, "SELECT count(*) FROM holds"));
  audit.balances = Money::nanousd(number(connection, "SELECT coalesce(sum(amount_nanousd), 0) FROM entries"));
  const auto collect = [&](storage::Sql sql, std::string_view what) {
    auto query = connection.prepare(sql);
    while (query.step()) audit.faults.push_back(std::string(query.text(0)) + ": " + std::string(what));
  };
  collect(
      "SELECT 'entry ' || id FROM (SELECT id, balance_nanousd, sum(amount_nanousd) OVER "
      "(PARTITION BY account_id ORDER BY id) AS expected FROM entries) WHERE balance_nanousd <> expected",
      "its balance does not follow from the entries before it");
  collect("SELECT 'entry ' || id FROM entries WHERE balance_nanousd < 0", "the balance is below zero");
  collect("SELECT 'entry ' || id FROM entries GROUP BY id HAVING count(*) > 1", "its id is used twice");
  collect("SELECT 'entry ' || id FROM entries WHERE account_id NOT IN (SELECT id FROM accounts)", "it has no account");
  collect("SELECT 'hold ' || id FROM holds WHERE account_id NOT IN (SELECT id FROM accounts)", "it has no account");
  collect("SELECT 'hold ' || id FROM holds WHERE job_id IN (SELECT job_id FROM entries)",
          "its job was charged already");
  collect("SELECT 'job ' || job_id FROM entries WHERE job_id IS NOT NULL GROUP BY job_id HAVING count(*) > 1",
          "settled more than once");
  collect("SELECT 'entry ' || id FROM entries WHERE type = 'charge' AND (amount_nanousd > 0 OR job_id IS NULL)",
          "a charge that adds credits or has no job");
  collect(
      "SELECT 'entry ' || e.id FROM entries e LEFT JOIN payments p ON p.id = e.job_id AND p.account_id = e.account_id "
      "AND p.units * 1000 = e.amount_nanousd WHERE e.type = 'topup' AND p.id IS NULL",
      "a top-up without a payment of that amount");
  collect(
      "SELECT 'payment ' || id FROM payments WHERE state = 'credited' AND NOT EXISTS "
      "(SELECT 1 FROM entries WHERE job_id = payments.id)",
      "it counts as credited, and no entry says so");
  collect("SELECT integrity_check FROM pragma_integrity_check WHERE integrity_check <> 'ok'", "the file is damaged");
  return audit;
}

}  // namespace turnpike::ledger
