// Accounts, holds and charges. The balances in memory are the truth while running; the database is their journal, and
// the truth at start.
//
// Thread: everything here is called on the loop's thread. Nothing blocks but Ledger::open.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "turnpike/base/clock.hpp"
#include "turnpike/base/error.hpp"
#include "turnpike/ledger/money.hpp"
#include "turnpike/ledger/price.hpp"
#include "turnpike/ledger/receipt.hpp"

namespace turnpike::events {
class Subscriptions;
}

namespace turnpike::storage {
class Connection;
class Database;
class Operation;
}  // namespace turnpike::storage

namespace turnpike::ledger {

using AccountId = std::int64_t;  // the row id; `Account::public_id` is what the wire shows

// Why a charge is what it is: as the node claimed; its claim was over the bound and the bound was charged; counted from
// what was relayed (client left, or node died); nothing was charged.
enum class Basis : std::uint8_t { node_usage, bounded, relayed, none };
[[nodiscard]] std::string_view to_string(Basis basis);

enum class EntryType : std::uint8_t { topup, grant, charge, adjustment };
[[nodiscard]] std::string_view to_string(EntryType type);

// The beginning of a time's day, in UTC.
[[nodiscard]] inline WallTime day_of(WallTime time) {
  return std::chrono::floor<std::chrono::days>(time);
}

struct Limits {
  std::size_t max_accounts = 1'000'000;
  std::size_t max_open_holds = 65'536;                 // more: service_unavailable
  std::chrono::milliseconds hold_journal_delay{1000};  // a hold open for longer is written down
  std::size_t mark_every = 16'384;                     // entries: so many are looked through at a start, at most
  Money low_threshold = {};                            // of accounts that have none of their own; zero: none
  std::size_t max_unpaid_jobs = 1'000'000;             // that are remembered, of all accounts; the oldest go first
  std::chrono::seconds unpaid_retention{30 * 86'400};  // how long they are
};

struct Account {
  AccountId id = 0;
  std::string public_id = {};  // "acct_" + 20 characters of base62
  std::string name = {};       // free text of the operator; may be empty
  WallTime created_at{};
};

// What a hold is for.
struct JobFacts {
  std::string_view job_id;  // unique: no two charges carry the same one
  std::string_view model;
};

// What one node did for a job, and who earns by it. An owner's share is as it was when the node took the request.
struct Served {
  std::string_view node_id;
  TokenCounts tokens = {};             // of the charge's
  Money cost = {};                     // of these tokens at the request's price: the node's weight beside the others
  AccountId owner = 0;                 // an account that is there, or 0: nobody, and the network keeps it all
  std::uint32_t share_millionths = 0;  // of its part of the charge, for the owner
};

// What to charge on capture.
struct Charge {
  Money amount;  // 0 to the hold's amount; more is cut to it
  Basis basis = Basis::none;
  TokenCounts tokens = {};
  std::span<const Served> nodes = {};  // in the order they served; copied
  Evidence evidence = {};              // for the receipt
  // Run in the charge's transaction. Where the program ends before that, a start must find by the charge that it was
  // not, and make up for it.
  std::shared_ptr<storage::Operation> beside = nullptr;
};

// A job that ended without a charge.
struct Unpaid {
  std::string_view code;  // of the error, as the wire spells it; empty: the client left before it got anything
  bool timed_out = false;
};

// One line of an account's history.
struct Entry {
  std::int64_t id = 0;  // grows with time
  EntryType type = EntryType::charge;
  Money amount;        // signed: a charge is negative
  Money balance;       // after this entry
  std::string job_id;  // of a top-up: its payment's id
  std::string model;
  std::string basis;  // to_string(Basis); empty for anything but a charge
  TokenCounts tokens;
  std::string node_id;  // several: joined by commas
  std::string note;
  WallTime created_at{};
};

struct HistoryPage {
  std::vector<Entry> entries;               // newest first
  std::optional<std::int64_t> next_cursor;  // pass as `before` for the next page; none: this was the last
};

// What an owner earned from one charge by one node.
struct Earning {
  std::int64_t entry_id = 0;
  Money amount;
  Money total;         // that this owner has earned by this node, this one among it
  TokenCounts tokens;  // of the node
  WallTime created_at{};
};

struct EarningsPage {
  Money total;                              // that this owner has earned by this node
  std::vector<Earning> earnings;            // newest first
  std::optional<std::int64_t> next_cursor;  // as of a HistoryPage
};

// A job that has a hold now.
struct RunningJob {
  std::int64_t hold_id = 0;
  std::string job_id;
  std::string model;
  Money held;
  WallTime held_at{};
};

// A job that is over. With a charge: what its entry says; without: `charge` has its id, its model and, as created_at,
// its end, and `cursor` counts other numbers.
struct EndedJob {
  std::int64_t cursor = 0;
  Entry charge;
  bool paid = true;
  std::string code;  // of an error, where it was not paid; empty: the client left
  Money held;        // zero, as is held_at, of charges from before there were receipts
  WallTime held_at{};
  std::optional<Sha256> receipt_hash = {};
};

// Which of an account's jobs are asked for.
struct JobFilter {
  std::string model = {};                // empty: any
  std::optional<WallTime> after = {};    // they ended then or later
  std::optional<WallTime> before = {};   // … and before that
  std::optional<bool> client_left = {};  // of unpaid ones: the client left, or an error ended it
};

// Some of them, newest first. A filter that lets little through ends a page early: then it has a cursor all the same.
struct JobPage {
  std::vector<EndedJob> jobs;
  std::optional<std::int64_t> next_cursor;
  std::optional<WallTime> reached = {};  // of a page that ended early: how far back it looked
};

struct Stats {
  std::size_t accounts = 0;
  std::size_t open_holds = 0;
  Money held;       // the sum of open holds
  Money set_aside;  // beside them
  std::uint64_t captures = 0;
  std::uint64_t releases = 0;
  std::uint64_t refusals = 0;           // holds refused for want of credits
  std::uint64_t low_crossings = 0;      // charges that took a balance below its account's low threshold
  std::uint64_t released_at_start = 0;  // holds that an earlier run left, with reason gateway_restart
  std::uint64_t receipts = 0;           // in the log
  std::uint64_t unpaid_forgotten = 0;   // unpaid jobs that storage, being behind, did not take
};

// A charge that was made.
struct Captured {
  Money balance;  // after it
  WallTime at{};
  std::shared_ptr<storage::Operation> pending;  // null: it is durable; otherwise await Ledger::written()
};

class Ledger;
struct OpenHold;

// Credits set aside for one job. Settle it with Ledger::capture or Ledger::release; destroying an unsettled hold
// releases it. Must not outlive its ledger.
class Hold {
 public:
  Hold() = default;  // empty: valid() is false
  Hold(Hold&& other) noexcept;
  Hold& operator=(Hold&& other) noexcept;
  Hold(const Hold&) = delete;
  Hold& operator=(const Hold&) = delete;
  ~Hold();

  [[nodiscard]] bool valid() const { return open_ != nullptr; }
  // The rest requires valid().
  [[nodiscard]] Money amount() const;
  [[nodiscard]] AccountId account() const;
  [[nodiscard]] std::int64_t id() const;
  [[nodiscard]] WallTime held_at() const;

 private:
  friend class Ledger;
  Hold(Ledger& ledger, OpenHold& open) : ledger_(&ledger), open_(&open) {}
  Ledger* ledger_ = nullptr;
  OpenHold* open_ = nullptr;
};

class Ledger {
 public:
  // Loads accounts and balances; blocks, so call it at start only. Holds that an earlier run left open are released
  // with the reason gateway_restart, logged and counted, and their jobs have failed with it. Errors: internal_error
  // when the database cannot be read or does not add up, service_unavailable when there are more accounts than the
  // limit. `subscriptions`: who is told of credits that come in; null: nobody.
  [[nodiscard]] static Result<std::unique_ptr<Ledger>> open(storage::Database& database, const Clock& clock,
                                                            Limits limits,
                                                            const events::Subscriptions* subscriptions = nullptr);
  ~Ledger();
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;

  // Sets `upper_bound` aside, at once and without a write: no race can overdraw, for there is none. Errors:
  // insufficient_credits when more than is available; not_found when there is no such account; service_unavailable when
  // the writer is poisoned, its queue is full or too many holds are open.
  [[nodiscard]] Result<Hold> hold(AccountId account, Money upper_bound, JobFacts job);

  // Charges at most the hold's amount and gives the rest back. Owners of the nodes earn their shares by the same entry
  // (split.hpp), apart from their balances; the network keeps what is left. Balance, journal and write queue are
  // changed by the call itself: a caller that dies afterwards cancels nothing. Errors: service_unavailable, with the
  // hold settled all the same. Requires hold.valid().
  [[nodiscard]] Result<Captured> charge(Hold hold, Charge charge);
  // Completes when the charge is durable; service_unavailable when the commit failed.
  [[nodiscard]] boost::asio::awaitable<Result<void>> written(Captured captured);
  // Both: the balance after it, once it is durable.
  [[nodiscard]] boost::asio::awaitable<Result<Money>> capture(Hold hold, Charge charge);

  // Charges nothing. `reason` is for the log. An empty hold is fine.
  void release(Hold hold, std::string_view reason);

  // Work that outlives the program keeps its credits without an open hold, and keeps the amount itself: they are set
  // aside, and a start sets them aside again. For the work they are taken up as a hold, made at `held_at`; that cannot
  // fail.
  Money set_aside(Hold hold);
  void set_aside(AccountId account, Money amount);
  [[nodiscard]] Hold take_up(AccountId account, Money amount, JobFacts job, WallTime held_at);
  // They are the account's again.
  void give_back(AccountId account, Money amount);
  // Charges nothing, and remembers for a while that the job was. Nothing waits for the write. An event job.failed, or
  // job.timeout, is of it. Requires hold.valid().
  void end_unpaid(Hold hold, Unpaid why);

  // Adds credits (topup, grant: more than zero) or corrects a balance (adjustment: either sign, not below what is
  // held). Effective by the call, durable when the awaitable completes with the balance after it. Errors: not_found,
  // invalid_request, service_unavailable.
  [[nodiscard]] boost::asio::awaitable<Result<Money>> grant(AccountId account, Money amount, std::string_view note,
                                                            EntryType type = EntryType::grant);

  // Adds what a payment brought in, as grant() does. `payment_id` is unique among payments and jobs: no payment is
  // credited twice, whatever goes wrong above. Call it once a payment. `transaction` is kept as the entry's note. An
  // event credit.topup is of the entry's transaction.
  [[nodiscard]] boost::asio::awaitable<Result<Money>> top_up(AccountId account, Money amount,
                                                             std::string_view payment_id, std::string_view transaction);

  // Opens an account with no credits. Errors: service_unavailable.
  [[nodiscard]] boost::asio::awaitable<Result<Account>> create_account(std::string_view name);

  // The same by the call alone, for a caller that writes more before it waits: durable with the next write that is
  // waited for, since writes take effect in their order. Errors: service_unavailable.
  [[nodiscard]] Result<Account> open_account(std::string_view name);

  // The account with this public id, or this row id; nullptr when there is none. Good as long as the ledger.
  [[nodiscard]] const Account* find(std::string_view public_id) const;
  [[nodiscard]] const Account* find(AccountId account) const;

  // Below which balance an account is told so, by the event credit.low: once each time that a charge takes the balance
  // from there or above to below. nullopt: as Limits::low_threshold; zero: never. Durable when the awaitable completes.
  // Errors: not_found, invalid_request (below zero), service_unavailable.
  [[nodiscard]] boost::asio::awaitable<Result<void>> set_low_threshold(AccountId account,
                                                                       std::optional<Money> threshold);
  // The account's own, if it has one; and what counts for it.
  [[nodiscard]] std::optional<Money> own_low_threshold(AccountId account) const;
  [[nodiscard]] Money low_threshold(AccountId account) const;

  // Zero for an account that is not there.
  [[nodiscard]] Money available(AccountId account) const;  // balance less what is held
  [[nodiscard]] Money balance(AccountId account) const;

  // Tokens that the account was charged for since the day began, in UTC; known again after a restart.
  [[nodiscard]] std::uint64_t tokens_today(AccountId account) const;

  // Entries from the one before `before`, a page's next_cursor (none: from the newest), newest first, at most `limit`
  // (1 to 200, cut to that). Nothing for a cursor that is not of the account's.
  [[nodiscard]] boost::asio::awaitable<Result<HistoryPage>> history(AccountId account, int limit,
                                                                    std::optional<std::int64_t> before);

  // The account's jobs that have a hold, newest first.
  [[nodiscard]] std::vector<RunningJob> running_jobs(AccountId account) const;

  // Those that were charged, or that were not, as history() pages it.
  [[nodiscard]] boost::asio::awaitable<Result<JobPage>> paid_jobs(AccountId account, JobFilter filter, int limit,
                                                                  std::optional<std::int64_t> before);
  [[nodiscard]] boost::asio::awaitable<Result<JobPage>> unpaid_jobs(AccountId account, JobFilter filter, int limit,
                                                                    std::optional<std::int64_t> before);
  // One that is over; nullopt: the account has no such job.
  [[nodiscard]] boost::asio::awaitable<Result<std::optional<EndedJob>>> ended_job(AccountId account,
                                                                                  std::string_view job_id);

  // Forgets unpaid jobs of which Limits::unpaid_retention is over. A timer calls it.
  void forget_unpaid_jobs();

  // What `owner` has earned by a node, as history() pages it; nothing for whoever earned nothing.
  [[nodiscard]] boost::asio::awaitable<Result<EarningsPage>> earnings(AccountId owner, std::string_view node_id,
                                                                      int limit, std::optional<std::int64_t> before);

  // Writes down holds that have been open for longer than Limits::hold_journal_delay, in one batch. A timer calls it
  // (docs/decisions/0002-lazy-hold-journal.md).
  void journal_open_holds(Instant now);

  // True once a commit failed: no paid work is accepted until a restart.
  [[nodiscard]] bool poisoned() const;
  [[nodiscard]] Stats stats() const;

 private:
  friend class Hold;
  struct State;
  explicit Ledger(std::unique_ptr<State> state);
  void release_open(OpenHold& open, std::string_view reason);
  boost::asio::awaitable<Result<Money>> add(AccountId account, Money amount, EntryType type, std::string_view job_id,
                                            std::string_view note);
  std::unique_ptr<State> state_;
};

// Whether a job was charged. Thread: the database's. Throws storage::StorageError.
[[nodiscard]] bool is_charged(storage::Connection& connection, std::string_view job_id);

// What `turnpike ledger check` found; no faults: the books are right.
struct Audit {
  std::size_t accounts = 0;
  std::size_t entries = 0;
  std::size_t holds = 0;  // holds on disk: left by a crash, released at the next start
  // The trial balance: what each side has. They sum to zero.
  Money balances;                   // of accounts
  Money owners;                     // what owners of nodes have earned
  Money network;                    // what it kept of charges, less what it granted
  Money outside;                    // below zero: what top-ups brought in
  std::vector<std::string> faults;  // one line each
};

// Proves that every entry sums to zero over its sides and so does the whole ledger, that every balance is the sum of
// its entries and is not below zero, that each entry's balance follows from the one before, that what owners earned
// from an entry is their side of it, that earnings are as they were written, that no hold is an orphan and that no job
// was charged twice. Blocks.
[[nodiscard]] Result<Audit> audit(storage::Database& database);

}  // namespace turnpike::ledger
