#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "common/loop.hpp"
#include "common/temp_folder.hpp"
#include "turnpike/events/event.hpp"
#include "turnpike/events/subscriptions.hpp"
#include "turnpike/ledger/ledger.hpp"
#include "turnpike/storage/connection.hpp"
#include "turnpike/storage/sqlite.hpp"

namespace turnpike::ledger {
namespace {

constexpr auto kNever = std::chrono::hours(1);

class LedgerEvents : public testing::Test {
 protected:
  LedgerEvents() {
    subscriptions.listen([this](AccountId who, events::Type type) { announced.emplace_back(who, type); });
  }
  void TearDown() override { stop(); }
  void start(std::chrono::milliseconds commit_delay) {
    stop();
    database = storage::open_sqlite(loop.executor(),
                                    {.file = folder.file(data + "/turnpike.db"), .commit_delay = commit_delay})
                   .value();
    ledger = Ledger::open(*database, clock, limits, &subscriptions).value();
  }
  // What SIGKILL would leave: the next start works on a copy of the folder as it is now.
  void crash() { data = folder.copy_of(data); }
  void stop() {
    ledger = nullptr;
    database = nullptr;
  }
  AccountId account_that_wants(events::Types types) {
    const AccountId account = loop.run(ledger->create_account("test")).value().id;
    EXPECT_TRUE(database->run_now([&](storage::Connection& connection) {
      connection
          .prepare(
              "INSERT INTO webhook_endpoints (public_id, account_id, url, events, secret, created_at) "
              "VALUES ('wh_1', ?, '', ?, x'00', 0)")
          .bind(account)
          .bind(std::int64_t{types.bits()})
          .run();
    }));
    subscriptions.assign(account, types);
    return account;
  }
  Result<Money> top_up(AccountId account, std::string_view payment) {
    return loop.run(ledger->top_up(account, Money::nanousd(20'000'000), payment, "0xabc"));
  }
  void charge(AccountId account, std::int64_t nanousd) {
    auto hold =
        ledger->hold(account, Money::nanousd(nanousd), {.job_id = "job_" + std::to_string(++jobs), .model = "m-1"});
    ASSERT_TRUE(hold);
    ASSERT_TRUE(loop.run(ledger->capture(*std::move(hold), {.amount = Money::nanousd(nanousd)})));
  }
  // An account that is told when its credits are low, with 1'000 nano-dollars.
  AccountId account_to_be_told() {
    const AccountId account = account_that_wants(events::Types().add(events::Type::credit_low));
    EXPECT_TRUE(loop.run(ledger->grant(account, Money::nanousd(1'000), "for a test")));
    return account;
  }
  std::vector<std::string> outbox() {
    std::vector<std::string> bodies;
    EXPECT_TRUE(database->run_now([&](storage::Connection& connection) {
      auto query = connection.prepare("SELECT body FROM webhook_deliveries ORDER BY id");
      while (query.step()) bodies.emplace_back(query.text(0));
    }));
    return bodies;
  }

  turnpike::test::TempFolder folder;
  std::string data = "data";
  turnpike::test::Loop loop;
  HeldClock clock;
  Limits limits;
  events::Subscriptions subscriptions;
  std::vector<std::pair<AccountId, events::Type>> announced;
  std::unique_ptr<storage::Database> database;
  std::unique_ptr<Ledger> ledger;
  int jobs = 0;
};

TEST_F(LedgerEvents, a_top_up_is_told_with_its_entry_once_however_often_the_program_ends) {
  start(kNever);
  const AccountId account = account_that_wants(events::Types().add(events::Type::credit_topup));
  ASSERT_TRUE(top_up(account, "pay_1"));
  EXPECT_EQ(announced, (std::vector<std::pair<AccountId, events::Type>>{{account, events::Type::credit_topup}}));
  EXPECT_TRUE(outbox().empty()) << "its entry is in the journal alone";
  for (int crashes = 0; crashes < 3; ++crashes) {
    crash();
    start(kNever);
    const auto told = outbox();
    ASSERT_EQ(told.size(), 1U);
    const auto event = nlohmann::json::parse(told.front());
    EXPECT_EQ(event["type"], "credit.topup");
    EXPECT_EQ(event["data"], (nlohmann::json{{"credits_added", 2},
                                             {"amount_usdc", "0.02"},
                                             {"balance", 2},
                                             {"balance_usdc", "0.02"},
                                             {"payment_id", "pay_1"},
                                             {"txHash", "0xabc"}}));
    EXPECT_EQ(ledger->balance(account), Money::nanousd(20'000'000));
  }
}

TEST_F(LedgerEvents, nobody_is_told_who_did_not_ask) {
  start(std::chrono::milliseconds(0));
  const AccountId account = account_that_wants(events::Types().add(events::Type::credit_low));
  ASSERT_TRUE(top_up(account, "pay_1"));
  EXPECT_TRUE(outbox().empty());
  EXPECT_TRUE(announced.empty());
}

TEST_F(LedgerEvents, a_grant_is_no_top_up) {
  start(std::chrono::milliseconds(0));
  const AccountId account = account_that_wants(events::Types().add(events::Type::credit_topup));
  ASSERT_TRUE(loop.run(ledger->grant(account, Money::nanousd(5), "for a test")));
  EXPECT_TRUE(outbox().empty());
  EXPECT_TRUE(announced.empty());
}

// ---- credit.low ----

TEST_F(LedgerEvents, low_credits_are_told_once_for_each_crossing) {
  limits.low_threshold = Money::nanousd(500);
  start(std::chrono::milliseconds(0));
  const AccountId account = account_to_be_told();
  const auto told = [&] { return announced.size(); };
  charge(account, 400);
  charge(account, 100);
  EXPECT_EQ(told(), 0U) << "500 is not below 500";
  charge(account, 1);
  EXPECT_EQ(told(), 1U);
  charge(account, 1);
  charge(account, 0);
  charge(account, 300);
  EXPECT_EQ(told(), 1U) << "it was below already";
  ASSERT_TRUE(loop.run(ledger->grant(account, Money::nanousd(301), "one too few")));
  charge(account, 1);
  EXPECT_EQ(told(), 1U);
  ASSERT_TRUE(loop.run(ledger->grant(account, Money::nanousd(2), "just enough")));
  charge(account, 2);
  EXPECT_EQ(told(), 2U) << "it was there again";
  ASSERT_TRUE(loop.run(ledger->grant(account, Money::nanousd(1'000), "more")));
  charge(account, 1'498);
  EXPECT_EQ(told(), 3U) << "a long way in one charge is one crossing";
  EXPECT_EQ(ledger->stats().low_crossings, 3U);
  ASSERT_TRUE(loop.run(ledger->history(account, 1, {}))) << "waits for what was written before it";
  const auto bodies = outbox();
  ASSERT_EQ(bodies.size(), 3U);
  const auto first = nlohmann::json::parse(bodies[0]);
  EXPECT_EQ(first["type"], "credit.low");
  EXPECT_EQ(
      first["data"],
      (nlohmann::json{
          {"threshold_usdc", "0.0000005"}, {"balance", 0}, {"balance_usdc", "0.000000499"}, {"job_id", "job_3"}}));
  for (const auto& [who, type] : announced) {
    EXPECT_EQ(who, account);
    EXPECT_EQ(type, events::Type::credit_low);
  }
}

TEST_F(LedgerEvents, low_credits_are_told_with_their_charge_once_however_often_the_program_ends) {
  limits.low_threshold = Money::nanousd(500);
  start(kNever);
  const AccountId account = account_to_be_told();
  charge(account, 600);
  EXPECT_TRUE(outbox().empty()) << "its charge is in the journal alone";
  for (int crashes = 0; crashes < 3; ++crashes) {
    crash();
    start(kNever);
    EXPECT_EQ(outbox().size(), 1U);
    EXPECT_EQ(ledger->balance(account), Money::nanousd(400));
  }
  charge(account, 100);
  EXPECT_EQ(ledger->stats().low_crossings, 0U) << "the crossing was before the crash";
}

TEST_F(LedgerEvents, a_correction_below_the_threshold_is_the_operators_and_is_not_told) {
  limits.low_threshold = Money::nanousd(500);
  start(std::chrono::milliseconds(0));
  const AccountId account = account_to_be_told();
  ASSERT_TRUE(loop.run(ledger->grant(account, Money::nanousd(-600), "correction", EntryType::adjustment)));
  charge(account, 1);
  EXPECT_TRUE(announced.empty());
}

TEST_F(LedgerEvents, an_accounts_own_threshold_goes_over_the_configured_one_and_lasts) {
  limits.low_threshold = Money::nanousd(500);
  start(std::chrono::milliseconds(0));
  const AccountId own = account_to_be_told();
  EXPECT_EQ(ledger->low_threshold(own), Money::nanousd(500));
  ASSERT_TRUE(loop.run(ledger->set_low_threshold(own, Money::nanousd(900))));
  charge(own, 101);
  EXPECT_EQ(announced.size(), 1U);
  start(std::chrono::milliseconds(0));
  EXPECT_EQ(ledger->own_low_threshold(own), Money::nanousd(900));
  ASSERT_TRUE(loop.run(ledger->set_low_threshold(own, Money())));
  start(std::chrono::milliseconds(0));
  EXPECT_EQ(ledger->low_threshold(own), Money()) << "never";
  charge(own, 500);
  EXPECT_EQ(announced.size(), 1U);
  ASSERT_TRUE(loop.run(ledger->set_low_threshold(own, std::nullopt)));
  EXPECT_EQ(ledger->low_threshold(own), Money::nanousd(500)) << "as configured";
  EXPECT_EQ(loop.run(ledger->set_low_threshold(own, Money::nanousd(-1))).error().fault, Fault::invalid_request);
  EXPECT_EQ(loop.run(ledger->set_low_threshold(99, std::nullopt)).error().fault, Fault::not_found);
}

TEST_F(LedgerEvents, without_a_threshold_nothing_is_low) {
  start(std::chrono::milliseconds(0));
  const AccountId account = account_to_be_told();
  charge(account, 1'000);
  EXPECT_TRUE(announced.empty());
  EXPECT_EQ(ledger->stats().low_crossings, 0U);
}

TEST_F(LedgerEvents, a_job_is_told_with_its_charge_once_however_often_the_program_ends) {
  start(kNever);
  const AccountId account = account_that_wants(events::Types().add(events::Type::job_completed));
  ASSERT_TRUE(loop.run(ledger->grant(account, Money::nanousd(1'000), "for a test")));
  charge(account, 600);
  for (int ends = 0; ends < 2; ++ends) {
    crash();
    start(kNever);
    const auto told = outbox();
    ASSERT_EQ(told.size(), 1U);
    const auto event = nlohmann::json::parse(told[0]);
    EXPECT_EQ(event["type"], "job.completed");
    EXPECT_EQ(event["data"]["job_id"], "job_1");
    EXPECT_EQ(event["data"]["model"], "m-1");
    EXPECT_EQ(event["data"]["status"], "settled");
    EXPECT_EQ(event["data"]["amount_usdc"], "0.0000006");
    EXPECT_EQ(event["data"]["usage"], (nlohmann::json{{"prompt_tokens", 0}, {"completion_tokens", 0}}));
  }
  EXPECT_EQ(announced.size(), 1U);
}

TEST_F(LedgerEvents, a_job_that_ended_without_a_charge_is_told_by_why) {
  start(std::chrono::milliseconds(0));
  const AccountId account =
      account_that_wants(events::Types().add(events::Type::job_failed).add(events::Type::job_timeout));
  ASSERT_TRUE(loop.run(ledger->grant(account, Money::nanousd(1'000), "for a test")));
  const auto end = [&](Unpaid why) {
    ledger->end_unpaid(
        ledger->hold(account, Money::nanousd(100), {.job_id = "job_" + std::to_string(++jobs), .model = "m-1"}).value(),
        why);
    return loop.run(ledger->history(account, 1, {})).has_value();  // waits for it
  };
  ASSERT_TRUE(end({.code = "node_error"}));
  ASSERT_TRUE(end({.code = "node_timeout", .timed_out = true}));
  ASSERT_TRUE(end({.code = {}}));
  const auto told = outbox();
  ASSERT_EQ(told.size(), 3U);
  const auto event = [&](std::size_t i) { return nlohmann::json::parse(told[i]); };
  EXPECT_EQ(event(0)["type"], "job.failed");
  EXPECT_EQ(event(0)["data"]["status"], "failed");
  EXPECT_EQ(event(0)["data"]["error"]["code"], "node_error");
  EXPECT_EQ(event(1)["type"], "job.timeout");
  EXPECT_EQ(event(2)["type"], "job.failed");
  EXPECT_EQ(event(2)["data"]["status"], "refunded");
  EXPECT_TRUE(event(2)["data"]["error"].is_null());
  EXPECT_EQ(announced.size(), 3U);
}

}  // namespace
}  // namespace turnpike::ledger
