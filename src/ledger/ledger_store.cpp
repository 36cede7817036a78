#include "ledger_store.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "ledger_record.hpp"
#include "receipt_store.hpp"
#include "turnpike/base/encoding.hpp"
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

std::string_view bytes_of(const Sha256& hash) {
  return {static_cast<const char*>(static_cast<const void*>(hash.data())), hash.size()};
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

void end_left_holds(Connection& connection, WallTime now) {
  connection
      .prepare(
          "INSERT OR IGNORE INTO unpaid_jobs (job_id, account_id, model, held_nanousd, code, created_at, ended_at) "
          "SELECT job_id, account_id, model, amount_nanousd, 'gateway_restart', created_at, ? FROM holds")
      .bind(micros(now))
      .run();
  connection.prepare("DELETE FROM holds").run();
}

std::int64_t number(Connection& connection, storage::Sql sql) {
  auto query = connection.prepare(sql);
  query.step();
  return query.integer(0);
}

// Brings accounts.last_entry_id from the last mark to the last entry.
void mark_ends(Connection& connection) {
  connection
      .prepare(
          "UPDATE accounts SET last_entry_id = newer.id FROM (SELECT account_id, max(id) AS id FROM entries WHERE id > "
          "(SELECT entry_id FROM ledger_mark) GROUP BY account_id) AS newer WHERE newer.account_id = accounts.id")
      .run();
  connection.prepare("UPDATE ledger_mark SET entry_id = (SELECT coalesce(max(id), 0) FROM entries)").run();
}

// Of a row of `earnings`: a column that was changed behind the ledger's back does not fit it.
std::int64_t seal_of(std::initializer_list<std::int64_t> numbers, std::string_view node_id) {
  std::string text(node_id);
  for (const auto each : numbers) text.append(",").append(std::to_string(each));
  return crc32c(text);
}

void add_earning(Connection& connection, const NewEntry& entry, const Payout& payout) {
  const auto seal = seal_of({payout.owner, entry.id, payout.amount.nanousd(), stored(payout.tokens.prompt),
                             stored(payout.tokens.completion), micros(entry.created_at)},
                            payout.node_id);
  connection
      .prepare(
          "INSERT INTO earnings (owner_id, node_id, entry_id, amount_nanousd, total_nanousd, prompt_tokens, "
          "completion_tokens, created_at, seal) VALUES (?1, ?2, ?3, ?4, ?4 + coalesce((SELECT total_nanousd FROM "
          "earnings WHERE owner_id = ?1 AND node_id = ?2 ORDER BY entry_id DESC LIMIT 1), 0), ?5, ?6, ?7, ?8)")
      .bind(payout.owner)
      .bind(std::string_view(payout.node_id))
      .bind(entry.id)
      .bind(payout.amount.nanousd())
      .bind(stored(payout.tokens.prompt))
      .bind(stored(payout.tokens.completion))
      .bind(micros(entry.created_at))
      .bind(seal)
      .run();
}

// From the newest back: what is older than `since` is not read, however much it is.
std::uint64_t tokens_since(Connection& connection, std::int64_t newest, WallTime since) {
  std::uint64_t tokens = 0;
  for (std::int64_t id = newest; id != 0;) {
    auto row = connection.prepare(
        "SELECT created_at, prompt_tokens + completion_tokens, coalesce(previous_id, 0) FROM entries WHERE id = ?");
    if (!row.bind(id).step() || row.integer(0) < micros(since)) break;
    tokens += static_cast<std::uint64_t>(row.integer(1));
    id = row.integer(2);
  }
  return tokens;
}

// The account's last entry; 0: it has none.
std::int64_t stored_end(Connection& connection, AccountId account) {
  auto row = connection.prepare(
      "SELECT coalesce((SELECT max(id) FROM entries WHERE account_id = ?1 AND id > (SELECT entry_id FROM "
      "ledger_mark)), "
      "(SELECT last_entry_id FROM accounts WHERE id = ?1), 0)");
  row.bind(account).step();
  return row.integer(0);
}

}  // namespace

std::int64_t entry_before(Connection& connection, AccountId account, std::int64_t id) {
  auto row = connection.prepare("SELECT coalesce(previous_id, 0) FROM entries WHERE id = ? AND account_id = ?");
  return row.bind(id).bind(account).step() ? row.integer(0) : 0;
}

bool is_charged(Connection& connection, std::string_view job_id) {
  auto query = connection.prepare("SELECT 1 FROM entries WHERE job_id = ?");
  return query.bind(job_id).step();
}

void NewEntry::run(Connection& connection) {
  Money owners;
  for (const Payout& payout : payouts) owners += payout.amount;
  const bool from_outside = type == EntryType::topup;
  std::optional<Sha256> hash;
  if (!receipt.empty()) hash = tail->next(connection, *this);
  connection
      .prepare(
          "INSERT INTO entries (id, previous_id, account_id, type, amount_nanousd, balance_nanousd, owners_nanousd, "
          "network_nanousd, outside_nanousd, job_id, model, basis, prompt_tokens, completion_tokens, node_id, note, "
          "created_at, receipt_index, receipt, receipt_hash) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)")
      .bind(id)
      .bind(previous_id != 0 ? std::optional(previous_id) : std::nullopt)
      .bind(account)
      .bind(to_string(type))
      .bind(amount.nanousd())
      .bind(balance.nanousd())
      .bind(owners.nanousd())
      .bind(from_outside ? 0 : (-amount - owners).nanousd())
      .bind(from_outside ? (-amount).nanousd() : 0)
      .bind_text_or_null(job_id)
      .bind_text_or_null(model)
      .bind_text_or_null(basis ? to_string(*basis) : std::string_view())
      .bind(stored(tokens.prompt))
      .bind(stored(tokens.completion))
      .bind_text_or_null(node_id)
      .bind_text_or_null(note)
      .bind(micros(created_at))
      .bind(hash ? std::optional(receipt_index) : std::nullopt)
      .bind_blob(hash ? std::string_view(receipt) : std::string_view())
      .bind_blob(hash ? bytes_of(*hash) : std::string_view())
      .run();
  if (hash) tail->add(connection, *hash, id);
  for (const Payout& payout : payouts) add_earning(connection, *this, payout);
  if (hold_id) delete_hold(connection, *hold_id);
  for (const auto& event : events) events::append(connection, event);
  if (beside) beside->run(connection);
}

void NewAccount::run(Connection& connection) {
  connection.prepare("INSERT INTO accounts (id, public_id, name, created_at) VALUES (?,?,?,?)")
      .bind(account.id)
      .bind(std::string_view(account.public_id))
      .bind(std::string_view(account.name))
      .bind(micros(account.created_at))
      .run();
}

void SetLowThreshold::run(Connection& connection) {
  connection.prepare("UPDATE accounts SET low_threshold_nanousd = ? WHERE id = ?")
      .bind(threshold.transform([](Money below) { return below.nanousd(); }))
      .bind(account)
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

void MarkEnds::run(Connection& connection) {
  for (const Row& row : rows) {
    connection.prepare("UPDATE accounts SET last_entry_id = ? WHERE id = ?")
        .bind(row.last_entry_id)
        .bind(row.account)
        .run();
  }
  connection.prepare("UPDATE ledger_mark SET entry_id = ?").bind(last_entry_id).run();
}

void ReadHistory::run(Connection& connection) {
  page = {};
  std::int64_t next = before ? entry_before(connection, account, *before) : newest;
  bool from_memory = !before;
  while (next != 0) {
    if (page.entries.size() == limit) {
      page.next_cursor = page.entries.back().id;
      break;
    }
    auto row = connection.prepare(
        "SELECT id, type, amount_nanousd, balance_nanousd, job_id, model, basis, prompt_tokens, completion_tokens, "
        "node_id, note, created_at, coalesce(previous_id, 0) FROM entries WHERE id = ?");
    if (!row.bind(next).step()) {
      // Its commit failed: what is stored is shown.
      if (std::exchange(from_memory, false)) {
        next = stored_end(connection, account);
        continue;
      }
      throw storage::StorageError("entry " + std::to_string(next) + " is missing: run turnpike ledger check", true);
    }
    from_memory = false;
    page.entries.push_back(entry_of(row));
    next = row.integer(12);
  }
}

void ReadEarnings::run(Connection& connection) {
  page = {};
  {
    auto newest = connection.prepare(
        "SELECT total_nanousd FROM earnings WHERE owner_id = ? AND node_id = ? ORDER BY entry_id DESC LIMIT 1");
    newest.bind(owner).bind(std::string_view(node_id));
    if (newest.step()) page.total = Money::nanousd(newest.integer(0));
  }
  auto query = connection.prepare(
      "SELECT entry_id, amount_nanousd, total_nanousd, prompt_tokens, completion_tokens, created_at FROM earnings "
      "WHERE owner_id = ? AND node_id = ? AND entry_id < ? ORDER BY entry_id DESC LIMIT ?");
  query.bind(owner)
      .bind(std::string_view(node_id))
      .bind(before.value_or(std::numeric_limits<std::int64_t>::max()))
      .bind(static_cast<std::int64_t>(limit + 1));
  while (query.step()) {
    if (page.earnings.size() == limit) {
      page.next_cursor = page.earnings.back().entry_id;
      break;
    }
    page.earnings.push_back({.entry_id = query.integer(0),
                             .amount = Money::nanousd(query.integer(1)),
                             .total = Money::nanousd(query.integer(2)),
                             .tokens = {.prompt = static_cast<std::uint64_t>(query.integer(3)),
                                        .completion = static_cast<std::uint64_t>(query.integer(4))},
                             .created_at = wall_time(query.integer(5))});
  }
}

Opening load(Connection& connection, WallTime day, WallTime now) {
  Opening opening;
  mark_ends(connection);
  std::vector<std::size_t> active;  // accounts that had entries since `day`
  {
    auto query = connection.prepare(
        "SELECT a.id, a.public_id, a.name, a.created_at, coalesce(e.id, 0), coalesce(e.balance_nanousd, 0), "
        "coalesce(e.created_at, 0), a.low_threshold_nanousd "
        "FROM accounts a LEFT JOIN entries e ON e.id = a.last_entry_id");
    while (query.step()) {
      opening.accounts.push_back({.account = {.id = query.integer(0),
                                              .public_id = std::string(query.text(1)),
                                              .name = std::string(query.text(2)),
                                              .created_at = wall_time(query.integer(3))},
                                  .balance = Money::nanousd(query.integer(5)),
                                  .last_entry_id = query.integer(4)});
      if (!query.is_null(7)) opening.accounts.back().low_threshold = Money::nanousd(query.integer(7));
      opening.last_entry_id = std::max(opening.last_entry_id, query.integer(4));
      if (query.integer(6) >= micros(day)) active.push_back(opening.accounts.size() - 1);
    }
  }
  for (const auto i : active) {
    StoredAccount& account = opening.accounts[i];
    account.day_tokens = tokens_since(connection, account.last_entry_id, day);
  }
  opening.last_hold_id = number(connection, "SELECT coalesce(max(id), 0) FROM holds");
  opening.receipts = count_receipts(connection);
  opening.left_holds = left_holds(connection);
  end_left_holds(connection, now);
  return opening;
}

CatchUp::End& CatchUp::end_of(Connection& connection, AccountId account) {
  const auto found = ends_.find(account);
  if (found != ends_.end()) return found->second;
  auto row = connection.prepare(
      "SELECT e.id, e.balance_nanousd FROM accounts a JOIN entries e ON e.id = a.last_entry_id WHERE a.id = ?");
  const bool has_entries = row.bind(account).step();
  const End end{.entry_id = has_entries ? row.integer(0) : 0,
                .balance = Money::nanousd(has_entries ? row.integer(1) : 0)};
  return ends_.emplace(account, end).first->second;
}

void CatchUp::apply(Connection& connection, std::string_view record) {
  const Recorded recorded = read_record(record);
  if (const auto* account = std::get_if<Account>(&recorded)) {
    auto stored = connection.prepare("SELECT 1 FROM accounts WHERE id = ?");
    if (!stored.bind(account->id).step()) NewAccount(*account).run(connection);
    return;
  }
  // Entries reach the tables in the order of their ids: those up to the last one stored are there.
  if (!last_entry_) {
    mark_ends(connection);
    last_entry_ = number(connection, "SELECT entry_id FROM ledger_mark");
    receipts_ = count_receipts(connection);
    tail_ = std::make_shared<ReceiptTail>();
  }
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
  End& end = end_of(connection, entry.account);
  entry.previous_id = end.entry_id;
  entry.balance = end.balance + entry.amount;
  entry.receipt_index = receipts_;
  entry.tail = tail_;
  entry.run(connection);
  if (!entry.receipt.empty()) ++receipts_;
  end = {.entry_id = entry.id, .balance = entry.balance};
  ++entries_;
}

namespace {

// One line for each row of `sql`, which names what is wrong.
void collect(Connection& connection, Audit& audit, storage::Sql sql, std::string_view what) {
  auto query = connection.prepare(sql);
  while (query.step()) audit.faults.push_back(std::string(query.text(0)) + ": " + std::string(what));
}

void check_entries(Connection& connection, Audit& audit) {
  const auto check = [&](storage::Sql sql, std::string_view what) { collect(connection, audit, sql, what); };
  check(
      "SELECT 'entry ' || id FROM entries WHERE amount_nanousd + owners_nanousd + network_nanousd + outside_nanousd "
      "<> 0",
      "its sides do not sum to zero");
  check(
      "SELECT 'entry ' || id FROM entries WHERE CASE type WHEN 'charge' THEN owners_nanousd < 0 OR network_nanousd < 0 "
      "OR outside_nanousd <> 0 WHEN 'topup' THEN owners_nanousd <> 0 OR network_nanousd <> 0 ELSE owners_nanousd <> 0 "
      "OR outside_nanousd <> 0 END",
      "it has a side that its type does not have");
  check(
      "SELECT 'entry ' || id FROM (SELECT id, balance_nanousd, sum(amount_nanousd) OVER "
      "(PARTITION BY account_id ORDER BY id) AS expected FROM entries) WHERE balance_nanousd <> expected",
      "its balance does not follow from the entries before it");
  check("SELECT 'entry ' || id FROM entries WHERE balance_nanousd < 0", "the balance is below zero");
  check(
      "SELECT 'entry ' || id FROM (SELECT id, previous_id, lag(id) OVER (PARTITION BY account_id ORDER BY id) AS "
      "expected FROM entries) WHERE previous_id IS NOT expected",
      "it does not name its account's entry before it");
  check(
      "SELECT 'account ' || public_id FROM accounts a LEFT JOIN (SELECT account_id, max(id) AS id FROM entries WHERE "
      "id "
      "<= (SELECT entry_id FROM ledger_mark) GROUP BY account_id) e ON e.account_id = a.id WHERE a.last_entry_id IS "
      "NOT "
      "e.id",
      "its chain of entries does not end where it should");
  check("SELECT 'the mark' FROM ledger_mark WHERE entry_id > (SELECT coalesce(max(id), 0) FROM entries)",
        "it names an entry that is not there");
  check("SELECT 'entry ' || id FROM entries WHERE account_id NOT IN (SELECT id FROM accounts)", "it has no account");
  check("SELECT 'hold ' || id FROM holds WHERE account_id NOT IN (SELECT id FROM accounts)", "it has no account");
  check("SELECT 'hold ' || id FROM holds WHERE job_id IN (SELECT job_id FROM entries)", "its job was charged already");
  check("SELECT 'job ' || job_id FROM entries WHERE job_id IS NOT NULL GROUP BY job_id HAVING count(*) > 1",
        "settled more than once");
  check("SELECT 'entry ' || id FROM entries WHERE type = 'charge' AND (amount_nanousd > 0 OR job_id IS NULL)",
        "a charge that adds credits or has no job");
  check(
      "SELECT 'entry ' || e.id FROM entries e LEFT JOIN payments p ON p.id = e.job_id AND p.account_id = e.account_id "
      "AND p.units * 1000 = e.amount_nanousd WHERE e.type = 'topup' AND p.id IS NULL",
      "a top-up without a payment of that amount");
  check(
      "SELECT 'payment ' || id FROM payments WHERE state = 'credited' AND NOT EXISTS "
      "(SELECT 1 FROM entries WHERE job_id = payments.id)",
      "it counts as credited, and no entry says so");
}

void check_seals(Connection& connection, Audit& audit) {
  auto row = connection.prepare(
      "SELECT owner_id, entry_id, amount_nanousd, prompt_tokens, completion_tokens, created_at, node_id, seal FROM "
      "earnings");
  while (row.step()) {
    const auto seal = seal_of(
        {row.integer(0), row.integer(1), row.integer(2), row.integer(3), row.integer(4), row.integer(5)}, row.text(6));
    if (seal == row.integer(7)) continue;
    audit.faults.push_back("earnings of entry " + std::to_string(row.integer(1)) + ": not as they were written");
  }
}

void check_earnings(Connection& connection, Audit& audit) {
  const auto check = [&](storage::Sql sql, std::string_view what) { collect(connection, audit, sql, what); };
  check(
      "SELECT 'entry ' || e.id FROM entries e LEFT JOIN (SELECT entry_id, sum(amount_nanousd) AS earned FROM earnings "
      "GROUP BY entry_id) g ON g.entry_id = e.id WHERE e.owners_nanousd <> coalesce(g.earned, 0)",
      "its owners' side is not what they earned from it");
  check("SELECT 'earnings of entry ' || entry_id FROM earnings WHERE entry_id NOT IN (SELECT id FROM entries)",
        "there is no such entry");
  check(
      "SELECT 'earnings of entry ' || entry_id FROM (SELECT entry_id, total_nanousd, sum(amount_nanousd) OVER "
      "(PARTITION BY owner_id, node_id ORDER BY entry_id) AS expected FROM earnings) WHERE total_nanousd <> expected",
      "their total does not follow from those before");
  check("SELECT 'earnings of entry ' || entry_id FROM earnings WHERE owner_id NOT IN (SELECT id FROM accounts)",
        "their owner has no account");
  check_seals(connection, audit);
}

// The accounts' and the owners' sides by what their last rows say, not by the sums of their entries.
void check_sides(Connection& connection, Audit& audit) {
  const auto sum = [&](storage::Sql sql) { return Money::nanousd(number(connection, sql)); };
  audit.balances =
      sum("SELECT coalesce(sum(balance_nanousd), 0) FROM entries WHERE id IN (SELECT max(id) FROM entries GROUP BY "
          "account_id)");
  audit.owners =
      sum("SELECT coalesce(sum(total_nanousd), 0) FROM earnings e WHERE entry_id = (SELECT max(entry_id) FROM earnings "
          "WHERE owner_id = e.owner_id AND node_id = e.node_id)");
  audit.network = sum("SELECT coalesce(sum(network_nanousd), 0) FROM entries");
  audit.outside = sum("SELECT coalesce(sum(outside_nanousd), 0) FROM entries");
  if (audit.balances + audit.owners + audit.network + audit.outside != Money()) {
    audit.faults.emplace_back("the ledger: accounts, owners, network and outside do not sum to zero");
  }
}

}  // namespace

Audit audit_books(Connection& connection) {
  Audit audit;
  audit.accounts = static_cast<std::size_t>(number(connection, "SELECT count(*) FROM accounts"));
  audit.entries = static_cast<std::size_t>(number(connection, "SELECT count(*) FROM entries"));
  audit.holds = static_cast<std::size_t>(number(connection, "SELECT count(*) FROM holds"));
  check_entries(connection, audit);
  check_earnings(connection, audit);
  check_sides(connection, audit);
  audit_receipts(connection, audit.faults);
  collect(connection, audit, "SELECT integrity_check FROM pragma_integrity_check WHERE integrity_check <> 'ok'",
          "the file is damaged");
  return audit;
}

}  // namespace turnpike::ledger
