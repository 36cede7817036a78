#include "turnpike/payments/top_up.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <map>
#include <stop_token>
#include <utility>

#include "payment_store.hpp"
#include "turnpike/base/random.hpp"
#include "turnpike/base/signal.hpp"

namespace turnpike::payments {

using boost::asio::awaitable;
using std::chrono::milliseconds;

namespace {

constexpr std::size_t kIdLength = 20;
constexpr std::int64_t kNanousdPerUnit = 1000;
constexpr std::size_t kMostListed = 1000;
// How far a chain's clock may be behind this machine's.
constexpr std::uint64_t kClockLeewaySeconds = 120;
constexpr milliseconds kConfirmInterval{250};

// A token moves money for a nonce once, and this one's was for another top-up.
constexpr std::string_view kUsed = "invalid_exact_evm_nonce_already_used";

Outcome refused(std::string_view reason) {
  return {.kind = Outcome::Kind::refused, .reason = std::string(reason)};
}
Outcome unavailable(std::string_view reason) {
  return {.kind = Outcome::Kind::unavailable, .reason = std::string(reason)};
}
Outcome credited(const StoredPayment& payment) {
  return {
      .kind = Outcome::Kind::credited, .id = payment.id, .transaction = payment.transaction, .units = payment.units};
}

bool says_used_already(std::string_view reason) {
  return reason.contains("already_used") || reason.contains("already_settled") || reason == "duplicate_settlement";
}

// What is looked for on the chain.
Authorization authorization_of(const StoredPayment& payment) {
  return {.from = payment.key.payer,
          .to = payment.pay_to,
          .value = payment.units,
          .valid_after = 0,
          .valid_before = payment.valid_before,
          .nonce = payment.key.nonce};
}

// A caller that waits for a payment.
struct Waiter {
  explicit Waiter(const boost::asio::any_io_executor& executor) : news(executor) {}
  Signal news;
  std::optional<Outcome> outcome;
  bool out_of_time = false;
};

// A payment under way, or unsettled.
struct Run {
  Run(const boost::asio::any_io_executor& executor, StoredPayment what, const Network* where)
      : payment(std::move(what)), network(where), wake(executor) {}
  StoredPayment payment;
  const Network* network;                      // nullptr: the configuration does not know it any more
  bool written = false;                        // it is in the database as pending
  bool asked = false;                          // to be settled, or it may have been
  bool entered = false;                        // the ledger has its entry
  std::optional<std::string> resolution = {};  // an operator's word: the transaction, or empty
  std::vector<Waiter*> waiters = {};
  Signal wake;
  bool sleeping = false;
};

}  // namespace

std::string_view to_string(PaymentState state) {
  switch (state) {
    case PaymentState::credited:
      return "credited";
    case PaymentState::refused:
      return "refused";
    case PaymentState::pending:
      break;
  }
  return "pending";
}

ledger::Money money_of(Units units) {
  return ledger::Money::nanousd(static_cast<std::int64_t>(units) * kNanousdPerUnit);
}

struct TopUp::State {
  State(boost::asio::any_io_executor on, Deadlines& wheel, TaskGroup& group, storage::Database& where,
        ledger::Ledger& books, Facilitator& who, ChainOf chains, TopUpRules most)
      : executor(std::move(on)),
        deadlines(wheel),
        tasks(group),
        database(where),
        ledger(books),
        facilitator(who),
        chain_of(std::move(chains)),
        rules(std::move(most)) {}

  using RunPtr = std::shared_ptr<Run>;
  using Over = std::optional<Outcome>;  // nullopt: it is not over

  RunPtr add(StoredPayment payment, const Network* network);
  awaitable<void> drive(RunPtr run);
  awaitable<Over> begin(Run& run);
  awaitable<Over> write_down(Run& run);
  awaitable<Over> step(Run& run);
  awaitable<Over> settle(Run& run, Chain* chain);
  awaitable<Over> confirm(Run& run, Chain& chain);
  awaitable<Sighting> look(const Run& run, Chain& chain);
  awaitable<Over> believe(Run& run, const Sighting& seen);
  awaitable<Over> credit(Run& run, std::string transaction);
  Outcome refuse(Run& run, std::string_view reason);
  [[nodiscard]] bool is_of(const Run& run, const Settlement& settlement) const;
  awaitable<bool> sleep(Run& run, milliseconds how_long);
  awaitable<Outcome> await_outcome(RunPtr run, std::stop_token left);
  static void announce(Run& run, const Outcome& outcome);
  void finish(const RunPtr& run, const Outcome& outcome);
  [[nodiscard]] const Network* network_named(std::string_view caip2) const;
  [[nodiscard]] WallTime now() const { return deadlines.clock().wall(); }

  boost::asio::any_io_executor executor;
  Deadlines& deadlines;
  TaskGroup& tasks;
  storage::Database& database;
  ledger::Ledger& ledger;
  Facilitator& facilitator;
  ChainOf chain_of;
  TopUpRules rules;
  std::map<PaymentKey, RunPtr> runs;
  std::map<ledger::AccountId, std::size_t> open_by_account;
  TopUpStats stats;
};

const Network* TopUp::State::network_named(std::string_view caip2) const {
  const auto found = std::ranges::find(rules.terms.networks, caip2, &Network::caip2);
  return found == rules.terms.networks.end() ? nullptr : &*found;
}

TopUp::State::RunPtr TopUp::State::add(StoredPayment payment, const Network* network) {
  auto run = std::make_shared<Run>(executor, std::move(payment), network);
  ++open_by_account[run->payment.account];
  runs.emplace(run->payment.key, run);
  return run;
}

void TopUp::State::announce(Run& run, const Outcome& outcome) {
  for (Waiter* waiter : std::exchange(run.waiters, {})) {
    waiter->outcome = outcome;
    waiter->news.notify();
  }
}

void TopUp::State::finish(const RunPtr& run, const Outcome& outcome) {
  const auto account = open_by_account.find(run->payment.account);
  if (--account->second == 0) open_by_account.erase(account);
  if (run->written) --stats.pending;
  runs.erase(run->payment.key);
  if (outcome.kind == Outcome::Kind::refused) ++stats.refused;
  announce(*run, outcome);
}

// The whole way of one payment; ends before that only when the gateway does.
awaitable<void> TopUp::State::drive(RunPtr run) {
  if (!run->written) {
    if (const Over over = co_await begin(*run)) {
      finish(run, *over);
      co_return;
    }
  }
  milliseconds delay = rules.first_retry;
  do {
    if (const Over over = co_await step(*run)) {
      finish(run, *over);
      co_return;
    }
    announce(*run, {.kind = Outcome::Kind::unsettled, .id = run->payment.id});
    if (!co_await sleep(*run, std::exchange(delay, std::min(2 * delay, rules.max_retry)))) break;
  } while (true);
  finish(run, {.kind = Outcome::Kind::unsettled, .id = run->payment.id});
}

// False: the gateway stops.
awaitable<bool> TopUp::State::sleep(Run& run, milliseconds how_long) {
  const auto stop = tasks.stop_token();
  Deadline deadline(deadlines, [](void* wake) { static_cast<Signal*>(wake)->notify(); }, &run.wake);
  deadline.arm(how_long);
  const std::stop_callback stopped(stop, [&run] { run.wake.notify(); });
  run.sleeping = true;
  if (!stop.stop_requested() && !run.resolution) co_await run.wake.wait();
  run.sleeping = false;
  co_return !stop.stop_requested();
}

// Up to where the payment is written down.
awaitable<TopUp::State::Over> TopUp::State::begin(Run& run) {
  StoredPayment& payment = run.payment;
  const auto question = std::make_shared<FindPayment>(payment.key);
  if (const auto queued = database.read(question); !queued) co_return unavailable(queued.error().message);
  if (const auto read = co_await storage::finished(question); !read) co_return unavailable(read.error().message);
  if (const auto& known = question->found) {
    const bool same = known->account == payment.account && known->units == payment.units;
    if (!same && known->state != PaymentState::refused) co_return refused(kUsed);
    if (known->state == PaymentState::credited) co_return credited(*known);
    payment.id = known->id;
    payment.created_at = known->created_at;
  }
  const Verdict verdict = co_await facilitator.verify(payment.request, tasks.stop_token());
  if (verdict.kind == Verdict::Kind::refused) co_return refused(verdict.reason);
  const bool other_payer = !verdict.payer.empty() && parse_address(verdict.payer) != payment.key.payer;
  if (verdict.kind == Verdict::Kind::unknown || other_payer) {
    spdlog::warn("payments: the facilitator cannot check a payment: {}",
                 other_payer ? "it says that another one pays" : verdict.reason);
    co_return unavailable("The facilitator of payments cannot be reached. Nothing was taken; try again.");
  }
  co_return co_await write_down(run);
}

awaitable<TopUp::State::Over> TopUp::State::write_down(Run& run) {
  const auto row = std::make_shared<WritePayment>(run.payment);
  Result<void> written = database.write(row, storage::Queueing::bounded);
  if (written) written = co_await storage::finished(row);
  if (!written) co_return unavailable("The payment cannot be written down. Nothing was taken; try again.");
  run.written = true;
  ++stats.pending;
  spdlog::info("payments: {} of {} USD for account {} is to be settled", run.payment.id,
               money_of(run.payment.units).to_usdc(), run.payment.account);
  co_return std::nullopt;
}

// One try to bring a payment that is written down to its end.
awaitable<TopUp::State::Over> TopUp::State::step(Run& run) {
  if (run.resolution) {
    if (run.resolution->empty()) co_return refuse(run, "closed by the operator");
    co_return co_await credit(run, *run.resolution);
  }
  Chain* chain = run.network == nullptr ? nullptr : chain_of(*run.network);
  if (run.asked && chain != nullptr) {
    const Sighting seen = co_await look(run, *chain);
    if (auto over = co_await believe(run, seen)) co_return over;
    const bool expired = run.payment.valid_before <= static_cast<std::uint64_t>(unix_seconds(now()));
    if (seen.kind == Sighting::Kind::unknown || expired) co_return std::nullopt;
  }
  co_return co_await settle(run, chain);
}

awaitable<TopUp::State::Over> TopUp::State::settle(Run& run, Chain* chain) {
  const bool first = !std::exchange(run.asked, true);
  const Settlement said = co_await facilitator.settle(run.payment.request, tasks.stop_token());
  const bool settled = said.kind == Settlement::Kind::settled && is_of(run, said);
  if (settled && chain == nullptr) co_return co_await credit(run, said.transaction);
  if (settled) co_return co_await confirm(run, *chain);
  spdlog::warn("payments: {} was not settled: {}", run.payment.id,
               said.kind == Settlement::Kind::settled ? "the facilitator settled another payment" : said.reason);
  if (chain != nullptr) {
    // Whatever the facilitator says: the money may have moved.
    const Sighting seen = co_await look(run, *chain);
    if (auto over = co_await believe(run, seen)) co_return over;
  }
  if (said.kind != Settlement::Kind::refused) co_return std::nullopt;
  if (first && is_refused_beforehand(said.reason)) co_return refuse(run, said.reason);
  if (chain == nullptr && says_used_already(said.reason) && !said.transaction.empty() && is_of(run, said)) {
    co_return co_await credit(run, said.transaction);
  }
  co_return std::nullopt;
}

// What the facilitator says of the payment must be true of it, as far as it says anything.
bool TopUp::State::is_of(const Run& run, const Settlement& said) const {
  const StoredPayment& payment = run.payment;
  const bool same_network = said.network.empty() || said.network == payment.key.network ||
                            (run.network != nullptr && said.network == run.network->name);
  const bool same_payer = said.payer.empty() || parse_address(said.payer) == payment.key.payer;
  const bool same_amount = said.amount.empty() || said.amount == std::to_string(payment.units);
  return same_network && same_payer && same_amount;
}

// A chain's server may be some blocks behind the facilitator's.
awaitable<TopUp::State::Over> TopUp::State::confirm(Run& run, Chain& chain) {
  const Instant until = deadlines.clock().now() + rules.confirm_timeout;
  do {
    const Sighting seen = co_await look(run, chain);
    if (auto over = co_await believe(run, seen)) co_return over;
    if (seen.kind == Sighting::Kind::unknown || run.resolution) break;
  } while (co_await sleep(run, kConfirmInterval) && deadlines.clock().now() < until);
  spdlog::warn("payments: {} was settled, says the facilitator; the chain does not show it yet", run.payment.id);
  co_return std::nullopt;
}

awaitable<Sighting> TopUp::State::look(const Run& run, Chain& chain) {
  const auto shown = static_cast<std::uint64_t>(unix_seconds(run.payment.created_at));
  Sighting seen =
      co_await chain.look(*run.network, authorization_of(run.payment), shown - kClockLeewaySeconds, tasks.stop_token());
  if (seen.kind == Sighting::Kind::unknown) {
    spdlog::warn("payments: {} cannot be looked up on {}: {}", run.payment.id, run.network->name, seen.reason);
  }
  co_return seen;
}

awaitable<TopUp::State::Over> TopUp::State::believe(Run& run, const Sighting& seen) {
  if (seen.kind == Sighting::Kind::moved) co_return co_await credit(run, seen.transaction);
  if (seen.kind == Sighting::Kind::misused) co_return refuse(run, kUsed);
  // Blocks' times grow: no later one will take the authorization.
  const bool over = seen.kind == Sighting::Kind::unused && seen.head_time >= run.payment.valid_before;
  if (over) co_return refuse(run, "payment_expired");
  co_return std::nullopt;
}

// What is credited is what was signed for, whatever anybody says.
awaitable<TopUp::State::Over> TopUp::State::credit(Run& run, std::string transaction) {
  StoredPayment& payment = run.payment;
  if (run.entered) co_return std::nullopt;
  auto entry = ledger.top_up(payment.account, money_of(payment.units), payment.id, transaction);
  run.entered = true;
  if (const auto balance = co_await std::move(entry); !balance) {
    spdlog::error("payments: {} is paid by {} and cannot be credited: {}", payment.id, transaction,
                  balance.error().message);
    co_return std::nullopt;
  }
  payment.state = PaymentState::credited;
  payment.transaction = std::move(transaction);
  auto closing = std::make_shared<ClosePayment>();
  closing->id = payment.id;
  closing->state = PaymentState::credited;
  closing->transaction = payment.transaction;
  closing->closed_at = now();
  // Should this be lost, the entry says it, and the next start closes the payment.
  std::ignore = database.write(std::move(closing), storage::Queueing::guaranteed);
  ++stats.credited;
  spdlog::info("payments: {}: {} USD credited to account {}, transaction {}", payment.id,
               money_of(payment.units).to_usdc(), payment.account, payment.transaction);
  co_return credited(payment);
}

Outcome TopUp::State::refuse(Run& run, std::string_view reason) {
  auto closing = std::make_shared<ClosePayment>();
  closing->id = run.payment.id;
  closing->reason = reason;
  closing->closed_at = now();
  std::ignore = database.write(std::move(closing), storage::Queueing::guaranteed);
  spdlog::info("payments: {} of {} USD is refused: {}", run.payment.id, money_of(run.payment.units).to_usdc(), reason);
  return refused(reason);
}

awaitable<Outcome> TopUp::State::await_outcome(RunPtr run, std::stop_token left) {
  Waiter waiter(executor);
  run->waiters.push_back(&waiter);
  Deadline deadline(
      deadlines,
      [](void* self) {
        static_cast<Waiter*>(self)->out_of_time = true;
        static_cast<Waiter*>(self)->news.notify();
      },
      &waiter);
  deadline.arm(rules.answer_timeout);
  const std::stop_callback gone(std::move(left), [&waiter] {
    waiter.out_of_time = true;
    waiter.news.notify();
  });
  if (run->sleeping) run->wake.notify();
  while (!waiter.outcome && !waiter.out_of_time) co_await waiter.news.wait();
  std::erase(run->waiters, &waiter);
  if (waiter.outcome) co_return std::move(*waiter.outcome);
  co_return Outcome{.kind = Outcome::Kind::unsettled, .id = run->payment.id};
}

TopUp::TopUp(std::unique_ptr<State> state) : state_(std::move(state)) {}
TopUp::~TopUp() = default;

Result<std::unique_ptr<TopUp>> TopUp::open(boost::asio::any_io_executor executor, Deadlines& deadlines,
                                           TaskGroup& tasks, storage::Database& database, ledger::Ledger& ledger,
                                           Facilitator& facilitator, ChainOf chain_of, TopUpRules rules) {
  auto state = std::make_unique<State>(std::move(executor), deadlines, tasks, database, ledger, facilitator,
                                       std::move(chain_of), std::move(rules));
  std::vector<StoredPayment> pending;
  const auto loaded = database.run_now(
      [&](storage::Connection& connection) { pending = load_pending(connection, deadlines.clock().wall()); });
  if (!loaded) return std::unexpected(loaded.error());
  for (StoredPayment& payment : pending) {
    spdlog::warn("payments: {} of {} USD was left unsettled", payment.id, money_of(payment.units).to_usdc());
    const Network* network = state->network_named(payment.key.network);
    const auto run = state->add(std::move(payment), network);
    run->written = true;
    run->asked = true;
    ++state->stats.pending;
  }
  return std::unique_ptr<TopUp>(new TopUp(std::move(state)));
}

void TopUp::start() {
  for (const auto& [key, run] : state_->runs) state_->tasks.spawn("payment", state_->drive(run));
}

awaitable<Outcome> TopUp::pay(ledger::AccountId account, Payment payment, const Network& network,
                              std::stop_token left) {
  State& state = *state_;
  const Authorization& signed_for = payment.authorization;
  PaymentKey key{
      .network = network.caip2(), .asset = network.asset, .payer = signed_for.from, .nonce = signed_for.nonce};
  State::RunPtr run;
  if (const auto found = state.runs.find(key); found != state.runs.end()) {
    run = found->second;
    if (run->payment.account != account || run->payment.units != signed_for.value) co_return refused(kUsed);
    co_return co_await state.await_outcome(std::move(run), std::move(left));
  }
  const auto open = state.open_by_account.find(account);
  if (state.runs.size() >= state.rules.max_open ||
      (open != state.open_by_account.end() && open->second >= state.rules.max_open_per_account)) {
    co_return unavailable("Too many payments are under way or unsettled. Nothing was taken; try again later.");
  }
  run = state.add({.id = "pay_" + random_base62(kIdLength),
                   .account = account,
                   .key = std::move(key),
                   .pay_to = signed_for.to,
                   .units = signed_for.value,
                   .valid_before = signed_for.valid_before,
                   .request = facilitator_request(payment, state.rules.terms, network),
                   .created_at = state.now()},
                  &network);
  state.tasks.spawn("payment", state.drive(run));
  co_return co_await state.await_outcome(std::move(run), std::move(left));
}

awaitable<Result<std::vector<StoredPayment>>> TopUp::list(bool closed_too, std::size_t limit) {
  const auto question = std::make_shared<ListPayments>(closed_too, std::min(limit, kMostListed));
  if (auto queued = state_->database.read(question); !queued) co_return std::unexpected(std::move(queued).error());
  if (auto read = co_await storage::finished(question); !read) co_return std::unexpected(std::move(read).error());
  co_return std::move(question->found);
}

awaitable<Result<Outcome>> TopUp::resolve(std::string id, std::string transaction) {
  if (!transaction.empty() && !is_transaction(transaction)) {
    co_return fail(Fault::invalid_request, "tx must be 0x and 64 hex digits", "tx");
  }
  const auto found = std::ranges::find_if(
      state_->runs, [&](const auto& each) { return each.second->written && each.second->payment.id == id; });
  if (found == state_->runs.end()) co_return fail(Fault::not_found, "there is no unsettled payment with this id");
  found->second->resolution = std::move(transaction);
  const State::RunPtr run = found->second;
  while (true) {
    Outcome outcome = co_await state_->await_outcome(run, {});
    const bool over = outcome.kind != Outcome::Kind::unsettled;
    if (over) co_return outcome;
    if (!state_->runs.contains(run->payment.key) || run->entered) break;
  }
  co_return fail(Fault::service_unavailable, "The payment could not be closed; see the log.");
}

const Terms& TopUp::terms() const {
  return state_->rules.terms;
}

TopUpStats TopUp::stats() const {
  TopUpStats stats = state_->stats;
  stats.open = state_->runs.size();
  return stats;
}

}  // namespace turnpike::payments
