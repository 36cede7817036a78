#include "turnpike/webhooks/webhooks.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/loop.hpp"
#include "common/temp_folder.hpp"
#include "turnpike/base/signal.hpp"
#include "turnpike/storage/connection.hpp"
#include "turnpike/storage/sqlite.hpp"
#include "turnpike/webhooks/retries.hpp"
#include "turnpike/webhooks/signature.hpp"

namespace turnpike::webhooks {
namespace {

using namespace std::chrono_literals;
using boost::asio::awaitable;
using events::Type;
using events::Types;

constexpr auto kGather = 200ms;  // within it, what was announced is looked for

struct Sent {
  std::string host;
  std::string target;
  std::map<std::string, std::string> head;
  std::string body;
  WallTime at{};
  [[nodiscard]] std::string id() const { return head.at("webhook-id"); }
};

std::map<std::string, std::string> lines_of(std::string_view head) {
  std::map<std::string, std::string> lines;
  for (auto end = head.find("\r\n"); end != std::string_view::npos; end = head.find("\r\n")) {
    const auto line = head.substr(0, end);
    const auto colon = line.find(": ");
    lines[std::string(line.substr(0, colon))] = line.substr(colon + 2);
    head.remove_prefix(end + 2);
  }
  return lines;
}

class WebhooksTest : public testing::Test {
 protected:
  WebhooksTest() {
    rules = {.key_file = folder.file("webhooks.key"),
             .max_endpoints = 100,
             .max_endpoints_per_account = 3,
             .max_pending = 50,
             .max_concurrent = 8,
             .max_url_bytes = 2048,
             .max_answer_bytes = 4096,
             .timeout = 15s,
             .max_retry_after = 24h,
             .rotation_grace = 1h,
             .retention = 168h};
  }
  void SetUp() override { start(); }
  void TearDown() override { stop(); }

  void start() {
    database = storage::open_sqlite(loop.executor(), {.file = folder.file(data + "/turnpike.db"), .commit_delay = 0ms})
                   .value();
    tasks.emplace(loop.executor());
    const auto send = [this](http::Place place, http::Post what, std::stop_token stop) {
      return answer_to(std::move(place), std::move(what), std::move(stop));
    };
    hooks = Webhooks::open(loop.executor(), deadlines, *tasks, *database, subscriptions, send, rules).value();
    hooks->start();
  }
  void stop() {
    if (!hooks) return;
    tasks->request_stop();
    let_go();
    run_until([this] { return tasks->size() == 0; });
    hooks = nullptr;
    tasks.reset();
    database = nullptr;
  }
  // What SIGKILL would leave: the next start works on a copy of the folder as it is now.
  void crash() {
    const auto copy = folder.copy_of(data);
    stop();
    data = copy;
    held.clear();
    start();
  }

  // The endpoint's end: what `answers` says for the host, else 204. A held host says nothing until it is let go.
  awaitable<std::expected<http::PostAnswer, std::string>> answer_to(http::Place place, http::Post what,
                                                                    std::stop_token stop) {
    EXPECT_EQ(under_way.count(place.host), 0U) << "one at a time for each endpoint";
    under_way.insert(place.host);
    most_under_way = std::max(most_under_way, under_way.size());
    sent.push_back({.host = place.host,
                    .target = what.target,
                    .head = lines_of(what.head_lines),
                    .body = std::string(what.body),
                    .at = clock.wall()});
    Signal go(loop.executor());
    waiting.insert(&go);
    while (held.contains(place.host) && !stop.stop_requested()) co_await go.wait();
    waiting.erase(&go);
    under_way.erase(place.host);
    if (stop.stop_requested() && held.contains(place.host)) co_return std::unexpected("cut short");
    const auto found = answers.find(place.host);
    if (found == answers.end()) co_return http::PostAnswer{.status = 204};
    if (found->second.status == 0) co_return std::unexpected("it refused a connection");
    co_return found->second;
  }

  // Runs what is ready, and what the database's thread makes ready, until `done`.
  template <class Done>
  void run_until(Done done) {
    const auto until = std::chrono::steady_clock::now() + 20s;
    loop.context().restart();
    while (!done()) {
      loop.context().run_one_for(1s);
      if (std::chrono::steady_clock::now() > until) {
        ADD_FAILURE() << "it does not come";
        return;
      }
    }
  }
  // Whoever is not held any more goes on.
  void let_go() {
    for (Signal* each : waiting) each->notify();
  }
  void advance(std::chrono::nanoseconds by) {
    clock.advance(by);
    deadlines.advance(clock.now());
  }
  // Everything that was queued for the database is done, and what followed from it.
  void settle() {
    for (int i = 0; i < 3; ++i) {
      const auto question = std::make_shared<Work>([](storage::Connection&) {});
      ASSERT_TRUE(database->read(question));
      EXPECT_TRUE(loop.run(storage::finished(question)));
    }
  }

  struct Work final : storage::Operation {
    explicit Work(std::function<void(storage::Connection&)> work) : what(std::move(work)) {}
    void run(storage::Connection& connection) override { what(connection); }
    std::function<void(storage::Connection&)> what;
  };
  // As a writer of events does it.
  void raise(std::int64_t account, Type type, int number = 0) {
    if (!subscriptions.wants(account, type)) return;
    const events::Event event{.account = account,
                              .type = type,
                              .data = R"({"number":)" + std::to_string(number) + "}",
                              .created_at = clock.wall()};
    ASSERT_TRUE(database->write(
        std::make_shared<Work>([event](storage::Connection& connection) { events::append(connection, event); }),
        storage::Queueing::guaranteed));
    subscriptions.announce(account, type);
  }
  void raise_and_wait(std::int64_t account, int number = 0) {
    raise(account, Type::credit_low, number);
    advance(kGather);
  }
  WithSecret create(std::int64_t account, const std::string& host, Types types = Types().add(Type::credit_low)) {
    return loop.run(hooks->create({.account = account, .url = "https://" + host + "/in", .types = types})).value();
  }
  std::vector<Delivery> deliveries(const WithSecret& of) {
    return loop.run(hooks->deliveries(of.endpoint.account, of.endpoint.id, 200, std::nullopt)).value().deliveries;
  }
  Delivery newest(const WithSecret& of) { return deliveries(of).at(0); }
  void wait_until_sent(std::size_t count) {
    run_until([&] { return sent.size() >= count; });
    settle();
    ASSERT_EQ(sent.size(), count);
  }
  static int number_of(const Sent& delivery) { return nlohmann::json::parse(delivery.body)["data"]["number"]; }

  turnpike::test::TempFolder folder;
  std::string data = "data";
  turnpike::test::Loop loop;
  HeldClock clock;
  Deadlines deadlines{loop.executor(), clock};
  events::Subscriptions subscriptions;
  Rules rules;
  std::unique_ptr<storage::Database> database;
  std::optional<TaskGroup> tasks;
  std::unique_ptr<Webhooks> hooks;
  std::vector<Sent> sent;
  std::map<std::string, http::PostAnswer> answers;  // status 0: no connection
  std::set<std::string> held;
  std::multiset<std::string> under_way;
  std::size_t most_under_way = 0;
  std::set<Signal*> waiting;
};

TEST_F(WebhooksTest, an_event_is_delivered_signed_and_the_delivery_is_listed) {
  const auto hook = create(1, "a.example");
  raise_and_wait(1, 7);
  wait_until_sent(1);
  EXPECT_EQ(sent[0].target, "/in");
  EXPECT_EQ(sent[0].head.at("Content-Type"), "application/json");
  EXPECT_EQ(number_of(sent[0]), 7);
  const auto timestamp = unix_seconds(clock.wall());
  EXPECT_EQ(sent[0].head.at("webhook-timestamp"), std::to_string(timestamp));
  const auto secret = read_secret(hook.secret).value();
  EXPECT_EQ(sent[0].head.at("webhook-signature"), sign(secret, sent[0].id(), timestamp, sent[0].body));
  const auto delivery = newest(hook);
  EXPECT_EQ(delivery.event_id, sent[0].id());
  EXPECT_EQ(delivery.state, "delivered");
  EXPECT_EQ(delivery.status, 204);
  EXPECT_EQ(delivery.attempts, 1U);
  EXPECT_EQ(hooks->find(1, hook.endpoint.id)->pending, 0U);
  EXPECT_EQ(hooks->stats().delivered, 1U);
}

TEST_F(WebhooksTest, an_endpoint_is_told_what_it_asked_for_and_nothing_else) {
  create(1, "a.example", Types().add(Type::credit_topup));
  EXPECT_TRUE(subscriptions.wants(1, Type::credit_topup));
  EXPECT_FALSE(subscriptions.wants(1, Type::credit_low));
  EXPECT_FALSE(subscriptions.wants(2, Type::credit_topup));
  raise_and_wait(1);
  settle();
  EXPECT_TRUE(sent.empty());
}

TEST_F(WebhooksTest, an_endpoint_that_fails_is_asked_again_by_the_table_to_the_last_and_then_the_next_is_told) {
  answers["a.example"] = {.status = 500};
  const auto hook = create(1, "a.example");
  raise_and_wait(1, 1);
  wait_until_sent(1);
  for (std::size_t i = 0; i < kRetryPauses.size(); ++i) {
    const auto delivery = newest(hook);
    EXPECT_EQ(delivery.state, "pending");
    EXPECT_EQ(delivery.attempts, i + 1);
    EXPECT_EQ(delivery.fault, "it answered with status 500");
    const auto pause = *delivery.next_attempt_at - clock.wall();
    EXPECT_GE(pause, kRetryPauses[i] * 4 / 5 - kGather);
    EXPECT_LE(pause, kRetryPauses[i] * 6 / 5);
    advance(pause - 100ms);
    settle();
    EXPECT_EQ(sent.size(), i + 1) << "not a moment before";
    advance(200ms);
    wait_until_sent(i + 2);
  }
  const auto last = newest(hook);
  EXPECT_EQ(last.state, "dead");
  EXPECT_EQ(last.attempts, 10U);
  EXPECT_TRUE(last.closed_at);
  std::set<std::string> signatures;
  for (const auto& each : sent) {
    EXPECT_EQ(each.id(), sent[0].id());
    EXPECT_EQ(each.body, sent[0].body);
    EXPECT_EQ(each.head.at("webhook-timestamp"), std::to_string(unix_seconds(each.at)));
    signatures.insert(each.head.at("webhook-signature"));
  }
  EXPECT_EQ(signatures.size(), 10U) << "each attempt is signed for its own time";
  EXPECT_EQ(hooks->stats().dead, 1U);
  EXPECT_EQ(hooks->stats().failed, 9U);
  answers.clear();
  raise_and_wait(1, 2);
  wait_until_sent(11);
  EXPECT_EQ(number_of(sent.back()), 2);
}

TEST_F(WebhooksTest, an_endpoint_is_told_in_order_and_nothing_overtakes_what_failed) {
  answers["a.example"] = {.status = 0};
  create(1, "a.example");
  raise(1, Type::credit_low, 1);
  raise(1, Type::credit_low, 2);
  raise_and_wait(1, 3);
  wait_until_sent(1);
  advance(kGather);
  settle();
  EXPECT_EQ(sent.size(), 1U);
  EXPECT_EQ(hooks->stats().pending, 3U);
  answers.clear();
  advance(10s);
  wait_until_sent(4);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(number_of(sent.at(static_cast<std::size_t>(i) + 1)), i + 1);
  EXPECT_EQ(hooks->stats().pending, 0U);
}

TEST_F(WebhooksTest, an_endpoint_that_hangs_delays_no_other) {
  create(1, "slow.example");
  create(1, "quick.example");
  held.insert("slow.example");
  for (int i = 0; i < 5; ++i) raise(1, Type::credit_low, i);
  advance(kGather);
  run_until([&] { return std::ranges::count(sent, "quick.example", &Sent::host) == 5; });
  EXPECT_EQ(std::ranges::count(sent, "slow.example", &Sent::host), 1);
  held.clear();
  let_go();
  run_until([&] { return std::ranges::count(sent, "slow.example", &Sent::host) == 5; });
}

TEST_F(WebhooksTest, a_test_in_mid_delivery_waits_for_its_end) {
  const auto hook = create(1, "a.example");
  held.insert("a.example");
  raise_and_wait(1, 1);
  run_until([&] { return sent.size() == 1; });
  EXPECT_TRUE(loop.run(hooks->test(1, hook.endpoint.id)));
  EXPECT_TRUE(loop.run(hooks->change(1, hook.endpoint.id, {.active = true})));
  settle();
  EXPECT_EQ(sent.size(), 1U);
  held.clear();
  let_go();
  wait_until_sent(2);
}

TEST_F(WebhooksTest, no_more_are_under_way_than_may_be) {
  rules.max_concurrent = 2;
  stop();
  start();
  for (const char* host : {"a.example", "b.example", "c.example"}) {
    create(1, host);
    held.insert(host);
  }
  raise_and_wait(1);
  run_until([&] { return sent.size() == 2; });
  settle();
  EXPECT_EQ(sent.size(), 2U);
  EXPECT_EQ(hooks->stats().running, 2U);
  held.clear();
  let_go();
  wait_until_sent(3);
  EXPECT_EQ(most_under_way, 2U);
}

TEST_F(WebhooksTest, an_endpoint_that_is_gone_is_told_nothing_until_its_owner_says_so) {
  answers["a.example"] = {.status = 410};
  const auto hook = create(1, "a.example");
  raise(1, Type::credit_low, 1);
  raise_and_wait(1, 2);
  wait_until_sent(1);
  const auto gone = hooks->find(1, hook.endpoint.id).value();
  EXPECT_EQ(gone.disabled, "it answered with status 410");
  EXPECT_FALSE(subscriptions.wants(1, Type::credit_low));
  EXPECT_EQ(hooks->stats().gone, 1U);
  crash();
  advance(48h);
  settle();
  EXPECT_EQ(sent.size(), 1U);
  EXPECT_FALSE(subscriptions.wants(1, Type::credit_low));
  EXPECT_EQ(loop.run(hooks->test(1, hook.endpoint.id)).error().fault, Fault::conflict);
  answers.clear();
  const auto active = loop.run(hooks->change(1, hook.endpoint.id, {.active = true})).value();
  EXPECT_EQ(active.disabled, "");
  wait_until_sent(3);
  EXPECT_EQ(number_of(sent[1]), 1) << "what waited is not lost";
  EXPECT_EQ(number_of(sent[2]), 2);
}

TEST_F(WebhooksTest, a_pause_ends_when_the_owner_changes_the_url_or_sends_a_test) {
  answers["a.example"] = {.status = 500};
  const auto hook = create(1, "a.example");
  raise_and_wait(1, 1);
  wait_until_sent(1);
  EXPECT_TRUE(loop.run(hooks->test(1, hook.endpoint.id)));
  wait_until_sent(2);
  EXPECT_EQ(sent[1].id(), sent[0].id()) << "the oldest first";
  EXPECT_TRUE(loop.run(hooks->change(1, hook.endpoint.id, {.url = "https://b.example/new"})));
  wait_until_sent(4);
  EXPECT_EQ(sent[2].host, "b.example");
  EXPECT_EQ(sent[2].target, "/new");
  EXPECT_EQ(sent[2].id(), sent[0].id());
  EXPECT_EQ(nlohmann::json::parse(sent[3].body)["type"], "webhook.test");
}

TEST_F(WebhooksTest, a_crash_between_the_delivery_and_its_record_delivers_again_under_the_same_id) {
  held.insert("a.example");
  const auto hook = create(1, "a.example");
  raise_and_wait(1, 1);
  run_until([&] { return sent.size() == 1; });
  crash();
  settle();
  advance(kGather);
  wait_until_sent(2);
  EXPECT_EQ(sent[1].id(), sent[0].id());
  EXPECT_EQ(newest(hook).state, "delivered");
  crash();
  settle();
  advance(kGather);
  settle();
  EXPECT_EQ(sent.size(), 2U) << "what is recorded is not sent again";
}

TEST_F(WebhooksTest, an_attempt_that_a_stop_cuts_short_is_none) {
  held.insert("a.example");
  const auto hook = create(1, "a.example");
  raise_and_wait(1);
  run_until([&] { return sent.size() == 1; });
  stop();
  start();
  EXPECT_EQ(newest(hook).attempts, 0U);
  held.clear();
  advance(kGather);
  wait_until_sent(2);
  EXPECT_EQ(newest(hook).attempts, 1U);
}

TEST_F(WebhooksTest, a_pause_goes_on_over_a_restart) {
  answers["a.example"] = {.status = 503, .retry_after = "600"};
  const auto hook = create(1, "a.example");
  raise_and_wait(1);
  wait_until_sent(1);
  crash();
  settle();
  advance(590s);
  settle();
  EXPECT_EQ(sent.size(), 1U);
  advance(11s);
  wait_until_sent(2);
}

TEST_F(WebhooksTest, two_secrets_sign_until_the_old_one_ends) {
  const auto hook = create(1, "a.example");
  const auto own = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
  const auto rotated = loop.run(hooks->rotate(1, hook.endpoint.id, own)).value();
  EXPECT_EQ(rotated.secret, own);
  EXPECT_EQ(rotated.endpoint.old_secret_ends_at, clock.wall() + 1h);
  crash();
  raise_and_wait(1);
  wait_until_sent(1);
  const auto signature = [&](const Sent& delivery, const std::string& secret) {
    return sign(read_secret(secret).value(), delivery.id(), unix_seconds(delivery.at), delivery.body);
  };
  EXPECT_EQ(sent[0].head.at("webhook-signature"), signature(sent[0], own) + " " + signature(sent[0], hook.secret));
  advance(1h);
  raise_and_wait(1);
  wait_until_sent(2);
  EXPECT_EQ(sent[1].head.at("webhook-signature"), signature(sent[1], own));
}

TEST_F(WebhooksTest, no_secret_is_in_the_database) {
  const auto hook = create(1, "a.example");
  stop();
  std::ifstream file(folder.file(data + "/turnpike.db"), std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  EXPECT_NE(bytes.find(hook.endpoint.id), std::string::npos);
  EXPECT_EQ(bytes.find(read_secret(hook.secret).value()), std::string::npos);
  EXPECT_EQ(bytes.find(hook.secret.substr(6)), std::string::npos);
}

TEST_F(WebhooksTest, an_endpoint_that_takes_nothing_for_too_long_is_disabled_and_keeps_what_waits) {
  rules.max_pending = 3;
  stop();
  start();
  answers["a.example"] = {.status = 500};
  const auto hook = create(1, "a.example");
  for (int i = 1; i <= 5; ++i) raise(1, Type::credit_low, i);
  settle();
  EXPECT_NE(hooks->find(1, hook.endpoint.id)->disabled.find("webhooks.max_pending_per_endpoint"), std::string::npos);
  EXPECT_EQ(deliveries(hook).size(), 3U);
  answers.clear();
  EXPECT_TRUE(loop.run(hooks->change(1, hook.endpoint.id, {.active = true})));
  run_until([&] { return sent.size() >= 3; });
  settle();
  EXPECT_EQ(number_of(sent[0]), 1);
}

TEST_F(WebhooksTest, an_endpoint_is_its_accounts_alone) {
  const auto hook = create(1, "a.example");
  const auto& id = hook.endpoint.id;
  const auto not_found = [](const auto& result) { return !result && result.error().fault == Fault::not_found; };
  EXPECT_TRUE(not_found(hooks->find(2, id)));
  EXPECT_TRUE(not_found(loop.run(hooks->change(2, id, {.active = false}))));
  EXPECT_TRUE(not_found(loop.run(hooks->rotate(2, id, std::nullopt))));
  EXPECT_TRUE(not_found(loop.run(hooks->remove(2, id))));
  EXPECT_TRUE(not_found(loop.run(hooks->test(2, id))));
  EXPECT_TRUE(not_found(loop.run(hooks->deliveries(2, id, 10, std::nullopt))));
  EXPECT_TRUE(hooks->list(2).empty());
  EXPECT_EQ(hooks->list(1).size(), 1U);
}

TEST_F(WebhooksTest, an_account_has_no_more_endpoints_than_it_may) {
  std::vector<Result<WithSecret>> made;
  for (int i = 0; i < 5; ++i) {
    boost::asio::co_spawn(loop.context(), hooks->create({.account = 1, .url = "https://a.example", .types = {}}),
                          [&](const std::exception_ptr&, Result<WithSecret> result) { made.push_back(result); });
  }
  run_until([&] { return made.size() == 5; });
  EXPECT_EQ(std::ranges::count_if(made, [](const auto& each) { return each.has_value(); }), 3);
  EXPECT_EQ(hooks->list(1).size(), 3U);
  EXPECT_TRUE(loop.run(hooks->remove(1, hooks->list(1)[0].id)));
  EXPECT_TRUE(loop.run(hooks->create({.account = 1, .url = "https://a.example", .types = {}})));
}

TEST_F(WebhooksTest, a_removed_endpoint_is_told_nothing_and_leaves_nothing) {
  answers["a.example"] = {.status = 500};
  const auto hook = create(1, "a.example");
  raise_and_wait(1);
  wait_until_sent(1);
  EXPECT_TRUE(loop.run(hooks->remove(1, hook.endpoint.id)));
  EXPECT_FALSE(subscriptions.wants(1, Type::credit_low));
  crash();
  advance(2h);
  settle();
  EXPECT_EQ(sent.size(), 1U);
  EXPECT_TRUE(hooks->list(1).empty());
  EXPECT_TRUE(database->run_now([](storage::Connection& connection) {
    auto query = connection.prepare(
        "SELECT (SELECT count(*) FROM webhook_deliveries) + (SELECT count(*) FROM webhook_endpoints)");
    query.step();
    EXPECT_EQ(query.integer(0), 0);
  }));
}

TEST_F(WebhooksTest, deliveries_are_kept_for_the_retention_and_listed_page_by_page) {
  const auto hook = create(1, "a.example");
  for (int i = 0; i < 5; ++i) raise(1, Type::credit_low, i);
  advance(kGather);
  wait_until_sent(5);
  std::vector<std::string> listed;
  std::optional<std::int64_t> before;
  do {
    const auto page = loop.run(hooks->deliveries(1, hook.endpoint.id, 2, before)).value();
    for (const auto& delivery : page.deliveries) listed.push_back(delivery.event_id);
    before = page.next_cursor;
  } while (before);
  ASSERT_EQ(listed.size(), 5U);
  for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(listed[i], sent[4 - i].id()) << "newest first";
  advance(167h);
  settle();
  EXPECT_EQ(deliveries(hook).size(), 5U);
  advance(2h);
  settle();
  EXPECT_TRUE(deliveries(hook).empty());
}

TEST_F(WebhooksTest, metrics_know_how_much_waits_and_since_when) {
  answers["a.example"] = {.status = 500};
  create(1, "a.example");
  const auto raised = clock.wall();
  raise(1, Type::credit_low);
  raise_and_wait(1);
  wait_until_sent(1);
  const auto stats = hooks->stats();
  EXPECT_EQ(stats.pending, 2U);
  EXPECT_EQ(stats.oldest, raised);
  EXPECT_EQ(stats.active, 1U);
}

}  // namespace
}  // namespace turnpike::webhooks
