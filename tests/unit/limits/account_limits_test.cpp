#include "turnpike/limits/account_limits.hpp"

#include <gtest/gtest.h>

#include <atomic>

#include "common/loop.hpp"
#include "common/temp_folder.hpp"
#include "turnpike/storage/connection.hpp"
#include "turnpike/storage/sqlite.hpp"

namespace turnpike::limits {
namespace {

class AccountLimitsTest : public testing::Test {
 protected:
  void start() {
    accounts = nullptr;
    database = nullptr;
    database = storage::open_sqlite(loop.executor(), {.file = folder.file("turnpike.db"),
                                                      .allow_commit = [this] { return commits.load(); }})
                   .value();
    ASSERT_TRUE(database->run_now([](storage::Connection& connection) {
      connection.prepare("INSERT OR IGNORE INTO accounts (id, public_id, name, created_at) VALUES (1, 'a', '', 0)")
          .run();
    }));
    accounts = AccountLimits::open(*database).value();
  }
  turnpike::test::TempFolder folder;
  turnpike::test::Loop loop;
  std::atomic<bool> commits = true;
  std::unique_ptr<storage::Database> database;
  std::unique_ptr<AccountLimits> accounts;
};

TEST_F(AccountLimitsTest, survive_a_restart) {
  start();
  EXPECT_EQ(accounts->find(1), nullptr);
  const Override over{.tier = "pro",
                      .limits = {.requests_per_minute = 7,
                                 .tokens_per_minute = 0,
                                 .tokens_per_day = std::nullopt,
                                 .concurrent_requests = 3,
                                 .concurrent_jobs = 1}};
  ASSERT_TRUE(loop.run(accounts->set(1, over)));
  EXPECT_EQ(*accounts->find(1), over);
  start();
  ASSERT_NE(accounts->find(1), nullptr);
  EXPECT_EQ(*accounts->find(1), over);
  ASSERT_TRUE(loop.run(accounts->set(1, {.limits = {.tokens_per_day = 5}})));
  start();
  EXPECT_EQ(*accounts->find(1), (Override{.limits = {.tokens_per_day = 5}})) << "all of it is set anew";
  ASSERT_TRUE(loop.run(accounts->set(1, {})));
  EXPECT_EQ(accounts->find(1), nullptr);
  start();
  EXPECT_EQ(accounts->find(1), nullptr);
}

TEST_F(AccountLimitsTest, that_cannot_be_stored_are_as_they_were) {
  start();
  const Override over{.tier = "pro", .limits = {}};
  ASSERT_TRUE(loop.run(accounts->set(1, over)));
  commits = false;
  EXPECT_FALSE(loop.run(accounts->set(1, {.tier = "free", .limits = {}})));
  EXPECT_EQ(*accounts->find(1), over);
}

TEST(AccountLimits, go_over_the_tiers) {
  const Tier tier{.requests_per_minute = 10, .tokens_per_minute = 1'000, .tokens_per_day = 5'000};
  const Override over{.limits = {.requests_per_minute = 20, .tokens_per_minute = 0, .concurrent_jobs = 2}};
  EXPECT_EQ(with(over, tier), (Tier{.requests_per_minute = 20, .tokens_per_day = 5'000, .concurrent_jobs = 2}));
}

}  // namespace
}  // namespace turnpike::limits
