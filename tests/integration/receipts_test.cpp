// Explanation: every charge has a receipt, signed, chained, and in a log that only grows.
#include <csignal>
#include <fstream>

#include "support/network.hpp"
#include "turnpike/base/encoding.hpp"

namespace turnpike::test {
namespace {

using nlohmann::json;

std::string sha256_hex(std::string_view bytes) {
  const auto digest = sha256(bytes);
  return to_hex({static_cast<const char*>(static_cast<const void*>(digest.data())), digest.size()});
}

class Receipts : public NetworkTest {
 protected:
  struct Asked {
    std::string job;
    std::string request;
    Answer answer;
  };
  // Asks with the bytes of `body`.
  Asked infer(const std::string& key, const std::string& body, const std::string& path = "/v1/chat/completions") {
    auto answer = call(address, "POST", path, bearer(key), body);
    std::string job = answer.header("x-turnpike-job-id");
    if (job.empty()) job = answer.header("x-decentral-job-id");
    return {.job = std::move(job), .request = body, .answer = std::move(answer)};
  }
  json receipt(const std::string& key, const std::string& job) { return get(key, "/v1/jobs/" + job + "/receipt"); }
  json head() { return call(address, "GET", "/v1/receipts/root", {}).json(); }
  json keys_listed() { return call(address, "GET", "/.well-known/turnpike", {}).json(); }
  Finished command(std::vector<std::string> words) {
    words.insert(words.begin(), TURNPIKE_BINARY_DIR "/turnpike");
    return run(std::move(words), folder.file("command.log"));
  }
  // What `turnpike receipts verify` says of these documents.
  Finished verify(const std::vector<json>& documents) {
    std::ofstream lines(folder.file("documents.jsonl"));
    for (const auto& each : documents) lines << each.dump() << "\n";
    lines.close();
    std::ofstream(folder.file("keys.json")) << keys_listed().dump();
    return command(
        {"receipts", "verify", folder.file("documents.jsonl"), "--keys", folder.file("keys.json"), "--json"});
  }
  void expect_explained(const std::string& key, const Asked& asked) {
    const auto document = receipt(key, asked.job);
    ASSERT_TRUE(document.contains("receipt")) << document;
    const auto& said = document["receipt"];
    EXPECT_EQ(said["job_id"], asked.job);
    EXPECT_EQ(said["request_sha256"], sha256_hex(asked.request));
    EXPECT_EQ(said["response_sha256"], sha256_hex(asked.answer.body)) << asked.answer.body;
    const auto job = get(key, "/v1/jobs/" + asked.job);
    EXPECT_EQ(job["status"], "settled");
    EXPECT_EQ(job["usdc_value"], said["amounts"]["charged_usdc"]);
    const auto found = verify({document});
    EXPECT_EQ(found.code, 0) << found.output;
  }
};

TEST_F(Receipts, cover_the_bytes_of_request_and_answer_whole_streamed_and_of_every_kind) {
  add_node();
  start_gateway();
  const auto key = create_key("1000");
  const std::string chats[] = {
      R"({"model":"m-1","messages":[{"role":"user","content":"hi"}]})",
      R"({ "model" : "m-1", "messages":[{"role":"user","content":"hi \u00e9"}] , "stream":true})",
      R"({"model":"m-1","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"hi"}]})",
      R"({"model":"m-1","stream":true,"messages":[{"role":"user","content":"[[sim interval_ms=5 tokens=12]] x"}]})",
      R"({"model":"m-1","stream":true,"messages":[{"role":"user","content":"[[sim usage=none]] x"}]})"};
  for (const auto& body : chats) {
    const auto asked = infer(key, body);
    ASSERT_EQ(asked.answer.status, 200) << asked.answer.body;
    expect_explained(key, asked);
  }
  const auto completion = infer(key, R"({"model":"m-1","prompt":"hi"})", "/v1/completions");
  expect_explained(key, completion);
  EXPECT_EQ(receipt(key, completion.job)["receipt"]["work"], "completion");
  const auto embedding = infer(key, R"({"model":"m-1","input":["a","b"]})", "/v1/embeddings");
  ASSERT_EQ(embedding.answer.status, 200) << embedding.answer.body;
  expect_explained(key, embedding);
  EXPECT_EQ(receipt(key, embedding.job)["receipt"]["work"], "embedding");
}

TEST_F(Receipts, of_a_stream_that_its_node_broke_cover_the_error_event_and_say_so) {
  add_node({}, {{"engine", "openai"}});
  start_gateway();
  const auto key = create_key("1000");
  const auto asked = infer(key, chat("[[sim tokens=40 die_after=7 interval_ms=2]] x", true).dump());
  ASSERT_FALSE(asked.answer.done());
  expect_explained(key, asked);
  const auto said = receipt(key, asked.job)["receipt"];
  EXPECT_EQ(said["ended"], "broken");
  EXPECT_EQ(said["basis"], "relayed");
}

TEST_F(Receipts, of_a_client_that_left_cover_what_was_handed_to_it) {
  add_node();
  start_gateway();
  const auto key = create_key("1000");
  auto [client, answer] = open_stream(key, chat("[[sim tokens=100000 ignore_max_tokens=1 interval_ms=20]] x", true));
  ASSERT_TRUE(client.read_until(answer, "content\":\" "));
  const auto job = answer.header("x-turnpike-job-id");
  client.close();
  ASSERT_TRUE(eventually([&] { return charges(key).size() == 1; }));
  const auto document = receipt(key, job);
  EXPECT_EQ(document["receipt"]["ended"], "client_left");
  EXPECT_EQ(document["receipt"]["basis"], "relayed");
  EXPECT_EQ(verify({document}).code, 0);
}

TEST_F(Receipts, of_a_stream_that_another_node_carried_on_name_both_with_their_tokens) {
  add_node({"--set", "die_after=20"});
  add_node({"--set", "continuation=native"}, {{"weight", 1}});
  config["scheduler"]["breaker_failures"] = 1000;
  start_gateway();
  const auto key = create_key("1000");
  json said;
  Asked asked;
  for (int i = 0; i < 20 && said["nodes"].size() != 2; ++i) {
    asked = infer(key, chat("[[sim tokens=60]] a tale", true).dump());
    ASSERT_TRUE(asked.answer.done());
    said = receipt(key, asked.job)["receipt"];
  }
  ASSERT_EQ(said["nodes"].size(), 2U) << "node-1 was never the first";
  EXPECT_EQ(said["nodes"][0]["id"], "node-1");
  EXPECT_EQ(said["nodes"][0]["completion_tokens"], 20);
  EXPECT_EQ(said["nodes"][1]["id"], "node-2");
  EXPECT_EQ(said["nodes"][1]["completion_tokens"], 40);
  EXPECT_EQ(said["usage"]["completion_tokens"], 60);
  expect_explained(key, asked);
}

TEST_F(Receipts, without_digests_of_content_are_checked_as_others_are_and_follow_them_in_one_log) {
  add_node();
  start_gateway();
  const auto key = create_key("1000");
  const auto with = infer(key, chat("hi").dump());
  expect_explained(key, with);
  ASSERT_EQ(stop_gateway(), 0);
  config["receipts"] = {{"content_digests", false}};
  start_gateway();
  const auto whole = infer(key, chat("hi").dump());
  const auto streamed = infer(key, chat("hi", true).dump());
  std::vector<json> documents{receipt(key, with.job)};
  for (const auto& without : {whole, streamed}) {
    ASSERT_EQ(without.answer.status, 200) << without.answer.body;
    documents.push_back(receipt(key, without.job));
    const auto& said = documents.back()["receipt"];
    EXPECT_EQ(said["job_id"], without.job);
    EXPECT_FALSE(said.contains("request_sha256")) << said;
    EXPECT_FALSE(said.contains("response_sha256")) << said;
    documents.push_back(get(key, "/v1/receipts/" + without.job + "/proof"));
  }
  documents.push_back(head());
  const auto found = verify(documents);
  EXPECT_EQ(found.code, 0) << found.output;
  EXPECT_EQ(json::parse(found.output)["receipts"], 3) << found.output;
}

TEST_F(Receipts, are_the_same_and_their_log_goes_on_after_a_restart_and_a_kill) {
  add_node();
  start_gateway();
  const auto key = create_key("1000");
  std::vector<std::string> jobs;
  std::vector<json> before;
  std::vector<json> heads;
  expect_clean_exit = false;
  for (int ends = 0; ends < 4; ++ends) {
    for (int i = 0; i < 3; ++i) jobs.push_back(infer(key, chat("x", i % 2 == 0).dump()).job);
    before.clear();
    for (const auto& job : jobs) before.push_back(receipt(key, job));
    heads.push_back(head());
    jobs.push_back(infer(key, chat("and one that is asked after by nobody").dump()).job);
    if (ends % 2 == 0) {
      gateway->signal(SIGKILL);
      gateway->wait();
    } else {
      EXPECT_EQ(stop_gateway(), 0);
    }
    start_gateway();
    for (std::size_t i = 0; i < before.size(); ++i) EXPECT_EQ(receipt(key, jobs[i]), before[i]);
  }
  std::vector<json> documents;
  for (const auto& job : jobs) {
    documents.push_back(receipt(key, job));
    documents.push_back(get(key, "/v1/receipts/" + job + "/proof"));
  }
  documents.push_back(head());
  for (const auto& earlier : heads) {
    documents.push_back(earlier);
    documents.push_back(
        call(address, "GET", "/v1/receipts/consistency?from=" + earlier["tree_size"].dump() + "&to=16", {}).json());
  }
  const auto found = verify(documents);
  EXPECT_EQ(found.code, 0) << found.output;
  const auto counted = json::parse(found.output);
  EXPECT_EQ(counted["receipts"], 16);
  EXPECT_EQ(counted["links"], 15);
  EXPECT_EQ(counted["proofs"], 16 + 4);
  EXPECT_EQ(stop_gateway(), 0);
  EXPECT_EQ(command({"ledger", "check", "--data-dir", config["data_dir"]}).code, 0);
}

TEST_F(Receipts, stay_good_when_the_key_is_rotated) {
  add_node();
  start_gateway();
  const auto key = create_key("1000");
  const auto old_job = infer(key, chat("x").dump()).job;
  const auto before = receipt(key, old_job);
  const auto rotated = command({"receipts", "rotate", "--config", folder.file("turnpike.json"), "--json"});
  ASSERT_EQ(rotated.code, 0) << rotated.output;
  const auto fresh_id = json::parse(rotated.output)["key_id"];
  for (int starts = 0; starts < 2; ++starts) {
    EXPECT_EQ(receipt(key, old_job), before);
    const auto fresh = receipt(key, infer(key, chat("x").dump()).job);
    EXPECT_EQ(fresh["key_id"], fresh_id);
    const auto listed = keys_listed()["receipt_keys"];
    ASSERT_EQ(listed.size(), 2U);
    EXPECT_EQ(listed[0]["key_id"], before["key_id"]);
    EXPECT_EQ(listed[0]["until"], listed[1]["from"]);
    EXPECT_TRUE(listed[1]["until"].is_null());
    const auto found = verify({before, fresh, head()});
    EXPECT_EQ(found.code, 0) << found.output;
    EXPECT_EQ(stop_gateway(), 0);
    start_gateway();
  }
}

TEST_F(Receipts, and_jobs_are_their_accounts_alone) {
  add_node();
  start_gateway();
  const auto key = create_key("1000");
  const auto other = create_key("1000");
  const auto job = infer(key, chat("x").dump()).job;
  for (const auto& path : {"/v1/jobs/" + job, "/v1/jobs/" + job + "/receipt", "/v1/receipts/" + job + "/proof"}) {
    EXPECT_EQ(call(address, "GET", path, bearer(key)).status, 200) << path;
    EXPECT_EQ(call(address, "GET", path, bearer(other)).status, 404) << path;
    EXPECT_EQ(call(address, "GET", path, {}).status, 401) << path;
  }
  EXPECT_TRUE(get(other, "/v1/jobs")["data"].empty());
  const auto scoped = create_key("10", {"--scopes", "chat:write"});
  EXPECT_EQ(call(address, "GET", "/v1/jobs", bearer(scoped)).status, 403);
  EXPECT_EQ(call(address, "GET", "/v1/jobs/nonsense/receipt", bearer(key)).status, 404);
}

// ---- headers ----

TEST_F(Receipts, headers_name_job_worker_and_credits_at_the_head_of_answers_and_behind_streams) {
  add_node();
  start_gateway();
  const auto key = create_key("1000");
  const auto whole = ask(key, chat("x"));
  EXPECT_EQ(whole.header("x-turnpike-worker"), "node-1");
  EXPECT_EQ(whole.header("x-turnpike-credits-remaining"), "999");
  EXPECT_EQ(whole.header("x-turnpike-tx-signature"), "");
  EXPECT_EQ(whole.header("x-turnpike-settlement-tx"), "");
  const auto stream = ask(key, chat("x", true));
  EXPECT_FALSE(stream.header("x-turnpike-job-id").empty());
  EXPECT_EQ(stream.header("trailer"), "x-turnpike-credits-remaining");
  EXPECT_EQ(stream.trailer("x-turnpike-credits-remaining"), "999");
  EXPECT_TRUE(stream.complete);
}

TEST_F(Receipts, headers_bear_the_signatures_of_hold_and_charge_where_dialect_or_configuration_ask_for_them) {
  add_node();
  for (const auto* when : {"dialect", "always", "never"}) {
    config["receipts"]["signed_headers"] = when;
    start_gateway();
    const auto dria = create_key("1000");
    const auto decentral = create_key("1000", {"--dialect", "decentral"});
    for (const auto& [key, prefix, has] :
         {std::tuple(dria, std::string("x-turnpike-"), when == std::string("always")),
          std::tuple(decentral, std::string("x-decentral-"), when != std::string("never"))}) {
      for (const bool streamed : {false, true}) {
        const auto asked = infer(key, chat("x", streamed).dump());
        auto document = receipt(key, asked.job);
        const auto& last = streamed ? asked.answer.trailers : asked.answer.headers;
        EXPECT_EQ(last.contains(prefix + "settlement-tx"), has) << when << prefix << streamed;
        EXPECT_EQ(asked.answer.headers.contains(prefix + "tx-signature"), has) << when << prefix << streamed;
        EXPECT_TRUE(last.contains(prefix + "credits-remaining"));
        const auto job = get(key, "/v1/jobs/" + asked.job);
        document["tx_signature"] = job["on_chain"]["escrow_tx"];
        document["settlement_tx"] = job["on_chain"]["settlement_tx"];
        if (has) {
          EXPECT_EQ(asked.answer.header(prefix + "tx-signature"), job["on_chain"]["escrow_tx"].get<std::string>());
          EXPECT_EQ(last.at(prefix + "settlement-tx"), job["on_chain"]["settlement_tx"].get<std::string>());
        }
        const auto found = verify({document});
        EXPECT_EQ(found.code, 0) << found.output;
      }
    }
    EXPECT_EQ(stop_gateway(), 0);
  }
}

TEST_F(Receipts, trailers_are_not_sent_to_a_client_of_http_1_0) {
  add_node();
  start_gateway();
  const auto key = create_key("1000");
  Client client(address);
  const auto body = chat("x", true).dump();
  client.send("POST /v1/chat/completions HTTP/1.0\r\nAuthorization: Bearer " + key +
              "\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
              body);
  const auto answer = client.read_answer();
  EXPECT_FALSE(answer.headers.contains("trailer"));
  EXPECT_TRUE(answer.body.ends_with("data: [DONE]\n\n")) << answer.body;
  EXPECT_EQ(receipt(key, answer.header("x-turnpike-job-id"))["receipt"]["response_sha256"], sha256_hex(answer.body));
}

// ---- jobs ----

TEST_F(Receipts, a_job_is_processing_while_it_runs_and_failed_or_refunded_where_it_was_not_charged) {
  auto& node = add_node();
  start_gateway();
  const auto key = create_key("1000");
  auto [client, answer] = open_stream(key, chat("[[sim tokens=100000 ignore_max_tokens=1 interval_ms=20]] x", true));
  ASSERT_TRUE(client.read_until(answer, "content\":\" "));
  const auto running = answer.header("x-turnpike-job-id");
  auto job = get(key, "/v1/jobs/" + running);
  EXPECT_EQ(job["status"], "processing");
  EXPECT_TRUE(job["completed_at"].is_null());
  EXPECT_FALSE(job["on_chain"]["escrow_tx"].is_null());
  EXPECT_TRUE(job["on_chain"]["settlement_tx"].is_null());
  EXPECT_EQ(call(address, "GET", "/v1/jobs/" + running + "/receipt", bearer(key)).status, 404);
  EXPECT_EQ(get(key, "/v1/jobs?status=processing")["data"][0]["id"], running);
  client.close();
  ASSERT_TRUE(eventually([&] { return get(key, "/v1/jobs/" + running)["status"] == "settled"; }));

  const auto failed = ask(key, chat("[[sim status=500]] x"));
  EXPECT_EQ(failed.status, 502);
  job = get(key, "/v1/jobs/" + failed.header("x-turnpike-job-id"));
  EXPECT_EQ(job["status"], "failed");
  EXPECT_EQ(job["error"]["code"], "node_error");
  EXPECT_EQ(job["credits_charged"], "0");

  const auto late =
      ask(key, {{"model", "m-1"}, {"timeout_secs", 0.2}, {"messages", chat("[[sim delay_ms=60000]] x")["messages"]}});
  EXPECT_EQ(late.status, 504);
  EXPECT_EQ(get(key, "/v1/jobs/" + late.header("x-turnpike-job-id"))["error"]["code"], "node_timeout");

  Client gone(address);
  gone.request("POST", "/v1/chat/completions", bearer(key), chat("[[sim delay_ms=60000]] x", true).dump());
  ASSERT_TRUE(eventually([&] { return node.stats()["in_flight"].get<int>() == 1; }));
  gone.close();
  ASSERT_TRUE(eventually([&] { return get(key, "/v1/jobs?status=refunded")["data"].size() == 1; }));
  EXPECT_EQ(get(key, "/v1/jobs?status=failed")["data"].size(), 2U);
  EXPECT_EQ(get(key, "/v1/jobs?status=settled")["data"].size(), 1U);
  EXPECT_EQ(get(key, "/v1/jobs")["data"].size(), 4U);
}

TEST_F(Receipts, jobs_are_listed_newest_first_each_once_over_pages_and_by_filter) {
  add_node();
  config["scheduler"]["breaker_failures"] = 1000;
  start_gateway();
  const auto key = create_key("1000");
  std::vector<std::string> made;
  std::string middle;
  for (int i = 0; i < 12; ++i) {
    const auto answer = ask(key, chat(i % 3 == 1 ? "[[sim status=500]] x" : "x", i % 2 == 0));
    made.insert(made.begin(), answer.header("x-turnpike-job-id"));
    ASSERT_FALSE(made.front().empty()) << answer.body;
    if (i == 5) middle = get(key, "/v1/jobs/" + made.front())["completed_at"];
  }
  std::vector<std::string> shown;
  std::string cursor;
  do {
    const auto page = get(key, "/v1/jobs?limit=5" + (cursor.empty() ? "" : "&cursor=" + cursor));
    ASSERT_TRUE(page.contains("data")) << page;
    EXPECT_LE(page["data"].size(), 5U);
    for (const auto& job : page["data"]) shown.push_back(job["id"]);
    cursor = page["next_cursor"].is_null() ? "" : page["next_cursor"].get<std::string>();
  } while (!cursor.empty());
  EXPECT_EQ(shown, made);
  EXPECT_EQ(get(key, "/v1/jobs?status=failed&limit=200")["data"].size(), 4U);
  EXPECT_EQ(get(key, "/v1/jobs?model=m-1&limit=200")["data"].size(), 12U);
  EXPECT_EQ(get(key, "/v1/jobs?model=m-2&limit=200")["data"].size(), 0U);
  EXPECT_GE(get(key, "/v1/jobs?after=" + middle)["data"].size(), 7U);
  EXPECT_LE(get(key, "/v1/jobs?before=" + middle)["data"].size(), 5U);
  for (const auto* query :
       {"status=done", "limit=0", "limit=201", "after=yesterday", "cursor=nonsense", "cursor=1.2"}) {
    EXPECT_EQ(call(address, "GET", std::string("/v1/jobs?") + query, bearer(key)).status, 400) << query;
  }
}

TEST_F(Receipts, the_price_that_models_quote_is_the_one_that_the_receipt_names) {
  add_node();
  start_gateway();
  const auto key = create_key("1000");
  const auto quoted = get(key, "/v1/models/m-1")["pricing"];
  const auto said = receipt(key, infer(key, chat("x").dump()).job)["receipt"]["price"];
  EXPECT_EQ(said["id"], quoted["price_id"]);
  EXPECT_EQ(said["prompt_per_million_usd"], quoted["prompt_per_million_usd"]);
}

// ---- the command ----

TEST_F(Receipts, that_were_changed_are_told_a_line_each_and_by_the_exit_code) {
  add_node();
  start_gateway();
  const auto key = create_key("1000");
  auto document = receipt(key, infer(key, chat("x").dump()).job);
  document["receipt"]["amounts"]["charged_usdc"] = "0.00";
  const auto found = verify({document, document});
  EXPECT_EQ(found.code, 1);
  EXPECT_EQ(json::parse(found.output)["faults"].size(), 2U) << found.output;
  EXPECT_EQ(command({"receipts", "verify", folder.file("none"), "--key", std::string(64, '0')}).code, 2);
  EXPECT_EQ(command({"receipts", "verify", folder.file("documents.jsonl"), "--key", "abc"}).code, 2);
  EXPECT_EQ(command({"receipts", "verify", folder.file("documents.jsonl")}).code, 2);
}

}  // namespace
}  // namespace turnpike::test
