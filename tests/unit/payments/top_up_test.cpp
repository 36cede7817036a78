#include "turnpike/payments/top_up.hpp"

#include <gmock/gmock.h>

#include <boost/asio/co_spawn.hpp>
#include <deque>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "common/loop.hpp"
#include "common/payer.hpp"
#include "common/temp_folder.hpp"
#include "turnpike/base/signal.hpp"
#include "turnpike/storage/sqlite.hpp"

namespace turnpike::payments {
namespace {

using boost::asio::awaitable;
using std::chrono::seconds;

const std::string kTransaction = "0x" + std::string(64, 'b');

Settlement settled(std::string transaction = kTransaction) {
  return {.kind = Settlement::Kind::settled, .transaction = std::move(transaction)};
}
Settlement not_settled(std::string reason, std::string transaction = "") {
  return {.kind = Settlement::Kind::refused, .reason = std::move(reason), .transaction = std::move(transaction)};
}
Settlement away() {
  return {.kind = Settlement::Kind::unknown, .reason = "away"};
}

// Says what it is told to; the last word again and again. Held, it says nothing until it is let go.
class ScriptedFacilitator final : public Facilitator {
 public:
  explicit ScriptedFacilitator(const boost::asio::any_io_executor& executor) : go(executor) {}
  awaitable<Verdict> verify(std::string /*request*/, std::stop_token /*stop*/) override {
    ++verified;
    co_return verdict;
  }
  awaitable<Settlement> settle(std::string request, std::stop_token /*stop*/) override {
    ++asked;
    requests.push_back(std::move(request));
    if (before_settling) before_settling();
    while (held) co_await go.wait();
    auto said = settlements.front();
    if (settlements.size() > 1) settlements.pop_front();
    co_return said;
  }
  Verdict verdict{.kind = Verdict::Kind::valid};
  std::deque<Settlement> settlements{settled()};
  std::function<void()> before_settling;
  std::vector<std::string> requests;
  int verified = 0;
  int asked = 0;
  bool held = false;
  Signal go;
};

class ScriptedChain final : public Chain {
 public:
  awaitable<Sighting> look(const Network& /*network*/, const Authorization& what, std::uint64_t from,
                           std::stop_token /*stop*/) override {
    ++looked;
    authorization = what;
    since = from;
    auto seen = sightings.front();
    if (sightings.size() > 1) sightings.pop_front();
    co_return seen;
  }
  std::deque<Sighting> sightings{{.kind = Sighting::Kind::unused}};
  Authorization authorization;
  std::uint64_t since = 0;
  int looked = 0;
};

class TopUpTest : public testing::Test {
 protected:
  TopUpTest() : facilitator(loop.executor()) {
    rules = {.terms = {.networks = {{.name = "base-sepolia",
                                     .chain_id = 84532,
                                     .asset = test::kAsset,
                                     .asset_name = "USDC",
                                     .asset_version = "2"}},
                       .pay_to = test::kPayTo,
                       .resource = "https://gate.example/v1/credits/topup",
                       .max_timeout = seconds(300),
                       .max_validity = seconds(3600)},
             .answer_timeout = seconds(60),
             .confirm_timeout = seconds(2),
             .first_retry = seconds(10),
             .max_retry = seconds(40),
             .max_open = 3,
             .max_open_per_account = 2};
  }
  void SetUp() override {
    start();
    account = loop.run(ledger->create_account("one")).value().id;
    other = loop.run(ledger->create_account("two")).value().id;
  }
  void TearDown() override { stop(); }

  void start() {
    auto opened = storage::open_sqlite(loop.executor(), {.file = folder.file(data + "/turnpike.db"),
                                                         .commit_delay = std::chrono::milliseconds(0),
                                                         .allow_commit = [this] {
                                                           commits_wait.wait(true);
                                                           return commits_succeed.load();
                                                         }});
    ASSERT_TRUE(opened) << opened.error().message;
    database = *std::move(opened);
    ledger = ledger::Ledger::open(*database, clock, {}).value();
    tasks.emplace(loop.executor());
    top_up = TopUp::open(
                 loop.executor(), deadlines, *tasks, *database, *ledger, facilitator,
                 [this](const Network&) -> Chain* { return with_chain ? &chain : nullptr; }, rules)
                 .value();
    top_up->start();
  }
  void stop() {
    if (!top_up) return;
    tasks->request_stop();
    facilitator.held = false;
    facilitator.go.notify();
    run_until([this] { return tasks->size() == 0; });
    top_up = nullptr;
    tasks.reset();
    ledger = nullptr;
    database = nullptr;
  }
  // What SIGKILL would leave: the next start works on a copy of the folder as it is now.
  void crash() {
    const auto copy = folder.copy_of(data);
    facilitator.before_settling = nullptr;
    commits_wait = false;
    commits_wait.notify_all();
    stop();
    data = copy;
    start();
  }
  // Runs what is ready, and what the database's thread makes ready, until `done`.
  template <class Done>
  void run_until(Done done) {
    loop.context().restart();
    while (!done()) {
      if (loop.context().run_one_for(seconds(10)) == 0) {
        ADD_FAILURE() << "nothing happens any more";
        return;
      }
    }
  }
  void advance(std::chrono::nanoseconds by) {
    clock.advance(by);
    deadlines.advance(clock.now());
  }

  Payment payment(char nonce = '7', const std::string& value = "10000000") {
    auto transfer = payer.transfer(static_cast<std::uint64_t>(unix_seconds(clock.wall())));
    transfer.nonce = "0x" + std::string(64, nonce);
    transfer.value = value;
    return read_payment(Version::v1, test::header_of(payer.payment(transfer)), 8192).value();
  }
  // Begins to pay; the outcome comes to `outcomes`.
  void begin(ledger::AccountId who, Payment what, std::stop_token left = {}) {
    ++begun;
    boost::asio::co_spawn(loop.context(), top_up->pay(who, std::move(what), rules.terms.networks[0], std::move(left)),
                          [this](const std::exception_ptr& thrown, Outcome outcome) {
                            EXPECT_FALSE(thrown);
                            outcomes.push_back(std::move(outcome));
                          });
  }
  Outcome pay(ledger::AccountId who, Payment what) {
    const auto before = outcomes.size();
    begin(who, std::move(what));
    run_until([&] { return outcomes.size() > before; });
    return outcomes.back();
  }
  void wait_until_asked(int times) {
    run_until([&] { return facilitator.asked == times; });
  }
  std::int64_t balance(ledger::AccountId who) { return ledger->balance(who).nanousd(); }
  std::vector<StoredPayment> stored() { return loop.run(top_up->list(true, 100)).value(); }
  void expect_right_books() {
    stored();  // waits for what was written before it
    const auto books = ledger::audit(*database).value();
    EXPECT_TRUE(books.faults.empty()) << books.faults.front();
  }

  test::TempFolder folder;
  std::string data = "data";
  test::Loop loop;
  HeldClock clock;
  Deadlines deadlines{loop.executor(), clock};
  ScriptedFacilitator facilitator;
  ScriptedChain chain;
  bool with_chain = false;
  TopUpRules rules;
  std::atomic<bool> commits_succeed = true;
  std::atomic<bool> commits_wait = false;
  std::unique_ptr<storage::Database> database;
  std::unique_ptr<ledger::Ledger> ledger;
  std::optional<TaskGroup> tasks;
  std::unique_ptr<TopUp> top_up;
  ledger::AccountId account = 0;
  ledger::AccountId other = 0;
  test::Payer payer;
  std::vector<Outcome> outcomes;
  std::size_t begun = 0;
};

constexpr std::int64_t kTenDollars = 10'000'000'000;

TEST_F(TopUpTest, a_payment_becomes_credits) {
  const auto outcome = pay(account, payment());
  EXPECT_EQ(outcome.kind, Outcome::Kind::credited) << outcome.reason;
  EXPECT_EQ(outcome.transaction, kTransaction);
  EXPECT_EQ(outcome.units, 10'000'000U);
  EXPECT_EQ(balance(account), kTenDollars);
  const auto history = loop.run(ledger->history(account, 10, {})).value();
  ASSERT_EQ(history.entries.size(), 1U);
  EXPECT_EQ(history.entries[0].type, ledger::EntryType::topup);
  EXPECT_EQ(history.entries[0].job_id, outcome.id);
  EXPECT_EQ(history.entries[0].note, kTransaction);
  const auto row = stored().at(0);
  EXPECT_EQ(row.state, PaymentState::credited);
  EXPECT_EQ(row.transaction, kTransaction);
  EXPECT_EQ(top_up->stats().open, 0U);
  EXPECT_EQ(top_up->stats().pending, 0U);
  expect_right_books();
}

TEST_F(TopUpTest, a_payment_is_in_the_database_before_it_is_settled) {
  std::vector<StoredPayment> rows;
  facilitator.before_settling = [&] {
    const auto copy = folder.file(folder.copy_of(data));
    test::Loop apart;
    auto opened = storage::open_sqlite(apart.executor(), {.file = copy + "/turnpike.db"}).value();
    TaskGroup nothing(apart.executor());
    auto books = ledger::Ledger::open(*opened, clock, {}).value();
    auto reader = TopUp::open(
                      apart.executor(), deadlines, nothing, *opened, *books, facilitator,
                      [](const Network&) { return nullptr; }, rules)
                      .value();
    rows = apart.run(reader->list(false, 10)).value();
  };
  EXPECT_EQ(pay(account, payment()).kind, Outcome::Kind::credited);
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0].account, account);
  EXPECT_EQ(rows[0].units, 10'000'000U);
}

TEST_F(TopUpTest, the_same_payment_ten_times_at_once_is_one) {
  facilitator.held = true;
  for (int i = 0; i < 10; ++i) begin(account, payment());
  wait_until_asked(1);
  facilitator.held = false;
  facilitator.go.notify();
  run_until([&] { return outcomes.size() == 10; });
  for (const auto& outcome : outcomes) {
    EXPECT_EQ(outcome.kind, Outcome::Kind::credited);
    EXPECT_EQ(outcome.id, outcomes[0].id);
  }
  EXPECT_EQ(facilitator.verified, 1);
  EXPECT_EQ(facilitator.asked, 1);
  EXPECT_EQ(balance(account), kTenDollars);
}

TEST_F(TopUpTest, the_same_payment_later_has_the_same_outcome_and_after_a_restart_too) {
  const auto first = pay(account, payment());
  for (int round = 0; round < 2; ++round) {
    const auto again = pay(account, payment());
    EXPECT_EQ(again.kind, Outcome::Kind::credited);
    EXPECT_EQ(again.id, first.id);
    EXPECT_EQ(again.transaction, kTransaction);
    EXPECT_EQ(balance(account), kTenDollars);
    stop();
    start();
  }
  EXPECT_EQ(facilitator.asked, 1);
}

TEST_F(TopUpTest, a_payment_of_another_account_or_another_amount_with_its_nonce_is_refused) {
  facilitator.held = true;
  begin(account, payment());
  wait_until_asked(1);
  EXPECT_EQ(pay(other, payment()).kind, Outcome::Kind::refused);
  EXPECT_EQ(pay(account, payment('7', "20000000")).kind, Outcome::Kind::refused);
  facilitator.held = false;
  facilitator.go.notify();
  run_until([&] { return outcomes.size() == 3; });
  EXPECT_EQ(pay(other, payment()).reason, "invalid_exact_evm_nonce_already_used");
  EXPECT_EQ(pay(account, payment('7', "20000000")).kind, Outcome::Kind::refused);
  EXPECT_EQ(balance(account), kTenDollars);
  EXPECT_EQ(balance(other), 0);
  EXPECT_EQ(facilitator.asked, 1);
}

TEST_F(TopUpTest, what_the_facilitator_does_not_check_costs_nothing_and_leaves_nothing) {
  facilitator.verdict = {.kind = Verdict::Kind::refused, .reason = "insufficient_funds"};
  auto outcome = pay(account, payment());
  EXPECT_EQ(outcome.kind, Outcome::Kind::refused);
  EXPECT_EQ(outcome.reason, "insufficient_funds");
  facilitator.verdict = {.kind = Verdict::Kind::unknown, .reason = "away"};
  EXPECT_EQ(pay(account, payment()).kind, Outcome::Kind::unavailable);
  facilitator.verdict = {.kind = Verdict::Kind::valid, .payer = test::kPayTo};
  EXPECT_EQ(pay(account, payment()).kind, Outcome::Kind::unavailable) << "it speaks of another payer";
  EXPECT_EQ(facilitator.asked, 0);
  EXPECT_TRUE(stored().empty());
  facilitator.verdict = {.kind = Verdict::Kind::valid, .payer = payer.address()};
  EXPECT_EQ(pay(account, payment()).kind, Outcome::Kind::credited);
}

TEST_F(TopUpTest, a_payment_that_cannot_be_written_down_is_not_settled) {
  commits_succeed = false;
  EXPECT_EQ(pay(account, payment()).kind, Outcome::Kind::unavailable);
  EXPECT_EQ(facilitator.asked, 0);
}

TEST_F(TopUpTest, a_refusal_before_anything_was_sent_is_final_until_the_payment_is_shown_again) {
  facilitator.settlements = {not_settled("insufficient_funds"), settled()};
  const auto refused = pay(account, payment());
  EXPECT_EQ(refused.kind, Outcome::Kind::refused);
  EXPECT_EQ(refused.reason, "insufficient_funds");
  EXPECT_EQ(stored().at(0).state, PaymentState::refused);
  EXPECT_EQ(top_up->stats().pending, 0U);
  const auto paid = pay(account, payment());
  EXPECT_EQ(paid.kind, Outcome::Kind::credited);
  const auto rows = stored();
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0].state, PaymentState::credited);
  EXPECT_EQ(balance(account), kTenDollars);
  expect_right_books();
}

TEST_F(TopUpTest, an_unknown_end_is_asked_after_again_and_again_with_growing_pauses) {
  facilitator.settlements = {away()};
  EXPECT_EQ(pay(account, payment()).kind, Outcome::Kind::unsettled);
  EXPECT_EQ(balance(account), 0);
  EXPECT_EQ(top_up->stats().pending, 1U);
  int asked = 1;
  for (const int pause : {10, 20, 40, 40}) {
    run_until([&] { return loop.context().poll() == 0; });
    advance(seconds(pause) - std::chrono::milliseconds(100));
    run_until([&] { return loop.context().poll() == 0; });
    EXPECT_EQ(facilitator.asked, asked) << pause;
    advance(std::chrono::milliseconds(200));
    wait_until_asked(++asked);
  }
  facilitator.settlements = {settled()};
  run_until([&] { return loop.context().poll() == 0; });
  advance(seconds(41));
  run_until([&] { return balance(account) > 0; });
  EXPECT_EQ(balance(account), kTenDollars);
  EXPECT_EQ(pay(account, payment()).kind, Outcome::Kind::credited);
  for (const auto& request : facilitator.requests) EXPECT_EQ(request, facilitator.requests[0]);
}

TEST_F(TopUpTest, an_unsettled_payment_that_is_shown_again_is_asked_after_at_once) {
  facilitator.settlements = {away(), settled()};
  EXPECT_EQ(pay(account, payment()).kind, Outcome::Kind::unsettled);
  EXPECT_EQ(pay(account, payment()).kind, Outcome::Kind::credited);
  EXPECT_EQ(facilitator.asked, 2);
  EXPECT_EQ(balance(account), kTenDollars);
}

TEST_F(TopUpTest, a_refusal_after_an_unknown_end_is_not_believed) {
  facilitator.settlements = {away(), not_settled("invalid_exact_evm_payload_authorization_valid_before")};
  EXPECT_EQ(pay(account, payment()).kind, Outcome::Kind::unsettled);
  EXPECT_EQ(pay(account, payment()).kind, Outcome::Kind::unsettled) << "the money may have moved by the first asking";
  EXPECT_EQ(stored().at(0).state, PaymentState::pending);
}

TEST_F(TopUpTest, used_already_with_a_known_transaction_counts_as_settled) {
  facilitator.settlements = {away(), not_settled("invalid_exact_evm_nonce_already_used"),
                             not_settled("invalid_exact_evm_nonce_already_used", kTransaction)};
  EXPECT_EQ(pay(account, payment()).kind, Outcome::Kind::unsettled);
  EXPECT_EQ(pay(account, payment()).kind, Outcome::Kind::unsettled) << "by which transaction?";
  EXPECT_EQ(pay(account, payment()).kind, Outcome::Kind::credited);
  EXPECT_EQ(balance(account), kTenDollars);
}

TEST_F(TopUpTest, a_settlement_of_another_payer_network_or_amount_credits_nothing) {
  for (auto lie :
       {Settlement{.payer = test::kPayTo}, Settlement{.network = "base"}, Settlement{.amount = "99999999"}}) {
    lie.kind = Settlement::Kind::settled;
    lie.transaction = kTransaction;
    facilitator.settlements = {lie};
    EXPECT_EQ(pay(account, payment()).kind, Outcome::Kind::unsettled);
    EXPECT_EQ(balance(account), 0);
  }
  auto truth = settled();
  truth.payer = payer.address();
  truth.network = "eip155:84532";
  truth.amount = "10000000";
  facilitator.settlements = {truth};
  EXPECT_EQ(pay(account, payment()).kind, Outcome::Kind::credited);
  EXPECT_EQ(balance(account), kTenDollars);
}

TEST_F(TopUpTest, with_a_chain_nothing_is_credited_that_it_does_not_show) {
  with_chain = true;
  chain.sightings = {{.kind = Sighting::Kind::unknown, .reason = "away"}};
  EXPECT_EQ(pay(account, payment()).kind, Outcome::Kind::unsettled) << "success alone is a claim";
  EXPECT_EQ(balance(account), 0);
  const std::string seen = "0x" + std::string(64, 'c');
  chain.sightings = {{.kind = Sighting::Kind::moved, .transaction = seen}};
  const auto outcome = pay(account, payment());
  EXPECT_EQ(outcome.kind, Outcome::Kind::credited);
  EXPECT_EQ(outcome.transaction, seen) << "the transaction is the chain's";
  EXPECT_EQ(facilitator.asked, 1) << "what has moved is not settled again";
  EXPECT_EQ(chain.authorization.value, 10'000'000U);
  EXPECT_EQ(chain.authorization.to, test::kPayTo);
  EXPECT_EQ(chain.authorization.from, payer.address());
  EXPECT_EQ(chain.since, static_cast<std::uint64_t>(unix_seconds(clock.wall())) - 120);
}

TEST_F(TopUpTest, a_chain_that_is_some_blocks_behind_is_waited_for) {
  with_chain = true;
  chain.sightings = {{.kind = Sighting::Kind::unused},
                     {.kind = Sighting::Kind::unused},
                     {.kind = Sighting::Kind::moved, .transaction = kTransaction}};
  begin(account, payment());
  for (int looked = 1; looked < 3; ++looked) {
    run_until([&] { return chain.looked == looked; });
    run_until([&] { return loop.context().poll() == 0; });
    advance(std::chrono::milliseconds(300));
  }
  run_until([&] { return outcomes.size() == 1; });
  EXPECT_EQ(outcomes[0].kind, Outcome::Kind::credited);
  EXPECT_EQ(facilitator.asked, 1);
}

TEST_F(TopUpTest, money_that_moved_is_found_on_the_chain_when_the_facilitator_failed) {
  with_chain = true;
  facilitator.settlements = {away()};
  chain.sightings = {{.kind = Sighting::Kind::moved, .transaction = kTransaction}};
  EXPECT_EQ(pay(account, payment()).kind, Outcome::Kind::credited);
  EXPECT_EQ(balance(account), kTenDollars);
}

TEST_F(TopUpTest, an_authorization_used_for_something_else_is_refused) {
  with_chain = true;
  facilitator.settlements = {away()};
  chain.sightings = {{.kind = Sighting::Kind::misused, .transaction = kTransaction}};
  EXPECT_EQ(pay(account, payment()).kind, Outcome::Kind::refused);
  EXPECT_EQ(balance(account), 0);
  EXPECT_EQ(stored().at(0).state, PaymentState::refused);
}

TEST_F(TopUpTest, a_payment_that_was_never_used_is_closed_once_the_chain_is_past_its_window) {
  with_chain = true;
  facilitator.settlements = {away()};
  const auto what = payment();
  chain.sightings = {{.kind = Sighting::Kind::unused, .head_time = what.authorization.valid_before - 1}};
  EXPECT_EQ(pay(account, what).kind, Outcome::Kind::unsettled);
  EXPECT_EQ(pay(account, what).kind, Outcome::Kind::unsettled);
  chain.sightings = {{.kind = Sighting::Kind::unused, .head_time = what.authorization.valid_before}};
  const auto closed = pay(account, what);
  EXPECT_EQ(closed.kind, Outcome::Kind::refused);
  EXPECT_EQ(closed.reason, "payment_expired");
  EXPECT_EQ(balance(account), 0);
}

TEST_F(TopUpTest, a_crash_before_the_settlement_is_made_good_at_start) {
  facilitator.held = true;
  begin(account, payment());
  wait_until_asked(1);
  crash();
  wait_until_asked(2);
  run_until([&] { return balance(account) > 0; });
  EXPECT_EQ(balance(account), kTenDollars);
  expect_right_books();
}

TEST_F(TopUpTest, a_crash_right_after_the_credit_credits_nothing_again) {
  const auto first = pay(account, payment());
  crash();
  EXPECT_EQ(balance(account), kTenDollars);
  EXPECT_EQ(top_up->stats().pending, 0U);
  const auto again = pay(account, payment());
  EXPECT_EQ(again.id, first.id);
  EXPECT_EQ(again.transaction, kTransaction);
  EXPECT_EQ(facilitator.asked, 1);
  expect_right_books();
}

TEST_F(TopUpTest, a_credit_that_only_the_journal_holds_is_none_again_at_the_next_start) {
  facilitator.before_settling = [&] { commits_wait = true; };
  const auto first = pay(account, payment());
  EXPECT_EQ(first.kind, Outcome::Kind::credited) << "it does not wait for the transaction";
  crash();
  EXPECT_EQ(balance(account), kTenDollars);
  EXPECT_EQ(top_up->stats().pending, 0U);
  const auto row = stored().at(0);
  EXPECT_EQ(row.state, PaymentState::credited);
  EXPECT_EQ(row.transaction, kTransaction);
  EXPECT_EQ(pay(account, payment()).id, first.id);
  EXPECT_EQ(facilitator.asked, 1);
  expect_right_books();
}

TEST_F(TopUpTest, payments_at_once_are_bounded_for_an_account_and_for_all) {
  facilitator.settlements = {away()};
  EXPECT_EQ(pay(account, payment('1')).kind, Outcome::Kind::unsettled);
  EXPECT_EQ(pay(account, payment('2')).kind, Outcome::Kind::unsettled);
  EXPECT_EQ(pay(account, payment('3')).kind, Outcome::Kind::unavailable);
  EXPECT_EQ(pay(other, payment('4')).kind, Outcome::Kind::unsettled);
  EXPECT_EQ(pay(other, payment('5')).kind, Outcome::Kind::unavailable);
  EXPECT_EQ(facilitator.asked, 3);
  facilitator.settlements = {settled()};
  EXPECT_EQ(pay(account, payment('1')).kind, Outcome::Kind::credited) << "one that is there already is no new one";
  EXPECT_EQ(pay(account, payment('3')).kind, Outcome::Kind::credited);
}

TEST_F(TopUpTest, whoever_stops_waiting_stops_nothing) {
  facilitator.held = true;
  std::stop_source leaving;
  begin(account, payment(), leaving.get_token());
  begin(account, payment());
  wait_until_asked(1);
  leaving.request_stop();
  run_until([&] { return outcomes.size() == 1; });
  EXPECT_EQ(outcomes[0].kind, Outcome::Kind::unsettled);
  advance(seconds(61));
  run_until([&] { return outcomes.size() == 2; });
  EXPECT_EQ(outcomes[1].kind, Outcome::Kind::unsettled) << "a wait has an end";
  facilitator.held = false;
  facilitator.go.notify();
  run_until([&] { return balance(account) > 0; });
  EXPECT_EQ(balance(account), kTenDollars);
}

TEST_F(TopUpTest, an_operator_closes_what_nobody_can_tell) {
  facilitator.settlements = {away()};
  const auto lost = pay(account, payment('1'));
  const auto found = pay(account, payment('2'));
  EXPECT_EQ(loop.run(top_up->resolve("pay_unknown", "")).error().fault, Fault::not_found);
  EXPECT_EQ(loop.run(top_up->resolve(found.id, "0x12")).error().param, "tx");
  EXPECT_EQ(loop.run(top_up->resolve(lost.id, "")).value().kind, Outcome::Kind::refused);
  const auto closed = loop.run(top_up->resolve(found.id, kTransaction)).value();
  EXPECT_EQ(closed.kind, Outcome::Kind::credited);
  EXPECT_EQ(closed.transaction, kTransaction);
  EXPECT_EQ(balance(account), kTenDollars);
  EXPECT_EQ(loop.run(top_up->resolve(found.id, kTransaction)).error().fault, Fault::not_found);
  EXPECT_TRUE(loop.run(top_up->list(false, 10)).value().empty());
  expect_right_books();
}

}  // namespace
}  // namespace turnpike::payments
