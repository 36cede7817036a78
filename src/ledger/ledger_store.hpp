// What the ledger asks of the database. All SQL of the ledger is in ledger_store.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "turnpike/events/event.hpp"
#include "turnpike/ledger/ledger.hpp"
#include "turnpike/storage/database.hpp"

namespace turnpike::ledger {

// What an owner earns from an entry.
struct Payout {
  AccountId owner = 0;
  std::string node_id = {};
  Money amount = {};  // more than zero
  TokenCounts tokens = {};
};

class ReceiptTail;

// A line of history to be written, with what owners earn by it, what is told of it and, of a charge, its receipt. With
// `hold_id`, the hold that it settles was journaled and its row goes in the same transaction.
struct NewEntry final : storage::Operation {
  void run(storage::Connection& connection) override;

  std::int64_t id = 0;
  std::int64_t previous_id = 0;  // the account's entry before it; 0: none
  AccountId account = 0;
  EntryType type = EntryType::charge;
  Money amount;   // signed
  Money balance;  // after it
  std::string job_id;
  std::string model;
  std::optional<Basis> basis;
  TokenCounts tokens;
  std::string node_id;
  std::string note;
  WallTime created_at{};
  std::optional<std::int64_t> hold_id;
  std::vector<events::Event> events;           // all of them at created_at
  std::vector<Payout> payouts;                 // one an owner and node
  std::string receipt;                         // encode_facts(); empty: it has none
  std::int64_t receipt_index = 0;              // its place in the log
  std::shared_ptr<ReceiptTail> tail;           // where it is added; null only where there is no receipt
  std::shared_ptr<storage::Operation> beside;  // run behind it; null: nothing
};

struct NewAccount final : storage::Operation {
  explicit NewAccount(Account opened) : account(std::move(opened)) {}
  void run(storage::Connection& connection) override;
  Account account;
};

// Holds that have been open for a while.
struct JournalHolds final : storage::Operation {
  struct Row {
    std::int64_t id;
    AccountId account;
    Money amount;
    std::string job_id;
    std::string model;
    WallTime created_at;
  };
  void run(storage::Connection& connection) override;
  std::vector<Row> rows;
};

struct ForgetHold final : storage::Operation {
  explicit ForgetHold(std::int64_t hold_id) : id(hold_id) {}
  void run(storage::Connection& connection) override;
  std::int64_t id;
};

// A job that ended without a charge, and what is told of it.
struct UnpaidJob final : storage::Operation {
  void run(storage::Connection& connection) override;
  AccountId account = 0;
  std::string job_id;
  std::string model;
  Money held;
  std::string code;
  WallTime created_at{};
  WallTime ended_at{};
  std::size_t most = 0;  // rows that are kept
  std::optional<events::Event> event;
};

struct ForgetUnpaidJobs final : storage::Operation {
  explicit ForgetUnpaidJobs(WallTime then) : before(then) {}
  void run(storage::Connection& connection) override;
  WallTime before;
};

struct SetLowThreshold final : storage::Operation {
  SetLowThreshold(AccountId whose, std::optional<Money> below) : account(whose), threshold(below) {}
  void run(storage::Connection& connection) override;
  AccountId account;
  std::optional<Money> threshold;
};

// Where accounts' chains of entries end, for the next start to find.
struct MarkEnds final : storage::Operation {
  struct Row {
    AccountId account;
    std::int64_t last_entry_id;
  };
  void run(storage::Connection& connection) override;
  std::vector<Row> rows;           // every account that had an entry since the last mark
  std::int64_t last_entry_id = 0;  // of all accounts
};

// From the entry before `before`, which must be the account's, or from its `newest`; 0: it has none.
struct ReadHistory final : storage::Operation {
  ReadHistory(AccountId whose, std::int64_t last, std::size_t most, std::optional<std::int64_t> below)
      : account(whose), newest(last), limit(most), before(below) {}
  void run(storage::Connection& connection) override;
  AccountId account;
  std::int64_t newest;
  std::size_t limit;
  std::optional<std::int64_t> before;
  HistoryPage page;
};

struct ReadEarnings final : storage::Operation {
  ReadEarnings(AccountId whose, std::string_view node, std::size_t most, std::optional<std::int64_t> below)
      : owner(whose), node_id(node), limit(most), before(below) {}
  void run(storage::Connection& connection) override;
  AccountId owner;
  std::string node_id;
  std::size_t limit;
  std::optional<std::int64_t> before;
  EarningsPage page;
};

// As ReadHistory, but for charges that fit the filter; of so many entries at most.
struct ReadPaidJobs final : storage::Operation {
  ReadPaidJobs(AccountId whose, JobFilter wanted, std::int64_t last, std::size_t most,
               std::optional<std::int64_t> below)
      : account(whose), filter(std::move(wanted)), newest(last), limit(most), before(below) {}
  void run(storage::Connection& connection) override;
  AccountId account;
  JobFilter filter;
  std::int64_t newest;
  std::size_t limit;
  std::optional<std::int64_t> before;
  JobPage page;
};

struct ReadUnpaidJobs final : storage::Operation {
  ReadUnpaidJobs(AccountId whose, JobFilter wanted, std::size_t most, std::optional<std::int64_t> below)
      : account(whose), filter(std::move(wanted)), limit(most), before(below) {}
  void run(storage::Connection& connection) override;
  AccountId account;
  JobFilter filter;
  std::size_t limit;
  std::optional<std::int64_t> before;
  JobPage page;
};

struct ReadJob final : storage::Operation {
  ReadJob(AccountId whose, std::string_view job) : account(whose), job_id(job) {}
  void run(storage::Connection& connection) override;
  AccountId account;
  std::string job_id;
  std::optional<EndedJob> page;  // what is found
};

struct StoredAccount {
  Account account;
  Money balance;
  std::int64_t last_entry_id = 0;
  std::uint64_t day_tokens = 0;
  std::optional<Money> low_threshold = {};
};

// Everything the ledger needs at start; drops the holds that were left.
struct Opening {
  std::vector<StoredAccount> accounts;
  std::int64_t last_entry_id = 0;
  std::int64_t last_hold_id = 0;
  std::int64_t receipts = 0;  // in the log
  std::vector<JournalHolds::Row> left_holds;
};
// `day`: since when to count the accounts' tokens. The jobs of the holds that are left end `now`, as failed.
Opening load(storage::Connection& connection, WallTime day, WallTime now);

// Brings what earlier runs wrote ahead into the tables, unless it is there. To be handed to Database::replay; keep one
// for the whole of it.
class CatchUp {
 public:
  // Throws StorageError when the record does not follow from what is stored.
  void apply(storage::Connection& connection, std::string_view record);
  [[nodiscard]] std::size_t entries() const { return entries_; }  // brought in

 private:
  struct End {
    std::int64_t entry_id;
    Money balance;
  };
  End& end_of(storage::Connection& connection, AccountId account);

  std::optional<std::int64_t> last_entry_;  // stored
  std::int64_t receipts_ = 0;               // stored, once last_entry_ is known
  std::shared_ptr<ReceiptTail> tail_;
  std::unordered_map<AccountId, End> ends_;
  std::size_t entries_ = 0;
};

// The account's entry before its entry `id`; 0: there is none, or no such entry.
[[nodiscard]] std::int64_t entry_before(storage::Connection& connection, AccountId account, std::int64_t id);

Audit audit_books(storage::Connection& connection);

}  // namespace turnpike::ledger
