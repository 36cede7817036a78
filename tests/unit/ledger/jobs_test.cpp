// The jobs of an account: those that hold credits, those that were charged, those that ended without a charge.
#include <gmock/gmock.h>

#include <vector>

#include "ledger_fixture.hpp"
#include "turnpike/storage/connection.hpp"

namespace turnpike::ledger {
namespace {

class Jobs : public test::LedgerTest {
 protected:
  JobPage paid(AccountId account, const JobFilter& filter = {}, int limit = 200,
               std::optional<std::int64_t> before = {}) {
    return loop.run(ledger->paid_jobs(account, filter, limit, before)).value();
  }
  JobPage unpaid(AccountId account, const JobFilter& filter = {}, int limit = 200,
                 std::optional<std::int64_t> before = {}) {
    return loop.run(ledger->unpaid_jobs(account, filter, limit, before)).value();
  }
  std::optional<EndedJob> ended(AccountId account, std::string_view id) {
    return loop.run(ledger->ended_job(account, id)).value();
  }
  // The job's id.
  std::string fail(AccountId account, std::string_view code = "node_error") {
    ledger->end_unpaid(hold(account, 100).value(), {.code = code, .timed_out = code == "node_timeout"});
    return job;
  }
  std::string charge(AccountId account) {
    EXPECT_TRUE(capture(hold(account, 100).value(), 10));
    return job;
  }
  static std::vector<std::string> ids(const JobPage& page) {
    std::vector<std::string> all;
    for (const auto& each : page.jobs) all.push_back(each.charge.job_id);
    return all;
  }
};

TEST_F(Jobs, that_a_crash_cut_off_have_failed_at_the_next_start) {
  start();
  const AccountId account = account_with(10'000);
  auto cut_off = hold(account, 100).value();
  const auto began = clock.wall();
  const Money queued_amount = ledger->set_aside(hold(account, 200).value());
  auto queued = ledger->take_up(account, queued_amount, {.job_id = "queued", .model = "m-1"}, clock.wall());
  clock.advance(std::chrono::seconds(5));
  ledger->journal_open_holds(clock.now());
  history(account);  // waits for what was written before it
  crash();
  ledger->release(std::move(cut_off), "crashed");
  ledger->release(std::move(queued), "crashed");
  start();
  const auto job = ended(account, "job_1");
  ASSERT_TRUE(job);
  EXPECT_FALSE(job->paid);
  EXPECT_EQ(job->code, "gateway_restart");
  EXPECT_EQ(job->held.nanousd(), 100);
  EXPECT_EQ(job->held_at, began);
  EXPECT_EQ(job->charge.created_at, clock.wall());
  EXPECT_THAT(ids(unpaid(account)), testing::ElementsAre("job_1")) << "one that is queued goes on";
  EXPECT_EQ(available(account), 10'000);
  EXPECT_EQ(ledger->stats().released_at_start, 1U);
  start();
  EXPECT_THAT(ids(unpaid(account)), testing::ElementsAre("job_1"));
  expect_right_books();
}

TEST_F(Jobs, that_hold_credits_are_known_newest_first_until_they_are_settled) {
  start();
  const AccountId account = account_with(10'000);
  const AccountId other = account_with(10'000);
  limits.hold_journal_delay = std::chrono::milliseconds(1000);
  auto first = hold(account, 100).value();
  clock.advance(std::chrono::seconds(2));
  ledger->journal_open_holds(clock.now());  // one written down, one not
  auto second = hold(account, 200).value();
  auto others = hold(other, 300).value();
  const auto running = ledger->running_jobs(account);
  ASSERT_EQ(running.size(), 2U);
  EXPECT_EQ(running[0].job_id, "job_2");
  EXPECT_EQ(running[0].held.nanousd(), 200);
  EXPECT_EQ(running[0].model, "m-1");
  EXPECT_EQ(running[1].job_id, "job_1");
  EXPECT_EQ(running[1].held_at, clock.wall() - std::chrono::seconds(2));
  ASSERT_TRUE(capture(std::move(second), 1));
  ledger->release(std::move(first), "over");
  EXPECT_TRUE(ledger->running_jobs(account).empty());
  ledger->release(std::move(others), "over");
}

TEST_F(Jobs, that_ended_without_a_charge_cost_nothing_and_are_remembered) {
  start();
  const AccountId account = account_with(10'000);
  const AccountId other = account_with(10'000);
  const auto began = clock.wall();
  auto held = hold(account, 100).value();
  const auto id = job;
  clock.advance(std::chrono::seconds(3));
  ledger->end_unpaid(std::move(held), {.code = "node_timeout", .timed_out = true});
  EXPECT_EQ(available(account), 10'000);
  const auto left = fail(account, "");
  const auto found = ended(account, id);
  ASSERT_TRUE(found);
  EXPECT_FALSE(found->paid);
  EXPECT_EQ(found->code, "node_timeout");
  EXPECT_EQ(found->charge.model, "m-1");
  EXPECT_EQ(found->held.nanousd(), 100);
  EXPECT_EQ(found->held_at, began);
  EXPECT_EQ(found->charge.created_at, clock.wall());
  EXPECT_EQ(ended(account, left)->code, "");
  EXPECT_FALSE(ended(other, id));
  start();
  EXPECT_EQ(ids(unpaid(account)), (std::vector<std::string>{left, id}));
  EXPECT_TRUE(unpaid(other).jobs.empty());
  EXPECT_EQ(ids(unpaid(account, {.client_left = true})), std::vector<std::string>{left});
  EXPECT_EQ(ids(unpaid(account, {.client_left = false})), std::vector<std::string>{id});
  expect_right_books();
}

TEST_F(Jobs, that_were_charged_say_so_with_the_hash_of_their_receipt) {
  start();
  const AccountId account = account_with(10'000);
  const auto id = charge(account);
  const auto found = ended(account, id);
  ASSERT_TRUE(found);
  EXPECT_TRUE(found->paid);
  EXPECT_EQ(found->charge.amount.nanousd(), -10);
  EXPECT_EQ(found->held.nanousd(), 100);
  EXPECT_TRUE(found->receipt_hash);
  EXPECT_FALSE(ended(account, "job_unknown"));
}

TEST_F(Jobs, come_in_pages_newest_first_each_once) {
  start();
  const AccountId account = account_with(10'000);
  std::vector<std::string> charged;
  std::vector<std::string> failed;
  for (int i = 0; i < 10; ++i) {
    charged.insert(charged.begin(), charge(account));
    failed.insert(failed.begin(), fail(account));
    ASSERT_TRUE(loop.run(ledger->grant(account, Money::nanousd(1), "in between")));
  }
  std::vector<std::string> shown;
  std::optional<std::int64_t> before;
  do {
    const auto page = paid(account, {}, 3, before);
    EXPECT_LE(page.jobs.size(), 3U);
    for (auto& id : ids(page)) shown.push_back(std::move(id));
    before = page.next_cursor;
  } while (before);
  EXPECT_EQ(shown, charged);
  shown.clear();
  do {
    const auto page = unpaid(account, {}, 4, before);
    for (auto& id : ids(page)) shown.push_back(std::move(id));
    before = page.next_cursor;
  } while (before);
  EXPECT_EQ(shown, failed);
}

TEST_F(Jobs, are_found_by_model_and_time) {
  start();
  const AccountId account = account_with(10'000);
  std::vector<WallTime> times;
  for (int i = 0; i < 5; ++i) {
    clock.advance(std::chrono::seconds(10));
    times.push_back(clock.wall());
    charge(account);
    fail(account);
  }
  EXPECT_EQ(ids(paid(account, {.after = times[1], .before = times[3]})), (std::vector<std::string>{"job_5", "job_3"}));
  EXPECT_EQ(ids(unpaid(account, {.after = times[1], .before = times[3]})),
            (std::vector<std::string>{"job_6", "job_4"}));
  EXPECT_EQ(paid(account, {.model = "m-1"}).jobs.size(), 5U);
  EXPECT_TRUE(paid(account, {.model = "m-2"}).jobs.empty());
  EXPECT_TRUE(unpaid(account, {.model = "m-2"}).jobs.empty());
}

TEST_F(Jobs, without_a_charge_are_as_many_as_the_limit_and_as_old_as_the_retention) {
  limits.max_unpaid_jobs = 3;
  limits.unpaid_retention = std::chrono::hours(1);
  start();
  const AccountId account = account_with(10'000);
  for (int i = 0; i < 5; ++i) fail(account);
  EXPECT_EQ(ids(unpaid(account)), (std::vector<std::string>{"job_5", "job_4", "job_3"}));
  clock.advance(std::chrono::minutes(59));
  fail(account);
  ledger->forget_unpaid_jobs();
  EXPECT_EQ(unpaid(account).jobs.size(), 3U);
  clock.advance(std::chrono::minutes(2));
  ledger->forget_unpaid_jobs();
  EXPECT_EQ(ids(unpaid(account)), std::vector<std::string>{"job_6"});
}

TEST_F(Jobs, without_a_charge_are_forgotten_rather_than_waited_for_when_storage_is_behind) {
  storage::SqliteOptions options{.commit_delay = std::chrono::milliseconds(0)};
  options.queue_limit = 4;
  start(options);
  const AccountId account = account_with(10'000);
  history(account);  // waits for what was written before it
  auto held = hold(account, 100).value();
  std::vector<Hold> charged;
  for (int i = 0; i < 4; ++i) charged.push_back(hold(account, 100).value());
  // Nothing is handed over before the loop turns.
  for (auto& each : charged) ASSERT_TRUE(ledger->charge(std::move(each), {.amount = Money::nanousd(1)}));
  ledger->end_unpaid(std::move(held), {.code = "node_error"});
  EXPECT_EQ(ledger->stats().unpaid_forgotten, 1U);
  EXPECT_EQ(available(account), 9'996);
}

}  // namespace
}  // namespace turnpike::ledger
