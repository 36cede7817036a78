#include "turnpike/jobs/job_queue.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/loop.hpp"
#include "common/temp_folder.hpp"
#include "turnpike/base/signal.hpp"
#include "turnpike/storage/connection.hpp"
#include "turnpike/storage/sqlite.hpp"

namespace turnpike::jobs {
namespace {

using namespace std::chrono_literals;
using boost::asio::awaitable;
using ledger::Money;

// A queue over a real database and a real ledger, with a held clock. What a try comes to is the test's to say.
class JobQueueTest : public testing::Test {
 protected:
  JobQueueTest() {
    rules = {.max_jobs = 1000,
             .max_jobs_per_account = 1000,
             .max_bytes = 1'000'000,
             .max_running = 8,
             .retention = 24h,
             .idempotency = 24h};
  }
  void SetUp() override {
    start();
    account = add_account();
  }
  void TearDown() override { stop(); }

  void start() {
    database = storage::open_sqlite(loop.executor(), {.file = folder.file(data + "/turnpike.db"), .commit_delay = 0ms})
                   .value();
    ledger = ledger::Ledger::open(*database, clock, {}).value();
    tasks.emplace(loop.executor());
    QueueParts parts{.executor = loop.executor(),
                     .deadlines = deadlines,
                     .tasks = *tasks,
                     .database = *database,
                     .ledger = *ledger,
                     .subscriptions = subscriptions,
                     .run = [this](const Request& request, ledger::Hold& hold, const Keep& keep,
                                   std::stop_token stopped) { return run(request, hold, keep, std::move(stopped)); },
                     .concurrency = [this](ledger::AccountId, const std::string&) { return concurrency; },
                     .seed = 3};
    queue = JobQueue::open(std::move(parts), rules).value();
    queue->start();
  }
  void stop() {
    if (!queue) return;
    queue->stop_starting();
    queue->stop_running();
    let_go();
    run_until([this] { return queue->stats().processing == 0; });
    tasks->request_stop();
    run_until([this] { return tasks->size() == 0; });
    queue = nullptr;
    tasks.reset();
    ledger = nullptr;
    database = nullptr;
  }
  // What SIGKILL would leave: the next start works on a copy of the folder as it is now.
  void crash() {
    const auto copy = folder.copy_of(data);
    stop();
    data = copy;
    held = false;
    start();
  }

  ledger::AccountId add_account() {
    const auto id = loop.run(ledger->create_account("")).value().id;
    EXPECT_TRUE(loop.run(ledger->grant(id, Money::nanousd(kGranted), "")));
    return id;
  }

  // One try: charges the hold in full, or fails as `failing` says; a held one waits for let_go().
  awaitable<Outcome> run(const Request& request, ledger::Hold& hold, const Keep& keep, std::stop_token stopped) {
    tries.push_back({request.id, clock.wall()});
    most_running = std::max(most_running, ++running);
    Signal go(loop.executor());
    waiting.push_back(&go);
    const std::stop_callback wake(stopped, [&go] { go.notify(); });
    while (held && !stopped.stop_requested()) co_await go.wait();
    std::erase(waiting, &go);
    --running;
    if (stopped.stop_requested() && held)
      co_return Outcome{.error = Error{.fault = Fault::node_error, .message = "cut"}};
    if (deferred > 0) {
      --deferred;
      co_return Outcome{.error = {}, .not_before = 7s};
    }
    if (const auto failure = failing.find(request.id); failure != failing.end()) {
      co_return Outcome{.error = Error{.fault = failure->second, .message = "as the test says"}};
    }
    auto beside = co_await keep(R"({"id":")" + request.id + R"("})", "node-1");
    if (!beside) co_return Outcome{.error = beside.error()};
    if (crash_before_charge) co_return Outcome{.error = Error{.fault = Fault::node_error, .message = "cut"}};
    auto charged = ledger->charge(
        std::move(hold), {.amount = request.held, .basis = ledger::Basis::node_usage, .beside = *std::move(beside)});
    if (!charged) co_return Outcome{.error = charged.error()};
    if (auto written = co_await ledger->written(*std::move(charged)); !written) {
      co_return Outcome{.error = written.error()};
    }
    co_return Outcome{};
  }
  void let_go() {
    held = false;
    for (Signal* each : waiting) each->notify();
  }

  template <class Condition>
  void run_until(Condition condition) {
    const auto end = std::chrono::steady_clock::now() + 20s;
    loop.context().restart();
    while (!condition()) {
      ASSERT_LT(std::chrono::steady_clock::now(), end) << "it did not happen";
      loop.context().run_one_for(10ms);
      loop.context().restart();
    }
  }
  // Moves the clock on, and all that is due happens.
  void pass(std::chrono::nanoseconds time) {
    clock.advance(time);
    deadlines.advance(clock.now());
  }

  Result<Enqueued> try_enqueue(std::string id, ledger::AccountId whose, std::string key = {}, std::string body = "{}") {
    auto hold = ledger->hold(whose, Money::nanousd(kHeld), {.job_id = id, .model = "m-1"});
    if (!hold) return std::unexpected(hold.error());
    Enqueue wanted{.request = {.id = std::move(id),
                               .account = whose,
                               .kind = scan::RequestKind::chat,
                               .dialect = "drm3",
                               .tier = "queue",
                               .pool = "bus",
                               .model = "m-1",
                               .body = body,
                               .most = {},
                               .price = {},
                               .held = Money::nanousd(kHeld)},
                   .idempotency_key = std::move(key),
                   .digest = std::move(body)};
    return loop.run(queue->enqueue(std::move(wanted), *std::move(hold)));
  }
  Job enqueue(std::string id) { return try_enqueue(std::move(id), account).value().job; }
  Job find(const std::string& id) { return loop.run(queue->find(account, id)).value(); }
  void run_until_state(const std::string& id, State state) {
    run_until([&] { return find(id).state == state; });
  }
  std::size_t charges() {
    const auto page = loop.run(ledger->history(account, 200, std::nullopt)).value();
    return static_cast<std::size_t>(std::ranges::count(page.entries, ledger::EntryType::charge, &ledger::Entry::type));
  }

  static constexpr std::int64_t kGranted = 1'000'000;
  static constexpr std::int64_t kHeld = 1'000;
  struct Try {
    std::string id;
    WallTime at;
  };

  test::TempFolder folder;
  std::string data = [this] {
    std::filesystem::create_directory(folder.file("data"));
    return std::string("data");
  }();
  test::Loop loop;
  HeldClock clock;
  Deadlines deadlines{loop.executor(), clock};
  Rules rules;
  std::optional<std::uint64_t> concurrency;
  events::Subscriptions subscriptions;
  std::unique_ptr<storage::Database> database;
  std::unique_ptr<ledger::Ledger> ledger;
  std::optional<TaskGroup> tasks;
  std::unique_ptr<JobQueue> queue;
  ledger::AccountId account = 0;

  std::vector<Try> tries;
  std::vector<Signal*> waiting;
  std::map<std::string, Fault> failing;
  bool held = false;
  bool crash_before_charge = false;
  int deferred = 0;
  std::size_t running = 0;
  std::size_t most_running = 0;
};

TEST_F(JobQueueTest, a_job_is_run_charged_once_and_its_result_is_there) {
  EXPECT_EQ(enqueue("a").state, State::queued);
  run_until_state("a", State::complete);
  EXPECT_EQ(find("a").result, R"({"id":"a"})");
  EXPECT_EQ(find("a").node_id, "node-1");
  EXPECT_EQ(charges(), 1U);
  EXPECT_EQ(ledger->balance(account).nanousd(), kGranted - kHeld);
  EXPECT_EQ(ledger->available(account), ledger->balance(account)) << "nothing is held any more";
}

TEST_F(JobQueueTest, its_credits_are_held_while_it_waits_and_after_a_restart) {
  rules.max_running = 1;
  stop();
  held = true;
  start();
  enqueue("a");
  enqueue("b");
  EXPECT_EQ(ledger->available(account).nanousd(), kGranted - 2 * kHeld);
  run_until_state("a", State::processing);
  EXPECT_EQ(ledger->available(account).nanousd(), kGranted - 2 * kHeld);
  stop();
  held = true;
  start();
  EXPECT_EQ(ledger->available(account).nanousd(), kGranted - 2 * kHeld);
  let_go();
  run_until_state("b", State::complete);
  run_until_state("a", State::complete);
  EXPECT_EQ(ledger->available(account).nanousd(), kGranted - 2 * kHeld);
  EXPECT_EQ(charges(), 2U);
}

// The pauses of the contract, with all fifty tries, in a day and more of held time.
TEST_F(JobQueueTest, fifty_tries_come_at_the_times_of_the_table_and_then_it_is_dead) {
  failing["a"] = Fault::node_error;
  enqueue("a");
  for (std::size_t n = 1; n < 50; ++n) {
    run_until([&] { return tries.size() == n && find("a").retries == n; });
    const auto due = find("a").next_try.value();
    const auto pause = pause_after(rules.retries, n);
    EXPECT_GE(due - tries.back().at, pause.least) << n;
    EXPECT_LE(due - tries.back().at, pause.most) << n;
    pass(due - clock.wall() - 20ms);
    loop.context().restart();
    loop.context().poll();
    EXPECT_EQ(find("a").state, State::queued) << "not before its time";
    ASSERT_EQ(tries.size(), n);
    pass(40ms);
  }
  run_until_state("a", State::dead);
  EXPECT_EQ(tries.size(), 50U);
  EXPECT_EQ(find("a").retries, 50U);
  EXPECT_EQ(find("a").failure->fault, Fault::node_error);
  EXPECT_EQ(ledger->available(account).nanousd(), kGranted) << "a dead job holds nothing";
  EXPECT_EQ(charges(), 0U);
  pass(24h * 365);
  loop.context().restart();
  loop.context().poll();
  EXPECT_EQ(find("a").state, State::dead) << "it is kept for an operator";
  EXPECT_EQ(queue->stats().dead, 1U);
}

TEST_F(JobQueueTest, what_no_try_can_mend_is_dead_at_once) {
  failing["a"] = Fault::invalid_request;
  enqueue("a");
  run_until_state("a", State::dead);
  EXPECT_EQ(tries.size(), 1U);
}

TEST_F(JobQueueTest, a_dead_job_that_is_requeued_has_its_tries_before_it_again) {
  failing["a"] = Fault::invalid_request;
  enqueue("a");
  run_until_state("a", State::dead);
  failing.clear();
  held = true;
  ASSERT_TRUE(loop.run(queue->requeue("a")));
  EXPECT_EQ(ledger->available(account).nanousd(), kGranted - kHeld);
  EXPECT_FALSE(loop.run(queue->requeue("a"))) << "it is not dead any more";
  let_go();
  run_until_state("a", State::complete);
  EXPECT_EQ(charges(), 1U);
  EXPECT_EQ(queue->stats().dead, 0U);
}

TEST_F(JobQueueTest, a_dead_job_of_an_account_without_credits_is_not_requeued) {
  failing["a"] = Fault::invalid_request;
  enqueue("a");
  run_until_state("a", State::dead);
  EXPECT_TRUE(loop.run(ledger->grant(account, Money::nanousd(-kGranted), "", ledger::EntryType::adjustment)));
  const auto refused = loop.run(queue->requeue("a"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().fault, Fault::insufficient_credits);
  EXPECT_EQ(find("a").state, State::dead);
}

TEST_F(JobQueueTest, what_an_accounts_limits_put_off_is_no_try) {
  deferred = 1;
  enqueue("a");
  run_until([&] { return tries.size() == 1 && find("a").state == State::queued; });
  EXPECT_EQ(find("a").retries, 0U);
  EXPECT_EQ(find("a").next_try, clock.wall() + 7s);
  pass(7s + 20ms);
  run_until_state("a", State::complete);
}

TEST_F(JobQueueTest, no_more_run_at_once_than_the_limits_say) {
  held = true;
  concurrency = 2;
  const auto other = add_account();
  for (int i = 0; i < 5; ++i) {
    enqueue("a" + std::to_string(i));
    ASSERT_TRUE(try_enqueue("b" + std::to_string(i), other));
  }
  run_until([&] { return running == 4; });
  loop.context().restart();
  loop.context().poll();
  EXPECT_EQ(running, 4U) << "two of each account";
  let_go();
  run_until([&] { return queue->stats().completed == 10; });
  EXPECT_EQ(most_running, 4U);
}

TEST_F(JobQueueTest, a_queued_job_that_is_cancelled_never_runs_and_gives_its_credits_back) {
  held = true;
  concurrency = 1;
  enqueue("a");
  run_until_state("a", State::processing);
  enqueue("b");
  const auto cancelled = loop.run(queue->cancel(account, "b"));
  ASSERT_TRUE(cancelled);
  EXPECT_EQ(cancelled->state, State::cancelled);
  EXPECT_EQ(ledger->available(account).nanousd(), kGranted - kHeld);
  EXPECT_EQ(loop.run(queue->cancel(account, "b")).value().state, State::cancelled) << "again: the same";
  let_go();
  run_until_state("a", State::complete);
  EXPECT_EQ(tries.size(), 1U);
}

TEST_F(JobQueueTest, a_running_job_that_is_cancelled_is_stopped_and_costs_nothing) {
  held = true;
  enqueue("a");
  run_until_state("a", State::processing);
  EXPECT_EQ(loop.run(queue->cancel(account, "a")).value().state, State::cancelled);
  run_until([&] { return running == 0; });
  EXPECT_EQ(find("a").state, State::cancelled);
  EXPECT_EQ(charges(), 0U);
  EXPECT_EQ(ledger->available(account).nanousd(), kGranted);
}

TEST_F(JobQueueTest, what_is_over_cannot_be_cancelled_and_what_is_anothers_is_not_there) {
  enqueue("a");
  run_until_state("a", State::complete);
  EXPECT_EQ(loop.run(queue->cancel(account, "a")).error().fault, Fault::conflict);
  const auto other = add_account();
  EXPECT_EQ(loop.run(queue->cancel(other, "a")).error().fault, Fault::not_found);
  EXPECT_EQ(loop.run(queue->find(other, "a")).error().fault, Fault::not_found);
}

TEST_F(JobQueueTest, an_idempotency_key_stands_for_one_job_for_a_day) {
  const auto first = try_enqueue("a", account, "key", "body");
  ASSERT_TRUE(first);
  const auto again = try_enqueue("b", account, "key", "body");
  ASSERT_TRUE(again);
  EXPECT_FALSE(again->is_new);
  EXPECT_EQ(again->job.id, "a");
  EXPECT_EQ(try_enqueue("c", account, "key", "another body").error().fault, Fault::idempotency_mismatch);
  const auto other = add_account();
  EXPECT_TRUE(try_enqueue("d", other, "key", "body")->is_new) << "a key is its account's";
  run_until([&] { return queue->stats().completed == 2; });
  EXPECT_EQ(ledger->available(account).nanousd(), kGranted - kHeld) << "one hold, one charge";
  pass(24h + 1s);
  EXPECT_TRUE(try_enqueue("e", account, "key", "another body")->is_new);
}

TEST_F(JobQueueTest, a_full_queue_says_so) {
  held = true;
  rules.max_jobs = 3;
  rules.max_jobs_per_account = 2;
  stop();
  held = true;
  start();
  const auto other = add_account();
  enqueue("a");
  enqueue("b");
  EXPECT_EQ(try_enqueue("c", account).error().fault, Fault::rate_limit_exceeded) << "the account has as many as it may";
  EXPECT_TRUE(try_enqueue("d", other));
  EXPECT_EQ(try_enqueue("e", other).error().fault, Fault::rate_limit_exceeded) << "all of them";
  EXPECT_EQ(ledger->available(other).nanousd(), kGranted - kHeld) << "what was refused holds nothing";
  let_go();
  run_until([&] { return queue->stats().completed == 3; });
  held = true;
  EXPECT_TRUE(try_enqueue("e", other));
  EXPECT_EQ(try_enqueue("f", other, "", std::string(rules.max_bytes, ' ')).error().fault, Fault::rate_limit_exceeded);
}

TEST_F(JobQueueTest, what_ran_at_a_crash_runs_again_and_is_charged_once) {
  held = true;
  enqueue("a");
  run_until_state("a", State::processing);
  crash();
  run_until_state("a", State::complete);
  EXPECT_EQ(tries.size(), 2U);
  EXPECT_EQ(charges(), 1U);
  EXPECT_EQ(find("a").retries, 0U) << "the end of the gateway is no fault of the job's";
}

TEST_F(JobQueueTest, a_result_that_was_kept_and_not_charged_is_made_again) {
  crash_before_charge = true;
  enqueue("a");
  run_until([&] { return tries.size() == 1; });
  crash_before_charge = false;
  crash();
  pass(15s);
  run_until_state("a", State::complete);
  EXPECT_EQ(charges(), 1U);
}

TEST_F(JobQueueTest, what_was_charged_before_a_crash_is_complete_after_it) {
  enqueue("a");
  run_until([&] { return queue->stats().completed == 1; });
  // As if the charge had reached the journal, and its transaction not: the job is as it was before.
  ASSERT_TRUE(database->run_now([](storage::Connection& connection) {
    connection.prepare("UPDATE queue_jobs SET state = 'processing', held_nanousd = 1000").run();
  }));
  crash();
  EXPECT_EQ(find("a").state, State::complete);
  EXPECT_EQ(find("a").result, R"({"id":"a"})");
  EXPECT_EQ(ledger->available(account).nanousd(), kGranted - kHeld) << "and holds nothing";
  EXPECT_EQ(tries.size(), 1U);
}

TEST_F(JobQueueTest, results_expire_and_dead_jobs_do_not) {
  failing["b"] = Fault::invalid_request;
  enqueue("a");
  enqueue("b");
  run_until_state("a", State::complete);
  run_until_state("b", State::dead);
  pass(24h + 1s);
  run_until([&] { return !loop.run(queue->find(account, "a")); });
  EXPECT_EQ(find("b").state, State::dead);
  EXPECT_EQ(loop.run(queue->purge(State::dead, clock.wall())).value(), 1U);
  EXPECT_FALSE(loop.run(queue->find(account, "b")));
  EXPECT_EQ(queue->stats().dead, 0U);
  EXPECT_EQ(queue->stats().bytes, 0U);
}

TEST_F(JobQueueTest, a_wait_ends_with_the_job_or_with_its_time) {
  held = true;
  enqueue("a");
  run_until_state("a", State::processing);
  std::optional<Result<Job>> waited;
  boost::asio::co_spawn(loop.context(), queue->wait(account, "a", clock.now() + 10s, {}),
                        [&](const std::exception_ptr&, Result<Job> job) { waited = std::move(job); });
  loop.context().restart();
  loop.context().poll();
  pass(10s + 20ms);
  run_until([&] { return waited.has_value(); });
  EXPECT_EQ((*waited)->state, State::processing);
  waited.reset();
  boost::asio::co_spawn(loop.context(), queue->wait(account, "a", clock.now() + 10s, {}),
                        [&](const std::exception_ptr&, Result<Job> job) { waited = std::move(job); });
  let_go();
  run_until([&] { return waited.has_value(); });
  EXPECT_EQ((*waited)->state, State::complete);
}

TEST_F(JobQueueTest, lists_are_filtered_and_paged_newest_first) {
  failing["b"] = Fault::invalid_request;
  for (const auto* id : {"a", "b", "c"}) {
    enqueue(id);
    pass(1s);
  }
  run_until([&] { return queue->stats().completed == 2 && queue->stats().dead == 1; });
  auto page = loop.run(queue->list({.account = account, .limit = 2})).value();
  ASSERT_EQ(page.jobs.size(), 2U);
  EXPECT_EQ(page.jobs[0].id, "c");
  EXPECT_EQ(page.jobs[1].id, "b");
  page = loop.run(queue->list({.account = account, .before_row = page.next_cursor, .limit = 2})).value();
  ASSERT_EQ(page.jobs.size(), 1U);
  EXPECT_EQ(page.jobs[0].id, "a");
  EXPECT_FALSE(page.next_cursor);
  page = loop.run(queue->list({.state = State::dead})).value();
  ASSERT_EQ(page.jobs.size(), 1U);
  EXPECT_EQ(page.jobs[0].id, "b");
  EXPECT_TRUE(loop.run(queue->list({.account = add_account()})).value().jobs.empty());
}

}  // namespace
}  // namespace turnpike::jobs
