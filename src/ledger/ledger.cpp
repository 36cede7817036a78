#include "turnpike/ledger/ledger.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/container/small_vector.hpp>
#include <cassert>
#include <functional>
#include <list>
#include <unordered_map>
#include <utility>

#include "ledger_events.hpp"
#include "ledger_record.hpp"
#include "ledger_store.hpp"
#include "receipt_store.hpp"
#include "turnpike/base/random.hpp"
#include "turnpike/events/subscriptions.hpp"
#include "turnpike/ledger/split.hpp"
#include "turnpike/storage/database.hpp"

namespace turnpike::ledger {
namespace {

constexpr std::size_t kPublicIdLength = 20;
constexpr std::size_t kMostSpareHolds = 1024;
constexpr int kMostEntriesAPage = 200;

struct OpenAccount {
  Account account;
  Money balance;
  Money held = {};  // never more than the balance
  WallTime day{};
  std::uint64_t day_tokens = 0;             // of that day
  std::int64_t last_entry_id = 0;           // 0: it has none
  bool unmarked = false;                    // … and it is younger than the last mark
  std::optional<Money> low_threshold = {};  // its own
};

boost::asio::awaitable<Result<Money>> ready(Result<Money> result) {
  co_return result;
}

// `value`, once the operation is over; null: it is.
template <class T>
boost::asio::awaitable<Result<T>> durable(std::shared_ptr<storage::Operation> operation, T value) {
  if (operation == nullptr) co_return value;
  Result<void> outcome = co_await storage::finished(std::move(operation));
  if (!outcome) co_return std::unexpected(std::move(outcome).error());
  co_return value;
}

// The page that a question finds.
template <class Page, class Question>
boost::asio::awaitable<Result<Page>> answered(storage::Database& database, std::shared_ptr<Question> question) {
  if (auto queued = database.read(question); !queued) co_return std::unexpected(std::move(queued).error());
  Result<void> outcome = co_await storage::finished(question);
  if (!outcome) co_return std::unexpected(std::move(outcome).error());
  co_return std::move(question->page);
}

template <class T>
boost::asio::awaitable<Result<T>> refused(Error error) {
  co_return std::unexpected(std::move(error));
}

Error unavailable(std::string message) {
  return {.fault = Fault::service_unavailable, .message = std::move(message), .retry_after = std::chrono::seconds(1)};
}

// Brings in what an earlier run wrote ahead and did not live to commit.
Result<void> catch_up(storage::Database& database) {
  CatchUp journal;
  auto done = database.replay(
      [&](storage::Connection& connection, std::string_view record) { journal.apply(connection, record); });
  if (done && journal.entries() > 0) spdlog::info("ledger: {} entries brought in from the journal", journal.entries());
  return done;
}

void count_tokens(OpenAccount& account, const NewEntry& charge) {
  if (const auto day = day_of(charge.created_at); day != account.day) {
    account.day = day;
    account.day_tokens = 0;
  }
  account.day_tokens += charge.tokens.prompt + charge.tokens.completion;
}

std::string joined_ids(std::span<const Served> nodes) {
  std::string ids;
  for (const Served& node : nodes) {
    if (!ids.empty()) ids += ',';
    ids += node.node_id;
  }
  return ids;
}

// What `charged` brings the owners of the nodes.
std::vector<Payout> payouts_of(Money charged, std::span<const Served> nodes) {
  std::vector<Payout> payouts;
  if (std::ranges::all_of(nodes, [](const Served& node) { return node.owner == 0; })) return payouts;
  boost::container::small_vector<Part, 4> parts;
  for (const Served& node : nodes) parts.push_back({.cost = node.cost, .share_millionths = node.share_millionths});
  split(charged, parts);
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const Served& node = nodes[i];
    if (node.owner == 0 || parts[i].earned == Money()) continue;
    // A node whose place was changed on the way may have served twice.
    const auto same = [&](const Payout& other) { return other.owner == node.owner && other.node_id == node.node_id; };
    auto payout = std::ranges::find_if(payouts, same);
    if (payout == payouts.end()) {
      payout = payouts.insert(payout, {.owner = node.owner, .node_id = std::string(node.node_id)});
    }
    payout->amount += parts[i].earned;
    payout->tokens.prompt += node.tokens.prompt;
    payout->tokens.completion += node.tokens.completion;
  }
  return payouts;
}

Error no_such_account() {
  return {.fault = Fault::not_found, .message = "There is no such account."};
}

}  // namespace

std::string_view to_string(Basis basis) {
  switch (basis) {
    case Basis::node_usage:
      return "node_usage";
    case Basis::bounded:
      return "bounded";
    case Basis::relayed:
      return "relayed";
    case Basis::none:
      break;
  }
  return "none";
}

std::string_view to_string(EntryType type) {
  switch (type) {
    case EntryType::topup:
      return "topup";
    case EntryType::grant:
      return "grant";
    case EntryType::charge:
      return "charge";
    case EntryType::adjustment:
      break;
  }
  return "adjustment";
}

struct OpenHold {
  std::list<OpenHold>::iterator self;
  std::int64_t id = 0;
  OpenAccount* account = nullptr;
  Money amount;
  std::string job_id;
  std::string model;
  Instant opened{};
  WallTime created_at{};
  std::list<OpenHold>* list = nullptr;  // where it is
  void move_to(std::list<OpenHold>& to) {
    to.splice(to.end(), *list, self);
    list = &to;
  }
};

struct Ledger::State {
  State(storage::Database& where, const Clock& time, Limits most, const events::Subscriptions* told)
      : database(where), clock(time), limits(most), subscriptions(told) {}

  OpenAccount* find(AccountId id) {
    const auto found = accounts.find(id);
    return found == accounts.end() ? nullptr : &found->second;
  }
  OpenAccount& add(Account account, Money balance) {
    const AccountId id = account.id;
    OpenAccount& added = accounts[id];
    added = {.account = std::move(account), .balance = balance};
    by_public_id.emplace(added.account.public_id, &added);
    last_account_id = std::max(last_account_id, id);
    return added;
  }
  [[nodiscard]] Money low_threshold(const OpenAccount& account) const {
    return account.low_threshold.value_or(limits.low_threshold);
  }
  bool add_low_event(const OpenAccount& payer, NewEntry& charge);
  [[nodiscard]] bool wants(AccountId account, events::Type type) const {
    return subscriptions != nullptr && subscriptions->wants(account, type);
  }
  void add_receipt(NewEntry& charge, const OpenHold& open, const Charge& what);
  OpenHold& open_hold(OpenAccount& account, Money amount, JobFacts job);
  [[nodiscard]] bool is_journaled(const OpenHold& open) const { return open.list == &journaled; }
  void close_hold(OpenHold& open);
  void drop_hold(OpenHold& open);
  std::shared_ptr<NewEntry> new_entry(OpenAccount& account, EntryType type, Money amount);
  void mark_ends();
  struct Opened {
    Account account;
    std::shared_ptr<storage::Operation> pending;  // null: durable
  };
  Result<Opened> open_account(std::string_view name);
  template <class Change>
  Result<std::shared_ptr<storage::Operation>> write_down(std::shared_ptr<Change> change);

  storage::Database& database;
  const Clock& clock;
  const Limits limits;
  const events::Subscriptions* subscriptions;  // null: nobody is told
  std::unordered_map<AccountId, OpenAccount> accounts;
  std::unordered_map<std::string_view, OpenAccount*> by_public_id;
  AccountId last_account_id = 0;
  std::int64_t last_entry_id = 0;
  std::int64_t last_mark = 0;          // the last entry when the ends of the accounts' chains were written
  std::vector<OpenAccount*> unmarked;  // with entries since then
  std::int64_t last_hold_id = 0;
  // A hold moves from `young` (oldest first) to `journaled` when it is written down, and to `spare` when it is settled.
  std::list<OpenHold> young;
  std::list<OpenHold> journaled;
  std::list<OpenHold> taken_up;  // written down by whoever keeps their jobs
  std::list<OpenHold> spare;
  std::shared_ptr<ReceiptTail> tail = std::make_shared<ReceiptTail>();
  ReceiptFacts facts;  // their memory is used again
  Stats stats;
  std::string record;  // its memory is used again
};

// Writes a change that is true already. Null: it is durable, most often by this call
// (docs/decisions/0008-a-journal-before-the-database.md); otherwise when the operation is over.
template <class Change>
Result<std::shared_ptr<storage::Operation>> Ledger::State::write_down(std::shared_ptr<Change> change) {
  write_record(record, *change);
  const auto written = database.write_ahead(change, record);
  if (!written) return std::unexpected(written.error());
  if (*written) change = nullptr;
  return change;
}

OpenHold& Ledger::State::open_hold(OpenAccount& account, Money amount, JobFacts job) {
  if (spare.empty()) spare.emplace_front();
  young.splice(young.end(), spare, spare.begin());
  OpenHold& open = young.back();
  open.self = std::prev(young.end());
  open.list = &young;
  open.id = ++last_hold_id;
  open.account = &account;
  open.amount = amount;
  open.job_id = job.job_id;
  open.model = job.model;
  open.opened = clock.now();
  open.created_at = clock.wall();
  account.held += amount;
  stats.held += amount;
  ++stats.open_holds;
  return open;
}

void Ledger::State::close_hold(OpenHold& open) {
  open.account->held -= open.amount;
  stats.held -= open.amount;
  --stats.open_holds;
  if (spare.size() < kMostSpareHolds) {
    spare.splice(spare.begin(), *open.list, open.self);
  } else {
    open.list->erase(open.self);
  }
}

// Without a charge: what was written down of it goes.
void Ledger::State::drop_hold(OpenHold& open) {
  if (is_journaled(open)) {
    // When the database is poisoned the row stays, and the next start drops it.
    std::ignore = database.write(std::make_shared<ForgetHold>(open.id), storage::Queueing::guaranteed);
  }
  close_hold(open);
}

// Changes the balance and makes the line that says so; the caller adds the details and queues it.
std::shared_ptr<NewEntry> Ledger::State::new_entry(OpenAccount& account, EntryType type, Money amount) {
  // Behind the entries so far, which are queued.
  if (static_cast<std::size_t>(last_entry_id - last_mark) >= limits.mark_every) mark_ends();
  account.balance += amount;
  auto entry = std::make_shared<NewEntry>();
  entry->id = ++last_entry_id;
  entry->previous_id = std::exchange(account.last_entry_id, entry->id);
  if (!std::exchange(account.unmarked, true)) unmarked.push_back(&account);
  entry->account = account.account.id;
  entry->type = type;
  entry->amount = amount;
  entry->balance = account.balance;
  entry->created_at = clock.wall();
  return entry;
}

// Whether the account is to be told of this charge, which was made and bears the event then: it took the balance below
// the account's threshold.
bool Ledger::State::add_low_event(const OpenAccount& payer, NewEntry& charge) {
  const Money threshold = low_threshold(payer);
  if (charge.balance >= threshold || charge.balance - charge.amount < threshold) return false;
  ++stats.low_crossings;
  if (!wants(charge.account, events::Type::credit_low)) return false;
  charge.events.push_back(low_event(charge, threshold));
  return true;
}

// The next in the log; what it says is fixed here.
void Ledger::State::add_receipt(NewEntry& charge, const OpenHold& open, const Charge& what) {
  facts.account = open.account->account.public_id;
  facts.evidence = what.evidence;
  facts.held = open.amount;
  facts.held_at = open.created_at;
  facts.nodes.clear();
  for (const Served& node : what.nodes) facts.nodes.push_back({.id = node.node_id, .tokens = node.tokens});
  encode_facts(charge.receipt, facts);
  charge.receipt_index = static_cast<std::int64_t>(stats.receipts++);
  charge.tail = tail;
}

void Ledger::State::mark_ends() {
  auto mark = std::make_shared<MarkEnds>();
  mark->last_entry_id = last_mark = last_entry_id;
  mark->rows.reserve(unmarked.size());
  for (OpenAccount* account : std::exchange(unmarked, {})) {
    account->unmarked = false;
    mark->rows.push_back({.account = account->account.id, .last_entry_id = account->last_entry_id});
  }
  // When it cannot be written, the next start looks through more.
  std::ignore = database.write(std::move(mark), storage::Queueing::guaranteed);
}

Result<Ledger::State::Opened> Ledger::State::open_account(std::string_view name) {
  if (database.poisoned()) return std::unexpected(unavailable("Storage failed; no change is accepted."));
  if (accounts.size() >= limits.max_accounts) {
    return std::unexpected(unavailable("There are as many accounts as ledger.max_accounts allows."));
  }
  Account account{.id = last_account_id + 1,
                  .public_id = "acct_" + random_base62(kPublicIdLength),
                  .name = std::string(name),
                  .created_at = clock.wall()};
  auto pending = write_down(std::make_shared<NewAccount>(account));
  if (!pending) return std::unexpected(std::move(pending).error());
  add(account, Money());
  return Opened{.account = std::move(account), .pending = *std::move(pending)};
}

Hold::Hold(Hold&& other) noexcept
    : ledger_(std::exchange(other.ledger_, nullptr)), open_(std::exchange(other.open_, nullptr)) {}

Hold& Hold::operator=(Hold&& other) noexcept {
  if (this != &other) {
    if (open_ != nullptr) ledger_->release_open(*open_, "dropped");
    ledger_ = std::exchange(other.ledger_, nullptr);
    open_ = std::exchange(other.open_, nullptr);
  }
  return *this;
}

Hold::~Hold() {
  if (open_ != nullptr) ledger_->release_open(*open_, "dropped");
}

Money Hold::amount() const {
  return open_->amount;
}
AccountId Hold::account() const {
  return open_->account->account.id;
}
std::int64_t Hold::id() const {
  return open_->id;
}
WallTime Hold::held_at() const {
  return open_->created_at;
}

Ledger::Ledger(std::unique_ptr<State> state) : state_(std::move(state)) {}
Ledger::~Ledger() {
  assert(state_->stats.open_holds == 0);
}

Result<std::unique_ptr<Ledger>> Ledger::open(storage::Database& database, const Clock& clock, Limits limits,
                                             const events::Subscriptions* subscriptions) {
  Opening opening;
  if (auto caught_up = catch_up(database); !caught_up) return std::unexpected(std::move(caught_up).error());
  const auto now = clock.wall();
  const auto today = day_of(now);
  const auto loaded =
      database.run_now([&](storage::Connection& connection) { opening = load(connection, today, now); });
  if (!loaded) return std::unexpected(loaded.error());
  if (opening.accounts.size() > limits.max_accounts) {
    return fail(Fault::service_unavailable, "The database holds more accounts than ledger.max_accounts.");
  }
  auto state = std::make_unique<State>(database, clock, limits, subscriptions);
  state->accounts.reserve(opening.accounts.size());
  for (auto& [account, balance, last_entry_id, day_tokens, low_threshold] : opening.accounts) {
    OpenAccount& added = state->add(std::move(account), balance);
    added.last_entry_id = last_entry_id;
    added.day = today;
    added.day_tokens = day_tokens;
    added.low_threshold = low_threshold;
  }
  state->last_entry_id = state->last_mark = opening.last_entry_id;
  state->last_hold_id = opening.last_hold_id;
  state->stats.receipts = static_cast<std::uint64_t>(opening.receipts);
  state->stats.released_at_start = opening.left_holds.size();
  for (const auto& hold : opening.left_holds) {
    spdlog::warn("ledger: released hold of {} USD for job {}: gateway_restart", hold.amount.to_usdc(), hold.job_id);
  }
  return std::unique_ptr<Ledger>(new Ledger(std::move(state)));
}

Result<Hold> Ledger::hold(AccountId account, Money upper_bound, JobFacts job) {
  assert(upper_bound >= Money());
  OpenAccount* payer = state_->find(account);
  if (payer == nullptr) return std::unexpected(no_such_account());
  if (poisoned()) return std::unexpected(unavailable("Charges cannot be stored; no paid work is accepted."));
  // A hold is a place in the write queue: its capture must not be refused one.
  if (state_->stats.open_holds >= state_->limits.max_open_holds ||
      state_->database.waiting() >= state_->database.queue_limit()) {
    return std::unexpected(unavailable("Too much paid work at once; try again."));
  }
  if (upper_bound > payer->balance - payer->held) {
    ++state_->stats.refusals;
    return fail(Fault::insufficient_credits, "The request may cost " + upper_bound.to_usdc() + " USD; available are " +
                                                 (payer->balance - payer->held).to_usdc() + " USD.");
  }
  return Hold(*this, state_->open_hold(*payer, upper_bound, job));
}

Result<Captured> Ledger::charge(Hold hold, Charge charge) {
  assert(hold.valid() && hold.ledger_ == this);
  OpenHold& open = *std::exchange(hold.open_, nullptr);
  OpenAccount& payer = *open.account;
  Money amount = std::max(charge.amount, Money());
  if (amount > open.amount) {
    spdlog::error("ledger: charge of {} USD for job {} cut to its hold of {} USD", amount.to_usdc(), open.job_id,
                  open.amount.to_usdc());
    amount = open.amount;
  }
  auto entry = state_->new_entry(payer, EntryType::charge, -amount);
  entry->job_id.swap(open.job_id);
  entry->model.swap(open.model);
  entry->basis = charge.basis;
  entry->tokens = charge.tokens;
  entry->node_id = joined_ids(charge.nodes);
  entry->payouts = payouts_of(amount, charge.nodes);
  entry->beside = std::move(charge.beside);
  count_tokens(payer, *entry);
  if (state_->is_journaled(open)) entry->hold_id = open.id;
  const bool tell = state_->add_low_event(payer, *entry);
  const bool tell_end = state_->wants(entry->account, events::Type::job_completed);
  if (tell_end) entry->events.push_back(completed_event(*entry, open.created_at));
  state_->add_receipt(*entry, open, charge);
  state_->close_hold(open);
  ++state_->stats.captures;
  const Money balance_after = payer.balance;
  const WallTime at = entry->created_at;
  auto pending = state_->write_down(std::move(entry));
  if (!pending) return std::unexpected(std::move(pending).error());
  if (tell) state_->subscriptions->announce(payer.account.id, events::Type::credit_low);
  if (tell_end) state_->subscriptions->announce(payer.account.id, events::Type::job_completed);
  return Captured{.balance = balance_after, .at = at, .pending = *std::move(pending)};
}

boost::asio::awaitable<Result<void>> Ledger::written(Captured captured) {
  if (captured.pending == nullptr) co_return Result<void>();
  co_return co_await storage::finished(std::move(captured.pending));
}

boost::asio::awaitable<Result<Money>> Ledger::capture(Hold hold, Charge what) {
  auto captured = charge(std::move(hold), what);
  if (!captured) return refused<Money>(std::move(captured).error());
  return durable(std::move(captured->pending), captured->balance);
}

void Ledger::release(Hold hold, std::string_view reason) {
  if (hold.open_ != nullptr) release_open(*std::exchange(hold.open_, nullptr), reason);
}

void Ledger::end_unpaid(Hold hold, Unpaid why) {
  assert(hold.valid() && hold.ledger_ == this);
  const OpenHold& open = *hold.open_;
  auto job = std::make_shared<UnpaidJob>();
  job->account = open.account->account.id;
  job->job_id = open.job_id;
  job->model = open.model;
  job->held = open.amount;
  job->code = why.code;
  job->created_at = open.created_at;
  job->ended_at = state_->clock.wall();
  job->most = state_->limits.max_unpaid_jobs;
  const auto type = why.timed_out ? events::Type::job_timeout : events::Type::job_failed;
  const bool tell = state_->wants(job->account, type);
  if (tell) job->event = unpaid_event(*job, type);
  release(std::move(hold), why.code.empty() ? "client left" : why.code);
  const AccountId account = job->account;
  if (!state_->database.write(std::move(job), storage::Queueing::bounded)) {
    ++state_->stats.unpaid_forgotten;
  } else if (tell) {
    state_->subscriptions->announce(account, type);
  }
}

std::vector<RunningJob> Ledger::running_jobs(AccountId account) const {
  std::vector<RunningJob> jobs;
  for (const auto* holds : {&state_->journaled, &state_->young, &state_->taken_up}) {
    for (const OpenHold& open : *holds) {
      if (open.account->account.id != account) continue;
      jobs.push_back({.hold_id = open.id,
                      .job_id = open.job_id,
                      .model = open.model,
                      .held = open.amount,
                      .held_at = open.created_at});
    }
  }
  std::ranges::sort(jobs, std::ranges::greater(), &RunningJob::hold_id);
  return jobs;
}

void Ledger::forget_unpaid_jobs() {
  if (poisoned()) return;
  const auto before = state_->clock.wall() - state_->limits.unpaid_retention;
  std::ignore = state_->database.write(std::make_shared<ForgetUnpaidJobs>(before), storage::Queueing::bounded);
}

void Ledger::release_open(OpenHold& open, std::string_view reason) {
  spdlog::debug("ledger: released hold of {} USD for job {}: {}", open.amount.to_usdc(), open.job_id, reason);
  state_->drop_hold(open);
  ++state_->stats.releases;
}

Money Ledger::set_aside(Hold hold) {
  OpenHold& open = *std::exchange(hold.open_, nullptr);
  const AccountId account = open.account->account.id;
  const Money amount = open.amount;
  state_->drop_hold(open);
  set_aside(account, amount);
  return amount;
}

void Ledger::set_aside(AccountId account, Money amount) {
  OpenAccount* owner = state_->find(account);
  assert(owner != nullptr && amount <= owner->balance - owner->held);
  owner->held += amount;
  state_->stats.set_aside += amount;
}

Hold Ledger::take_up(AccountId account, Money amount, JobFacts job, WallTime held_at) {
  give_back(account, amount);
  OpenHold& open = state_->open_hold(*state_->find(account), amount, job);
  open.created_at = held_at;
  open.move_to(state_->taken_up);
  return Hold(*this, open);
}

void Ledger::give_back(AccountId account, Money amount) {
  OpenAccount* owner = state_->find(account);
  assert(owner != nullptr && amount <= owner->held && amount <= state_->stats.set_aside);
  owner->held -= amount;
  state_->stats.set_aside -= amount;
}

boost::asio::awaitable<Result<Money>> Ledger::grant(AccountId account, Money amount, std::string_view note,
                                                    EntryType type) {
  return add(account, amount, type, {}, note);
}

boost::asio::awaitable<Result<Money>> Ledger::top_up(AccountId account, Money amount, std::string_view payment_id,
                                                     std::string_view transaction) {
  assert(!payment_id.empty());
  return add(account, amount, EntryType::topup, payment_id, transaction);
}

boost::asio::awaitable<Result<Money>> Ledger::add(AccountId account, Money amount, EntryType type,
                                                  std::string_view job_id, std::string_view note) {
  OpenAccount* receiver = state_->find(account);
  if (receiver == nullptr) return refused<Money>(no_such_account());
  if (poisoned()) return refused<Money>(unavailable("Storage failed; no change is accepted."));
  const bool takes = type == EntryType::adjustment && amount < Money();
  if (type == EntryType::charge || (!takes && amount <= Money())) {
    return ready(fail(Fault::invalid_request, "The amount must be more than zero.", "credits"));
  }
  if (takes && (receiver->balance - receiver->held).nanousd() + amount.nanousd() < 0) {
    return ready(fail(Fault::invalid_request, "The amount is more than the account has available.", "credits"));
  }
  if (!takes && amount > Money::max() - receiver->balance) {
    return ready(fail(Fault::invalid_request, "The balance would be too large.", "credits"));
  }
  auto entry = state_->new_entry(*receiver, type, amount);
  entry->job_id = job_id;
  entry->note = note;
  const auto* told = state_->subscriptions;
  const bool tell = type == EntryType::topup && state_->wants(account, events::Type::credit_topup);
  if (tell) entry->events.push_back(topup_event(*entry, receiver->balance - receiver->held));
  const Money balance_after = receiver->balance;
  auto pending = state_->write_down(std::move(entry));
  if (!pending) return refused<Money>(std::move(pending).error());
  if (tell) told->announce(account, events::Type::credit_topup);
  return durable(*std::move(pending), balance_after);
}

boost::asio::awaitable<Result<Account>> Ledger::create_account(std::string_view name) {
  auto opened = state_->open_account(name);
  if (!opened) return refused<Account>(std::move(opened).error());
  return durable(std::move(opened->pending), std::move(opened->account));
}

Result<Account> Ledger::open_account(std::string_view name) {
  auto opened = state_->open_account(name);
  if (!opened) return std::unexpected(std::move(opened).error());
  return std::move(opened->account);
}

boost::asio::awaitable<Result<void>> Ledger::set_low_threshold(AccountId account, std::optional<Money> threshold) {
  OpenAccount* whose = state_->find(account);
  if (whose == nullptr) co_return std::unexpected(no_such_account());
  if (threshold && *threshold < Money()) co_return fail(Fault::invalid_request, "A threshold is not below zero.");
  auto change = std::make_shared<SetLowThreshold>(account, threshold);
  if (auto queued = state_->database.write(change, storage::Queueing::bounded); !queued) co_return queued;
  auto written = co_await storage::finished(change);
  if (written) whose->low_threshold = threshold;
  co_return written;
}

std::optional<Money> Ledger::own_low_threshold(AccountId account) const {
  const OpenAccount* found = state_->find(account);
  return found == nullptr ? std::nullopt : found->low_threshold;
}

Money Ledger::low_threshold(AccountId account) const {
  return own_low_threshold(account).value_or(state_->limits.low_threshold);
}

const Account* Ledger::find(std::string_view public_id) const {
  const auto found = state_->by_public_id.find(public_id);
  return found == state_->by_public_id.end() ? nullptr : &found->second->account;
}

const Account* Ledger::find(AccountId account) const {
  const OpenAccount* found = state_->find(account);
  return found == nullptr ? nullptr : &found->account;
}

Money Ledger::available(AccountId account) const {
  const OpenAccount* found = state_->find(account);
  return found == nullptr ? Money() : found->balance - found->held;
}

Money Ledger::balance(AccountId account) const {
  const OpenAccount* found = state_->find(account);
  return found == nullptr ? Money() : found->balance;
}

std::uint64_t Ledger::tokens_today(AccountId account) const {
  const OpenAccount* found = state_->find(account);
  return found == nullptr || found->day != day_of(state_->clock.wall()) ? 0 : found->day_tokens;
}

boost::asio::awaitable<Result<HistoryPage>> Ledger::history(AccountId account, int limit,
                                                            std::optional<std::int64_t> before) {
  const auto most = static_cast<std::size_t>(std::clamp(limit, 1, kMostEntriesAPage));
  const OpenAccount* owner = state_->find(account);
  const std::int64_t newest = owner == nullptr ? 0 : owner->last_entry_id;
  return answered<HistoryPage>(state_->database, std::make_shared<ReadHistory>(account, newest, most, before));
}

boost::asio::awaitable<Result<JobPage>> Ledger::paid_jobs(AccountId account, JobFilter filter, int limit,
                                                          std::optional<std::int64_t> before) {
  const auto most = static_cast<std::size_t>(std::clamp(limit, 1, kMostEntriesAPage));
  const OpenAccount* owner = state_->find(account);
  const std::int64_t newest = owner == nullptr ? 0 : owner->last_entry_id;
  return answered<JobPage>(state_->database,
                           std::make_shared<ReadPaidJobs>(account, std::move(filter), newest, most, before));
}

boost::asio::awaitable<Result<JobPage>> Ledger::unpaid_jobs(AccountId account, JobFilter filter, int limit,
                                                            std::optional<std::int64_t> before) {
  const auto most = static_cast<std::size_t>(std::clamp(limit, 1, kMostEntriesAPage));
  return answered<JobPage>(state_->database,
                           std::make_shared<ReadUnpaidJobs>(account, std::move(filter), most, before));
}

boost::asio::awaitable<Result<std::optional<EndedJob>>> Ledger::ended_job(AccountId account, std::string_view job_id) {
  return answered<std::optional<EndedJob>>(state_->database, std::make_shared<ReadJob>(account, job_id));
}

boost::asio::awaitable<Result<EarningsPage>> Ledger::earnings(AccountId owner, std::string_view node_id, int limit,
                                                              std::optional<std::int64_t> before) {
  const auto most = static_cast<std::size_t>(std::clamp(limit, 1, kMostEntriesAPage));
  return answered<EarningsPage>(state_->database, std::make_shared<ReadEarnings>(owner, node_id, most, before));
}

void Ledger::journal_open_holds(Instant now) {
  if (poisoned()) return;
  auto& young = state_->young;
  const auto due = [&](const OpenHold& open) { return open.opened + state_->limits.hold_journal_delay <= now; };
  if (young.empty() || !due(young.front())) return;
  auto batch = std::make_shared<JournalHolds>();
  while (!young.empty() && due(young.front())) {
    OpenHold& open = young.front();
    batch->rows.push_back({.id = open.id,
                           .account = open.account->account.id,
                           .amount = open.amount,
                           .job_id = open.job_id,
                           .model = open.model,
                           .created_at = open.created_at});
    open.move_to(state_->journaled);
  }
  std::ignore = state_->database.write(std::move(batch), storage::Queueing::guaranteed);
}

bool Ledger::poisoned() const {
  return state_->database.poisoned();
}

Stats Ledger::stats() const {
  Stats stats = state_->stats;
  stats.accounts = state_->accounts.size();
  return stats;
}

Result<Audit> audit(storage::Database& database) {
  Audit found;
  if (auto caught_up = catch_up(database); !caught_up) return std::unexpected(std::move(caught_up).error());
  auto done = database.run_now([&](storage::Connection& connection) { found = audit_books(connection); });
  if (!done) return std::unexpected(std::move(done).error());
  return found;
}

}  // namespace turnpike::ledger
