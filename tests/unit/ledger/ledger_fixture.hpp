// A ledger over a database in a folder of its own, that can be crashed.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "common/loop.hpp"
#include "common/temp_folder.hpp"
#include "turnpike/ledger/ledger.hpp"
#include "turnpike/storage/sqlite.hpp"

namespace turnpike::ledger::test {

class LedgerTest : public testing::Test {
 protected:
  void start(storage::SqliteOptions options = {.commit_delay = std::chrono::milliseconds(0)}) {
    stop();
    options.file = folder.file(data + "/turnpike.db");
    auto opened = storage::open_sqlite(loop.executor(), std::move(options));
    ASSERT_TRUE(opened) << opened.error().message;
    database = std::move(*opened);
    auto ledger_opened = Ledger::open(*database, clock, limits);
    ASSERT_TRUE(ledger_opened) << ledger_opened.error().message;
    ledger = std::move(*ledger_opened);
  }
  // What SIGKILL would leave: the next start works on a copy of the folder as it is now.
  void crash() { data = folder.copy_of(data); }
  void stop() {
    ledger = nullptr;
    database = nullptr;
  }
  AccountId account_with(std::int64_t nanousd) {
    const Account account = loop.run(ledger->create_account("test")).value();
    if (nanousd > 0) EXPECT_TRUE(loop.run(ledger->grant(account.id, Money::nanousd(nanousd), "for a test")));
    return account.id;
  }
  Result<Hold> hold(AccountId account, std::int64_t nanousd) {
    job = "job_" + std::to_string(++jobs);
    return ledger->hold(account, Money::nanousd(nanousd), {.job_id = job, .model = "m-1"});
  }
  Result<Money> capture(Hold hold, std::int64_t nanousd, Basis basis = Basis::node_usage) {
    return loop.run(ledger->capture(std::move(hold), {.amount = Money::nanousd(nanousd), .basis = basis}));
  }
  HistoryPage history(AccountId account, int limit = 200, std::optional<std::int64_t> before = {}) {
    return loop.run(ledger->history(account, limit, before)).value();
  }
  std::int64_t balance(AccountId account) { return ledger->balance(account).nanousd(); }
  std::int64_t available(AccountId account) { return ledger->available(account).nanousd(); }
  void expect_right_books() {
    history(1);  // waits for what was written before it
    const auto books = audit(*database);
    ASSERT_TRUE(books) << books.error().message;
    EXPECT_TRUE(books->faults.empty()) << books->faults.front();
  }

  turnpike::test::TempFolder folder;
  std::string data = "data";
  turnpike::test::Loop loop;
  HeldClock clock;
  Limits limits;
  std::unique_ptr<storage::Database> database;
  std::unique_ptr<Ledger> ledger;
  std::string job;
  int jobs = 0;
};

}  // namespace turnpike::ledger::test
