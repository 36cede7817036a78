// Jobs that outlive their request, their connection, their node and the gateway.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "support/json_server.hpp"
#include "support/network.hpp"

namespace turnpike::test {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;

class Queue : public NetworkTest {
 protected:
  Queue() {
    config["queue"] = {{"first_retry_ms", 50}, {"max_retry_ms", 100}};
    config["relay"] = {{"retries", 1}};
    config["drain_timeout_ms"] = 200;
  }

  std::string create_queue_key(const std::string& credits = "100") {
    return create_key(credits, {"--dialect", "drm3", "--tier", "metered"});
  }
  Answer post(const std::string& key, const json& body, Headers more = {},
              const std::string& path = "/v1/chat/completions") const {
    auto headers = bearer(key);
    headers.insert(headers.end(), more.begin(), more.end());
    return call(address, "POST", path, headers, body.dump());
  }
  // The id of a job that was queued.
  std::string queued(const std::string& key, const std::string& prompt, Headers more = {}) const {
    const auto answer = post(key, chat(prompt), std::move(more));
    EXPECT_EQ(answer.status, 202) << answer.body;
    return answer.json()["id"];
  }
  json result(const std::string& key, const std::string& id) const { return get(key, "/v1/results/" + id); }
  testing::AssertionResult becomes(const std::string& key, const std::string& id, const std::string& status) const {
    json last;
    if (eventually([&] { return (last = result(key, id))["status"] == status; })) return testing::AssertionSuccess();
    return testing::AssertionFailure() << last.dump();
  }
  Finished command(std::vector<std::string> words) const {
    words.insert(words.begin(), TURNPIKE_BINARY_DIR "/turnpike");
    words.insert(words.end(), {"--data-dir", config["data_dir"].get<std::string>(), "--json"});
    return run(std::move(words), folder.file("command.log"));
  }
  void kill_gateway() {
    gateway->signal(SIGKILL);
    gateway->wait();
  }
};

TEST_F(Queue, a_drm3_request_is_queued_charged_once_and_its_answer_kept) {
  add_node();
  start_gateway();
  const auto key = create_queue_key();
  const auto answer = post(key, chat("hello"));
  ASSERT_EQ(answer.status, 202) << answer.body;
  const std::string id = answer.json()["id"];
  EXPECT_EQ(answer.json(), json({{"id", id}, {"status", "queued"}, {"poll", "/v1/results/" + id}}));
  EXPECT_EQ(answer.header("location"), "/v1/results/" + id);
  EXPECT_EQ(answer.header("x-turnpike-job-id"), id);
  ASSERT_TRUE(becomes(key, id, "complete"));
  const auto done = result(key, id);
  EXPECT_EQ(done["result"]["id"], id);
  EXPECT_FALSE(done["result"]["choices"][0]["message"]["content"].get<std::string>().empty());
  EXPECT_EQ(done["error"], nullptr);
  EXPECT_EQ(done["retries"], 0);
  ASSERT_EQ(charges(key).size(), 1U);
  EXPECT_EQ(charges(key)[0]["job_id"], id);
  EXPECT_TRUE(no_hold_is_left());
}

TEST_F(Queue, a_stream_is_never_queued) {
  add_node();
  start_gateway();
  const auto key = create_queue_key();
  const auto answer = post(key, chat("hello", true), {{"Prefer", "respond-async"}});
  EXPECT_EQ(answer.status, 200);
  EXPECT_TRUE(answer.done());
}

TEST_F(Queue, every_dialect_queues_what_prefers_an_asynchronous_answer) {
  add_node();
  start_gateway();
  for (const auto* dialect : {"dria", "one-adn", "decentral"}) {
    const auto key = create_key("100", {"--dialect", dialect, "--tier", "metered"});
    EXPECT_EQ(post(key, chat("x")).status, 200);
    EXPECT_EQ(post(key, chat("x"), {{"Prefer", "wait=5"}}).status, 200) << "which is not to queue";
    const auto answer = post(key, chat("x"), {{"Prefer", "handling=lenient"}, {"Prefer", "Respond-Async"}});
    ASSERT_EQ(answer.status, 202) << answer.body;
    EXPECT_EQ(answer.header("preference-applied"), "respond-async");
    EXPECT_TRUE(becomes(key, answer.json()["id"], "complete"));
  }
}

TEST_F(Queue, text_completions_and_embeddings_are_queued_too) {
  add_node();
  start_gateway();
  const auto key = create_queue_key();
  const auto text = post(key, {{"model", "m-1"}, {"prompt", "once"}}, {}, "/v1/completions");
  const auto embedding = post(key, {{"model", "m-1"}, {"input", "once"}}, {}, "/v1/embeddings");
  ASSERT_EQ(text.status, 202);
  ASSERT_EQ(embedding.status, 202);
  ASSERT_TRUE(becomes(key, text.json()["id"], "complete"));
  ASSERT_TRUE(becomes(key, embedding.json()["id"], "complete"));
  EXPECT_EQ(result(key, text.json()["id"])["result"]["object"], "text_completion");
  EXPECT_FALSE(result(key, embedding.json()["id"])["result"]["data"].empty());
}

TEST_F(Queue, whoever_prefers_to_wait_gets_the_plain_answer_or_the_job_when_it_takes_too_long) {
  add_node();
  start_gateway();
  const auto key = create_queue_key();
  const auto answer = post(key, chat("hello"), {{"Prefer", "wait=20"}});
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(answer.json()["id"], answer.header("x-turnpike-job-id"));
  EXPECT_EQ(answer.header("x-turnpike-worker"), "node-1");
  EXPECT_EQ(answer.json()["object"], "chat.completion");
  EXPECT_EQ(result(key, answer.json()["id"])["status"], "complete");
  const auto slow = post(key, chat("[[sim delay_ms=60000]] x"), {{"Prefer", "wait=1"}});
  ASSERT_EQ(slow.status, 202) << slow.body;
  EXPECT_EQ(slow.json()["status"], "processing");
  const auto broken = post(key, chat("[[sim status=400]] x"), {{"Prefer", "wait=20"}});
  EXPECT_EQ(broken.status, 400) << broken.body;
  EXPECT_EQ(call(address, "DELETE", "/v1/results/" + slow.json()["id"].get<std::string>(), bearer(key)).status, 200);
}

TEST_F(Queue, its_answers_bear_the_signatures_of_hold_and_charge_that_the_job_has) {
  add_node();
  start_gateway();
  const auto key = create_key("100", {"--dialect", "decentral"});
  const auto now = post(key, chat("hello"), {{"Prefer", "respond-async, wait=20"}});
  ASSERT_EQ(now.status, 200) << now.body;
  const auto later = post(key, chat("hello"), {{"Prefer", "respond-async"}});
  ASSERT_EQ(later.status, 202);
  for (const auto& answer : {now, later}) {
    const auto id = answer.header("x-decentral-job-id");
    ASSERT_TRUE(eventually([&] { return get(key, "/v1/jobs/" + id)["status"] == "settled"; }));
    const auto job = get(key, "/v1/jobs/" + id)["on_chain"];
    EXPECT_EQ(json(answer.header("x-decentral-tx-signature")), job["escrow_tx"]) << answer.status;
    if (answer.status == 200) EXPECT_EQ(json(answer.header("x-decentral-settlement-tx")), job["settlement_tx"]);
  }
  EXPECT_FALSE(now.header("x-decentral-credits-remaining").empty());
}

TEST_F(Queue, what_nobody_can_pay_for_is_not_queued) {
  add_node();
  start_gateway();
  const auto key = create_queue_key("0");
  EXPECT_EQ(post(key, chat("hello")).status, 402);
  auto unknown = chat("hello");
  unknown["model"] = "m-none";
  EXPECT_EQ(post(create_queue_key(), unknown).status, 404);
  EXPECT_EQ(call(address, "GET", "/health", {}).json()["queue"]["queued"], 0);
}

TEST_F(Queue, a_running_job_that_is_cancelled_stops_its_node_and_costs_nothing) {
  auto& node = add_node();
  start_gateway();
  const auto key = create_queue_key();
  const auto before = balance_usdc(key);
  const auto id = queued(key, "[[sim delay_ms=60000]] x");
  ASSERT_TRUE(eventually([&] { return node.stats()["in_flight"] == 1; }));
  EXPECT_NE(balance_usdc(key), before) << "its credits are held";
  const auto answer = call(address, "DELETE", "/v1/results/" + id, bearer(key));
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(answer.json()["status"], "cancelled");
  EXPECT_TRUE(eventually([&] { return node.stats()["in_flight"] == 0; }));
  EXPECT_EQ(result(key, id)["status"], "cancelled");
  EXPECT_TRUE(eventually([&] { return balance_usdc(key) == before; }));
  EXPECT_TRUE(charges(key).empty());
}

TEST_F(Queue, what_is_over_is_not_cancelled_and_what_is_anothers_is_not_there) {
  add_node();
  start_gateway();
  const auto key = create_queue_key();
  const auto id = queued(key, "hello");
  ASSERT_TRUE(becomes(key, id, "complete"));
  EXPECT_EQ(call(address, "DELETE", "/v1/results/" + id, bearer(key)).status, 409);
  const auto other = create_queue_key();
  EXPECT_EQ(call(address, "GET", "/v1/results/" + id, bearer(other)).status, 404);
  EXPECT_EQ(call(address, "DELETE", "/v1/results/" + id, bearer(other)).status, 404);
  EXPECT_EQ(call(address, "GET", "/v1/results/none", bearer(key)).status, 404);
}

TEST_F(Queue, an_idempotency_key_makes_one_job_however_often_it_is_sent) {
  add_node();
  start_gateway();
  const auto key = create_queue_key();
  const Headers once{{"Idempotency-Key", "order-17"}};
  std::set<std::string> ids;
  for (int i = 0; i < 5; ++i) ids.insert(queued(key, "hello", once));
  EXPECT_EQ(ids.size(), 1U);
  EXPECT_EQ(post(key, chat("another"), once).status, 422);
  EXPECT_EQ(post(key, chat("hello"), {{"Idempotency-Key", std::string(256, 'k')}}).status, 400);
  ASSERT_TRUE(becomes(key, *ids.begin(), "complete"));
  EXPECT_EQ(charges(key).size(), 1U);
  kill_gateway();
  start_gateway();
  EXPECT_EQ(queued(key, "hello", once), *ids.begin()) << "a restart forgets no key";
  const auto waited = post(key, chat("hello"), {{"Idempotency-Key", "order-17"}, {"Prefer", "wait=5"}});
  EXPECT_EQ(waited.json()["id"], *ids.begin());
  EXPECT_EQ(waited.status, 200);
}

TEST_F(Queue, a_job_is_tried_until_a_node_can) {
  auto& node = add_node();
  start_gateway();
  const auto key = create_queue_key();
  call(node.address(), "POST", "/sim/behaviour", {}, R"({"status":500})");
  const auto id = queued(key, "hello");
  ASSERT_TRUE(eventually([&] { return result(key, id)["retries"].get<int>() >= 2; }));
  EXPECT_EQ(result(key, id)["result"], nullptr);
  EXPECT_FALSE(result(key, id)["error"].is_null()) << "what was wrong last time";
  call(node.address(), "POST", "/sim/behaviour", {}, R"({"status":0})");
  ASSERT_TRUE(becomes(key, id, "complete"));
  EXPECT_EQ(result(key, id)["error"], nullptr);
  EXPECT_EQ(charges(key).size(), 1U);
}

TEST_F(Queue, a_dead_job_is_shown_requeued_and_purged_by_the_operator) {
  auto& node = add_node();
  config["queue"]["tries"] = 2;
  start_gateway();
  const auto key = create_queue_key();
  const auto before = balance_usdc(key);
  call(node.address(), "POST", "/sim/behaviour", {}, R"({"status":500})");
  const auto id = queued(key, "hello");
  ASSERT_TRUE(becomes(key, id, "dead"));
  EXPECT_EQ(balance_usdc(key), before) << "a dead job holds nothing";
  EXPECT_EQ(result(key, id)["retries"], 2);
  EXPECT_EQ(result(key, id)["error"]["code"], "node_error") << result(key, id);
  EXPECT_EQ(call(address, "GET", "/health", {}).json()["queue"]["dead"], 1);
  const auto listed = command({"jobs", "list", "--state", "dead"});
  ASSERT_EQ(listed.code, 0) << listed.output;
  EXPECT_EQ(json::parse(listed.output)["job_id"], id);
  kill_gateway();
  start_gateway();
  EXPECT_EQ(result(key, id)["status"], "dead") << "dead letters are kept";
  call(node.address(), "POST", "/sim/behaviour", {}, R"({"status":0})");
  const auto requeued = command({"jobs", "requeue", id});
  ASSERT_EQ(requeued.code, 0) << requeued.output;
  ASSERT_TRUE(becomes(key, id, "complete"));
  EXPECT_EQ(charges(key).size(), 1U);
  EXPECT_EQ(command({"jobs", "requeue", id}).code, 1);
  EXPECT_EQ(json::parse(command({"jobs", "show", id}).output)["status"], "complete");
  EXPECT_EQ(json::parse(command({"jobs", "purge", "--state", "complete"}).output)["purged"], 1);
  EXPECT_EQ(call(address, "GET", "/v1/results/" + id, bearer(key)).status, 404);
}

TEST_F(Queue, a_job_survives_a_crash_while_it_waits_and_while_it_runs) {
  auto& node = add_node();
  config["queue"]["max_running"] = 1;
  start_gateway();
  const auto key = create_queue_key();
  const auto running = queued(key, "[[sim delay_ms=60000]] first");
  const auto waiting = queued(key, "second");
  ASSERT_TRUE(eventually([&] { return node.stats()["in_flight"] == 1; }));
  kill_gateway();
  call(node.address(), "POST", "/sim/behaviour", {}, R"({"delay_ms":0})");
  start_gateway();
  ASSERT_TRUE(eventually([&] { return result(key, running)["status"] == "processing"; }));
  const auto held = balance_usdc(key);
  EXPECT_EQ(result(key, waiting)["status"], "queued");
  EXPECT_EQ(call(address, "DELETE", "/v1/results/" + running, bearer(key)).status, 200);
  ASSERT_TRUE(becomes(key, waiting, "complete"));
  EXPECT_EQ(charges(key).size(), 1U);
  EXPECT_NE(balance_usdc(key), held) << "what was held for the first is the account's again";
}

TEST_F(Queue, a_drain_cuts_off_what_runs_too_long_and_the_next_start_runs_it) {
  auto& node = add_node();
  start_gateway();
  const auto key = create_queue_key();
  const auto id = queued(key, "[[sim delay_ms=1500]] x");
  ASSERT_TRUE(eventually([&] { return node.stats()["in_flight"] == 1; }));
  EXPECT_EQ(stop_gateway(), 0);
  start_gateway();
  ASSERT_TRUE(becomes(key, id, "complete"));
  EXPECT_EQ(charges(key).size(), 1U);
  EXPECT_EQ(result(key, id)["retries"], 0);
}

TEST_F(Queue, an_account_runs_no_more_jobs_at_once_than_its_tier_lets_it) {
  auto& node = add_node();
  start_gateway();
  const auto key = create_key("100", {"--dialect", "drm3"});  // tier queue: two
  std::vector<std::string> ids;
  for (int i = 0; i < 2; ++i) ids.push_back(queued(key, "[[sim delay_ms=60000]] x"));
  for (int i = 0; i < 4; ++i) ids.push_back(queued(key, "x"));
  const auto other = create_key("100", {"--dialect", "drm3"});
  const auto quick = queued(other, "hello");
  EXPECT_TRUE(becomes(other, quick, "complete"));
  EXPECT_EQ(result(key, ids.back())["status"], "queued") << "who has many jobs does not delay who has one";
  for (std::size_t i = 0; i < 2; ++i)
    EXPECT_EQ(call(address, "DELETE", "/v1/results/" + ids[i], bearer(key)).status, 200);
  for (std::size_t i = 2; i < ids.size(); ++i) EXPECT_TRUE(becomes(key, ids[i], "complete"));
  EXPECT_LE(node.stats()["in_flight_peak"].get<int>(), 3);
}

TEST_F(Queue, a_full_queue_is_an_answer) {
  add_node();
  config["queue"]["max_jobs"] = 2;
  config["queue"]["max_body_bytes"] = 2048;
  start_gateway();
  const auto key = create_queue_key();
  queued(key, "[[sim delay_ms=60000]] x");
  queued(key, "[[sim delay_ms=60000]] x");
  const auto refused = post(key, chat("hello"));
  EXPECT_EQ(refused.status, 429) << refused.body;
  EXPECT_FALSE(refused.header("retry-after").empty());
  EXPECT_EQ(post(key, chat(std::string(4096, 'x'))).status, 413);
}

TEST_F(Queue, its_jobs_are_listed_among_all_others_wherever_they_have_come_to) {
  auto& node = add_node();
  config["queue"]["max_running"] = 1;
  start_gateway();
  const auto key = create_queue_key();
  const auto status = [&](const std::string& id) { return get(key, "/v1/jobs/" + id)["status"].get<std::string>(); };
  const auto settled = queued(key, "hello");
  ASSERT_TRUE(becomes(key, settled, "complete"));
  const auto failed = queued(key, "[[sim status=400]] x");
  ASSERT_TRUE(becomes(key, failed, "dead"));
  const auto processing = queued(key, "[[sim delay_ms=60000]] x");
  ASSERT_TRUE(eventually([&] { return node.stats()["in_flight"] == 1; }));
  const auto refunded = queued(key, "x");
  ASSERT_EQ(call(address, "DELETE", "/v1/results/" + refunded, bearer(key)).status, 200);
  const auto pending = queued(key, "x");
  const auto live = ask(key, chat("x", true)).header("x-turnpike-job-id");
  const std::vector<std::pair<std::string, std::string>> expected{{pending, "pending"},   {processing, "processing"},
                                                                  {settled, "settled"},   {failed, "failed"},
                                                                  {refunded, "refunded"}, {live, "settled"}};
  for (const auto& [id, wanted] : expected) EXPECT_EQ(status(id), wanted) << id;
  EXPECT_EQ(get(key, "/v1/jobs/" + failed)["error"]["code"], "invalid_request");
  EXPECT_EQ(get(key, "/v1/jobs/" + settled)["created_at"], result(key, settled)["created_at"]) << "when it was held";
  // Page by page, each is there once.
  std::multiset<std::string> listed;
  std::string target = "/v1/jobs?limit=2";
  for (json cursor = ""; cursor.is_string();) {
    const auto page = get(key, target + (cursor == "" ? "" : "&cursor=" + cursor.get<std::string>()));
    for (const auto& job : page["data"]) listed.insert(job["id"].get<std::string>());
    cursor = page["next_cursor"];
  }
  std::multiset<std::string> all;
  for (const auto& [id, wanted] : expected) all.insert(id);
  EXPECT_EQ(listed, all);
  for (const auto& [id, wanted] : expected) {
    const auto page = get(key, "/v1/jobs?status=" + wanted);
    EXPECT_TRUE(std::ranges::any_of(page["data"], [&](const json& job) { return job["id"] == id; })) << wanted;
    for (const auto& job : page["data"]) EXPECT_EQ(job["status"], wanted);
  }
  EXPECT_EQ(call(address, "GET", "/v1/jobs/" + pending, bearer(create_queue_key())).status, 404);
}

TEST_F(Queue, a_charge_of_a_job_has_its_receipt) {
  add_node();
  start_gateway();
  const auto key = create_queue_key();
  const auto id = queued(key, "hello");
  ASSERT_TRUE(becomes(key, id, "complete"));
  const auto receipt = get(key, "/v1/jobs/" + id + "/receipt");
  EXPECT_EQ(receipt["receipt"]["job_id"], id) << receipt;
  EXPECT_FALSE(receipt["signature"].get<std::string>().empty());
}

TEST_F(Queue, its_numbers_are_in_health_and_metrics) {
  add_node();
  config["queue"]["max_running"] = 1;
  start_gateway();
  const auto key = create_queue_key();
  queued(key, "[[sim delay_ms=60000]] x");
  queued(key, "x");
  ASSERT_TRUE(eventually([&] {
    const auto queue = call(address, "GET", "/health", {}).json()["queue"];
    return queue["queued"] == 1 && queue["processing"] == 1 && queue["oldest_age_secs"].get<int>() >= 1;
  }));
  const auto page = call(address, "GET", "/metrics", {}).body;
  EXPECT_NE(page.find("turnpike_queue_jobs{state=\"queued\"} 1"), std::string::npos);
  EXPECT_NE(page.find("turnpike_queue_jobs{state=\"processing\"} 1"), std::string::npos);
  EXPECT_GT(metric("turnpike_queue_oldest_seconds"), 0);
  EXPECT_GT(metric("turnpike_queue_bytes"), 0);
}

TEST_F(Queue, a_result_needs_a_key_that_reads_and_a_cancel_one_that_writes) {
  add_node();
  start_gateway();
  const auto key = create_queue_key();
  const auto id = queued(key, "[[sim delay_ms=60000]] x");
  const auto writer = create_key("1", {"--dialect", "drm3", "--scopes", "chat:write"});
  const auto reader = create_key("1", {"--dialect", "drm3", "--scopes", "chat:read"});
  EXPECT_EQ(call(address, "GET", "/v1/results/" + id, bearer(writer)).status, 403);
  EXPECT_EQ(call(address, "DELETE", "/v1/results/" + id, bearer(reader)).status, 403);
  EXPECT_EQ(call(address, "GET", "/v1/results/" + id, {}).status, 401);
  EXPECT_EQ(call(address, "HEAD", "/v1/results/" + id, bearer(key)).status, 200);
}

}  // namespace
}  // namespace turnpike::test
