#include "turnpike/ledger/ledger.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "ledger_fixture.hpp"

namespace turnpike::ledger {
namespace {

constexpr Served kNodeOne[] = {{.node_id = "node-1"}};

using test::LedgerTest;

TEST_F(LedgerTest, an_account_opened_without_a_wait_is_there_at_once_and_durable_with_the_next_write) {
  start();
  const auto opened = ledger->open_account("wallet");
  ASSERT_TRUE(opened);
  ASSERT_NE(ledger->find(opened->public_id), nullptr);
  EXPECT_TRUE(loop.run(ledger->grant(opened->id, Money::nanousd(5), "for a test")));
  const Account again = loop.run(ledger->create_account("next")).value();
  EXPECT_NE(again.id, opened->id);
  start();
  EXPECT_EQ(ledger->find(opened->public_id)->name, "wallet");
  EXPECT_EQ(balance(opened->id), 5);
  limits.max_accounts = 2;
  start();
  EXPECT_EQ(ledger->open_account("third").error().fault, Fault::service_unavailable);
}

TEST_F(LedgerTest, charges_and_grants_that_no_transaction_holds_yet_survive_the_end_of_the_program) {
  const storage::SqliteOptions late{.commit_delay = std::chrono::hours(1)};
  start(late);
  const AccountId account = account_with(1000);
  for (int i = 0; i < 3; ++i) {
    auto held = hold(account, 100);
    ASSERT_TRUE(held);
    const auto charged = ledger->charge(*std::move(held), {.amount = Money::nanousd(30),
                                                           .basis = Basis::bounded,
                                                           .tokens = {.prompt = 7, .completion = 9},
                                                           .nodes = kNodeOne});
    ASSERT_TRUE(charged);
    EXPECT_EQ(charged->pending, nullptr) << "durable when the call returns";
  }
  auto open_still = hold(account, 500);
  for (int crashes = 0; crashes < 3; ++crashes) {
    crash();
    open_still = Hold();
    start(late);
    EXPECT_EQ(balance(account), 910);
    EXPECT_EQ(available(account), 910);
    const auto entries = history(account).entries;
    ASSERT_EQ(entries.size(), 4U);
    for (std::size_t i = 0; i < 3; ++i) {
      const auto& charge = entries[i];
      EXPECT_EQ(charge.id, 4 - static_cast<std::int64_t>(i));
      EXPECT_EQ(charge.type, EntryType::charge);
      EXPECT_EQ(charge.amount.nanousd(), -30);
      EXPECT_EQ(charge.balance.nanousd(), 910 + 30 * static_cast<std::int64_t>(i));
      EXPECT_EQ(charge.job_id, "job_" + std::to_string(3 - i));
      EXPECT_EQ(charge.model, "m-1");
      EXPECT_EQ(charge.basis, "bounded");
      EXPECT_EQ(charge.tokens.prompt, 7U);
      EXPECT_EQ(charge.tokens.completion, 9U);
      EXPECT_EQ(charge.node_id, "node-1");
      EXPECT_EQ(charge.created_at, clock.wall());
    }
    EXPECT_EQ(entries[3].type, EntryType::grant);
    EXPECT_EQ(entries[3].note, "for a test");
    expect_right_books();
  }
  EXPECT_TRUE(capture(hold(account, 10).value(), 10)) << "numbers go on where the journal ended";
  expect_right_books();
}

TEST_F(LedgerTest, a_journal_that_does_not_go_on_where_the_database_ends_is_refused) {
  start();
  const AccountId account = account_with(1000);
  stop();
  const auto backup = folder.copy_of(data);
  // A journal so small that the records of what is committed are soon overwritten.
  start({.commit_delay = std::chrono::milliseconds(0), .journal_bytes = 256});
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(capture(hold(account, 10).value(), 10));
    history(account);
  }
  crash();
  for (const auto* name : {"turnpike.db-journal-0", "turnpike.db-journal-1"}) {
    std::filesystem::copy_file(folder.file(data + "/" + name), folder.file(backup + "/" + name),
                               std::filesystem::copy_options::overwrite_existing);
  }
  stop();
  storage::SqliteOptions options;
  options.file = folder.file(backup + "/turnpike.db");
  database = storage::open_sqlite(loop.executor(), options).value();
  const auto opened = Ledger::open(*database, clock, limits);
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().message.find("they are not of one run"), std::string::npos) << opened.error().message;
}

TEST_F(LedgerTest, a_hold_is_never_larger_than_what_is_available) {
  start();
  const AccountId account = account_with(100);
  auto first = hold(account, 60);
  ASSERT_TRUE(first);
  EXPECT_EQ(available(account), 40);
  EXPECT_EQ(balance(account), 100);
  EXPECT_EQ(hold(account, 41).error().fault, Fault::insufficient_credits);
  EXPECT_TRUE(hold(account, 40));  // dropped at once
  EXPECT_EQ(available(account), 40);
  ledger->release(std::move(*first), "test");
  EXPECT_EQ(available(account), 100);
}

TEST_F(LedgerTest, two_hundred_requests_race_for_a_balance_that_pays_for_fifty) {
  start();
  const AccountId account = account_with(50 * 1'000);
  std::vector<Hold> holds;
  int refused = 0;
  for (int i = 0; i < 200; ++i) {
    auto held = hold(account, 1'000);
    if (held) {
      holds.push_back(std::move(*held));
    } else {
      EXPECT_EQ(held.error().fault, Fault::insufficient_credits);
      ++refused;
    }
  }
  EXPECT_EQ(refused, 150);
  for (Hold& held : holds) EXPECT_TRUE(capture(std::move(held), 999));
  EXPECT_EQ(balance(account), 50);
  EXPECT_EQ(ledger->stats().refusals, 150U);
  expect_right_books();
}

TEST_F(LedgerTest, a_capture_gives_the_rest_of_its_hold_back) {
  start();
  const AccountId account = account_with(100);
  EXPECT_EQ(capture(hold(account, 80).value(), 30)->nanousd(), 70);
  EXPECT_EQ(available(account), 70);
  EXPECT_EQ(ledger->stats().open_holds, 0U);
}

TEST_F(LedgerTest, a_charge_is_never_larger_than_its_hold) {
  start();
  const AccountId account = account_with(100);
  EXPECT_EQ(capture(hold(account, 80).value(), 1'000'000)->nanousd(), 20);
  EXPECT_EQ(capture(hold(account, 20).value(), -5)->nanousd(), 20);
}

TEST_F(LedgerTest, a_charge_that_nobody_waits_for_is_made_all_the_same) {
  start();
  const AccountId account = account_with(100);
  {
    // The client's coroutine died here: the awaitable is dropped.
    const auto dropped = ledger->capture(hold(account, 80).value(), {.amount = Money::nanousd(30)});
  }
  EXPECT_EQ(balance(account), 70);
  start();
  EXPECT_EQ(balance(account), 70);
  expect_right_books();
}

TEST_F(LedgerTest, history_says_what_was_charged_and_why_newest_first) {
  start();
  const AccountId account = account_with(1'000);
  auto held = hold(account, 500);
  const std::string charged_job = job;
  const auto after = loop.run(ledger->capture(std::move(*held), {.amount = Money::nanousd(28),
                                                                 .basis = Basis::bounded,
                                                                 .tokens = {.prompt = 12, .completion = 8},
                                                                 .nodes = kNodeOne}));
  EXPECT_EQ(after->nanousd(), 972);
  const HistoryPage page = history(account);
  ASSERT_EQ(page.entries.size(), 2U);
  EXPECT_FALSE(page.next_cursor);
  const Entry& charge = page.entries[0];
  EXPECT_EQ(charge.type, EntryType::charge);
  EXPECT_EQ(charge.amount.nanousd(), -28);
  EXPECT_EQ(charge.balance.nanousd(), 972);
  EXPECT_EQ(charge.job_id, charged_job);
  EXPECT_EQ(charge.model, "m-1");
  EXPECT_EQ(charge.basis, "bounded");
  EXPECT_EQ(charge.tokens, (TokenCounts{.prompt = 12, .completion = 8}));
  EXPECT_EQ(charge.node_id, "node-1");
  EXPECT_EQ(charge.created_at, clock.wall());
  EXPECT_EQ(page.entries[1].type, EntryType::grant);
  EXPECT_EQ(page.entries[1].note, "for a test");
  EXPECT_EQ(page.entries[1].basis, "");
}

TEST_F(LedgerTest, history_pages_show_every_entry_once) {
  start();
  const AccountId account = account_with(1'000);
  const AccountId other = account_with(1'000);
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(capture(hold(account, 10).value(), 1));
    EXPECT_TRUE(capture(hold(other, 10).value(), 1));
  }
  std::vector<std::int64_t> ids;
  std::optional<std::int64_t> before;
  do {
    const HistoryPage page = history(account, 3, before);
    EXPECT_LE(page.entries.size(), 3U);
    for (const Entry& entry : page.entries) ids.push_back(entry.id);
    before = page.next_cursor;
  } while (before);
  EXPECT_EQ(ids.size(), 11U);
  EXPECT_TRUE(std::ranges::is_sorted(ids, std::greater()));
}

TEST_F(LedgerTest, a_cursor_that_is_not_the_accounts_own_shows_nothing) {
  start();
  const AccountId account = account_with(1'000);
  const AccountId other = account_with(1'000);
  EXPECT_TRUE(capture(hold(account, 10).value(), 1));
  EXPECT_TRUE(capture(hold(other, 10).value(), 1));
  EXPECT_EQ(history(account, 200, history(account, 1).next_cursor).entries.size(), 1U);
  EXPECT_TRUE(history(account, 200, history(other, 1).next_cursor).entries.empty());
  EXPECT_TRUE(history(account, 200, 99).entries.empty());
}

TEST_F(LedgerTest, finds_every_accounts_last_entry_again_wherever_it_was_killed) {
  limits.mark_every = 5;
  start();
  const std::vector<AccountId> accounts = {account_with(1'000), account_with(1'000), account_with(1'000)};
  std::map<AccountId, std::size_t> entries;
  for (const AccountId account : accounts) entries[account] = 1;
  std::mt19937_64 rng(3);
  for (int round = 0; round < 40; ++round) {
    for (auto left = rng() % 4; left > 0; --left) {
      const AccountId account = accounts[rng() % 2 + rng() % 2];
      EXPECT_TRUE(capture(hold(account, 10).value(), 1));
      ++entries[account];
    }
    crash();
    start();
    for (const AccountId account : accounts) {
      ASSERT_EQ(history(account).entries.size(), entries[account]) << "round " << round;
      ASSERT_EQ(balance(account), 1'001 - static_cast<std::int64_t>(entries[account]));
      ASSERT_EQ(history(account, 1).entries[0].balance.nanousd(), balance(account));
    }
    expect_right_books();
  }
}

TEST_F(LedgerTest, a_short_request_never_writes_its_hold) {
  start();
  const AccountId account = account_with(100);
  auto held = hold(account, 80);
  clock.advance(std::chrono::milliseconds(999));
  ledger->journal_open_holds(clock.now());
  EXPECT_EQ(audit(*database)->holds, 0U);
  ledger->release(std::move(*held), "test");
}

TEST_F(LedgerTest, a_long_hold_is_written_down_and_goes_with_its_charge) {
  start();
  const AccountId account = account_with(100);
  auto first = hold(account, 10);
  auto second = hold(account, 20);
  clock.advance(std::chrono::seconds(1));
  ledger->journal_open_holds(clock.now());
  EXPECT_TRUE(history(account).entries.size() == 1);  // waits for the writes before it
  EXPECT_EQ(audit(*database)->holds, 2U);
  EXPECT_TRUE(capture(std::move(*first), 1));
  EXPECT_TRUE(history(account).entries.size() == 2);
  EXPECT_EQ(audit(*database)->holds, 1U);
  ledger->release(std::move(*second), "test");
  EXPECT_TRUE(history(account).entries.size() == 2);
  EXPECT_EQ(audit(*database)->holds, 0U);
  expect_right_books();
}

TEST_F(LedgerTest, holds_that_a_crash_left_are_released_at_the_next_start) {
  start();
  const AccountId account = account_with(100);
  auto held = hold(account, 80);
  clock.advance(std::chrono::seconds(1));
  ledger->journal_open_holds(clock.now());
  EXPECT_EQ(history(account).entries.size(), 1U);
  crash();
  held = Hold();
  start();
  EXPECT_EQ(available(account), 100);
  EXPECT_EQ(ledger->stats().released_at_start, 1U);
  EXPECT_EQ(audit(*database)->holds, 0U);
}

TEST_F(LedgerTest, balances_accounts_and_ids_survive_a_restart) {
  start();
  const AccountId account = account_with(100);
  const std::string public_id = ledger->find(account)->public_id;
  EXPECT_TRUE(capture(hold(account, 80).value(), 30));
  start();
  ASSERT_NE(ledger->find(public_id), nullptr);
  EXPECT_EQ(ledger->find(public_id)->id, account);
  EXPECT_EQ(balance(account), 70);
  EXPECT_EQ(ledger->find("acct_nobody"), nullptr);
  EXPECT_TRUE(capture(hold(account, 70).value(), 70));
  EXPECT_NE(account_with(5), account);
  expect_right_books();
}

TEST_F(LedgerTest, the_days_tokens_are_counted_and_known_again_after_a_restart_and_a_crash) {
  start({.commit_delay = std::chrono::hours(1)});
  const AccountId account = account_with(1'000);
  const AccountId other = account_with(1'000);
  const auto charge = [&](AccountId payer, std::uint64_t prompt, std::uint64_t completion) {
    auto held = hold(payer, 10).value();
    EXPECT_TRUE(loop.run(ledger->capture(
        std::move(held), {.amount = Money::nanousd(10), .tokens = {.prompt = prompt, .completion = completion}})));
  };
  const auto into_the_day = clock.wall() - day_of(clock.wall());
  clock.advance(std::chrono::days(1) - into_the_day - std::chrono::minutes(10));
  charge(account, 1'000, 1'000);
  clock.advance(std::chrono::minutes(20));
  EXPECT_EQ(ledger->tokens_today(account), 0U) << "a new day";
  charge(account, 10, 5);
  charge(account, 100, 0);
  charge(other, 7, 0);
  EXPECT_EQ(ledger->tokens_today(account), 115U);
  crash();
  start({.commit_delay = std::chrono::milliseconds(0)});
  EXPECT_EQ(ledger->tokens_today(account), 115U);
  EXPECT_EQ(ledger->tokens_today(other), 7U);
  charge(account, 1, 0);
  start();
  EXPECT_EQ(ledger->tokens_today(account), 116U);
  clock.advance(std::chrono::days(1));
  EXPECT_EQ(ledger->tokens_today(account), 0U);
  start();
  EXPECT_EQ(ledger->tokens_today(account), 0U);
  EXPECT_EQ(ledger->tokens_today(-1), 0U);
}

TEST_F(LedgerTest, a_failed_commit_stops_paid_work) {
  std::atomic<bool> healthy = true;
  start({.durability = storage::Durability::power, .allow_commit = [&] { return healthy.load(); }});
  const AccountId account = account_with(100);
  auto held = hold(account, 80);
  healthy = false;
  EXPECT_EQ(capture(std::move(*held), 30).error().fault, Fault::service_unavailable);
  EXPECT_TRUE(ledger->poisoned());
  EXPECT_EQ(hold(account, 1).error().fault, Fault::service_unavailable);
  EXPECT_FALSE(loop.run(ledger->grant(account, Money::nanousd(1), "")));
  EXPECT_FALSE(loop.run(ledger->create_account("late")));
  start();
  EXPECT_EQ(balance(account), 100);
}

TEST_F(LedgerTest, a_commit_that_fails_behind_the_journal_stops_paid_work_and_loses_no_charge) {
  std::atomic<bool> healthy = true;
  start({.commit_delay = std::chrono::hours(1), .allow_commit = [&] { return healthy.load(); }});
  const AccountId account = account_with(100);
  history(account);
  auto first = hold(account, 30);
  auto second = hold(account, 30);
  healthy = false;
  EXPECT_TRUE(capture(std::move(*first), 30));
  std::ignore = loop.run(ledger->history(account, 1, {}));  // after the commit that fails
  EXPECT_TRUE(ledger->poisoned());
  EXPECT_EQ(capture(std::move(*second), 30).error().fault, Fault::service_unavailable);
  EXPECT_EQ(hold(account, 1).error().fault, Fault::service_unavailable);
  start();
  EXPECT_EQ(balance(account), 70);
  expect_right_books();
}

TEST_F(LedgerTest, a_job_is_never_charged_twice) {
  start({.commit_delay = std::chrono::hours(1)});
  const AccountId account = account_with(100);
  const JobFacts facts{.job_id = "job_same", .model = "m-1"};
  EXPECT_TRUE(capture(ledger->hold(account, Money::nanousd(10), facts).value(), 10));
  EXPECT_TRUE(capture(ledger->hold(account, Money::nanousd(10), facts).value(), 10));
  EXPECT_TRUE(capture(hold(account, 5).value(), 5));
  std::ignore = loop.run(ledger->history(account, 1, {}));  // commits what waits
  EXPECT_TRUE(ledger->poisoned());
  start();
  EXPECT_EQ(balance(account), 85);
  expect_right_books();
}

TEST_F(LedgerTest, a_top_up_is_an_entry_of_its_payment_and_survives_the_end_of_the_program) {
  const storage::SqliteOptions late{.commit_delay = std::chrono::hours(1)};
  start(late);
  const AccountId account = account_with(0);
  EXPECT_EQ(loop.run(ledger->top_up(account, Money::nanousd(70), "pay_1", "0xab")).value().nanousd(), 70);
  EXPECT_EQ(loop.run(ledger->top_up(account, Money::nanousd(30), "pay_2", "0xcd")).value().nanousd(), 100);
  EXPECT_EQ(loop.run(ledger->top_up(account, Money(), "pay_3", "0xef")).error().fault, Fault::invalid_request);
  crash();
  start(late);
  EXPECT_EQ(balance(account), 100);
  const auto entries = history(account).entries;
  ASSERT_EQ(entries.size(), 2U);
  EXPECT_EQ(entries[1].type, EntryType::topup);
  EXPECT_EQ(entries[1].amount.nanousd(), 70);
  EXPECT_EQ(entries[1].job_id, "pay_1");
  EXPECT_EQ(entries[1].note, "0xab");
  const auto books = audit(*database).value();
  ASSERT_EQ(books.faults.size(), 2U);
  EXPECT_EQ(books.faults[0], "entry 1: a top-up without a payment of that amount");
}

TEST_F(LedgerTest, a_payment_is_never_credited_twice) {
  start();
  const AccountId account = account_with(0);
  EXPECT_TRUE(loop.run(ledger->top_up(account, Money::nanousd(70), "pay_1", "0xab")));
  std::ignore = loop.run(ledger->top_up(account, Money::nanousd(70), "pay_1", "0xab"));
  EXPECT_EQ(history(account).entries.size(), 1U) << "what is stored is shown";
  EXPECT_TRUE(ledger->poisoned()) << "memory is wrong, so nothing more is sold";
  crash();
  start();
  EXPECT_EQ(balance(account), 70);
}

TEST_F(LedgerTest, a_full_write_queue_refuses_holds_and_never_captures) {
  limits.max_open_holds = 2;
  start();
  const AccountId account = account_with(100);
  auto first = hold(account, 1);
  auto second = hold(account, 1);
  EXPECT_EQ(hold(account, 1).error().fault, Fault::service_unavailable);
  EXPECT_TRUE(capture(std::move(*first), 1));
  EXPECT_TRUE(hold(account, 1));
  ledger->release(std::move(*second), "test");
}

TEST_F(LedgerTest, an_adjustment_takes_no_more_than_is_available) {
  start();
  const AccountId account = account_with(100);
  auto held = hold(account, 60);
  const auto take = [&](std::int64_t nanousd) {
    return loop.run(ledger->grant(account, Money::nanousd(nanousd), "correction", EntryType::adjustment));
  };
  EXPECT_EQ(take(-41).error().fault, Fault::invalid_request);
  EXPECT_EQ(take(-40)->nanousd(), 60);
  EXPECT_EQ(loop.run(ledger->grant(account, Money::nanousd(0), "")).error().fault, Fault::invalid_request);
  EXPECT_EQ(loop.run(ledger->grant(account, Money::max(), "")).error().fault, Fault::invalid_request);
  EXPECT_EQ(loop.run(ledger->grant(99, Money::nanousd(1), "")).error().fault, Fault::not_found);
  EXPECT_TRUE(capture(std::move(*held), 60));
  EXPECT_EQ(balance(account), 0);
  expect_right_books();
}

TEST_F(LedgerTest, more_accounts_than_the_limit_are_refused) {
  limits.max_accounts = 2;
  start();
  account_with(0);
  account_with(0);
  EXPECT_EQ(loop.run(ledger->create_account("third")).error().fault, Fault::service_unavailable);
}

// Whatever interleaving, the ledger is a naive model's equal to the nano-dollar, and so is what it wrote.
TEST_F(LedgerTest, any_interleaving_equals_a_naive_model) {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    start();
    std::mt19937_64 random(seed);
    const auto below = [&random](std::size_t end) { return random() % end; };
    std::vector<AccountId> accounts;
    std::map<AccountId, std::int64_t> balances;
    std::map<AccountId, std::int64_t> held;
    std::vector<Hold> holds;
    for (int i = 0; i < 3; ++i) accounts.push_back(account_with(0));
    for (int step = 0; step < 600; ++step) {
      const AccountId account = accounts[below(accounts.size())];
      const auto amount = static_cast<std::int64_t>(below(2'000'000'000));
      switch (below(8)) {
        case 0:
          if (amount > 0) EXPECT_TRUE(loop.run(ledger->grant(account, Money::nanousd(amount), "")));
          balances[account] += amount;
          break;
        case 1:
          clock.advance(std::chrono::milliseconds(700));
          ledger->journal_open_holds(clock.now());
          break;
        case 2:
        case 3:
        case 4: {
          jobs += 1000;
          auto opened = hold(account, amount);
          ASSERT_EQ(opened.has_value(), amount <= balances[account] - held[account]);
          if (!opened) break;
          held[account] += amount;
          holds.push_back(std::move(*opened));
          break;
        }
        default: {
          if (holds.empty()) break;
          std::swap(holds[below(holds.size())], holds.back());
          Hold last = std::move(holds.back());
          holds.pop_back();
          const AccountId payer = last.account();
          const std::int64_t bound = last.amount().nanousd();
          held[payer] -= bound;
          if (below(3) == 0) break;  // dropped: released
          const auto charge = static_cast<std::int64_t>(below(static_cast<std::size_t>(bound) + 1));
          balances[payer] -= charge;
          EXPECT_EQ(capture(std::move(last), charge)->nanousd(), balances[payer]);
        }
      }
      for (const AccountId each : accounts) {
        ASSERT_EQ(balance(each), balances[each]);
        ASSERT_EQ(available(each), balances[each] - held[each]);
        ASSERT_GE(available(each), 0);
      }
    }
    holds.clear();
    start();
    for (const AccountId each : accounts) EXPECT_EQ(balance(each), balances[each]);
    EXPECT_EQ(audit(*database)->holds, 0U);
    expect_right_books();
  }
}

}  // namespace
}  // namespace turnpike::ledger
