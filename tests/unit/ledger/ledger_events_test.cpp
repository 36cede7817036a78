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
    ledger = Ledger::open(*database, clock, {}, &subscriptions).value();
  }
  // What SIGKILL would leave: the next start works on a copy of the folder as it is now.
  void crash() {
    const auto copy = data + "'";
    std::filesystem::copy(folder.file(data), folder.file(copy));
    data = copy;
  }
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
  events::Subscriptions subscriptions;
  std::vector<std::pair<AccountId, events::Type>> announced;
  std::unique_ptr<storage::Database> database;
  std::unique_ptr<Ledger> ledger;
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

}  // namespace
}  // namespace turnpike::ledger
