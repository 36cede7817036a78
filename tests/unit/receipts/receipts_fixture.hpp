// A ledger that charges, the log of its receipts, and the keys that sign them.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "common/loop.hpp"
#include "common/temp_folder.hpp"
#include "turnpike/base/encoding.hpp"
#include "turnpike/ledger/ledger.hpp"
#include "turnpike/ledger/receipt_log.hpp"
#include "turnpike/receipts/keys.hpp"
#include "turnpike/receipts/statements.hpp"
#include "turnpike/storage/sqlite.hpp"

namespace turnpike::receipts::test {

using nlohmann::json;

class ReceiptsTest : public testing::Test {
 protected:
  void SetUp() override {
    start();
    account = loop.run(ledger->create_account("test")).value().id;
    ASSERT_TRUE(loop.run(ledger->grant(account, ledger::Money::nanousd(1'000'000'000), "for a test")));
  }
  void TearDown() override { stop(); }
  void start() {
    stop();
    database = storage::open_sqlite(loop.executor(),
                                    {.file = folder.file("turnpike.db"), .commit_delay = std::chrono::milliseconds(0)})
                   .value();
    ledger = ledger::Ledger::open(*database, clock, {}).value();
    keys = Keys::open(*database, clock, folder.file("")).value();
  }
  void stop() {
    keys = nullptr;
    ledger = nullptr;
    database = nullptr;
  }
  PublicKey rotate() { return loop.run(keys->rotate()).value(); }

  // Charges for 12 and 8 tokens at 1 and 2 dollars a million; the job's id.
  std::string charge() {
    const std::string job = "job_" + std::to_string(++jobs);
    const ledger::Price price{.prompt_per_million = ledger::Money::nanousd(1'000'000'000),
                              .completion_per_million = ledger::Money::nanousd(2'000'000'000)};
    const ledger::TokenCounts most{.prompt = 100, .completion = 50};
    const ledger::TokenCounts tokens{.prompt = 12, .completion = 8};
    const ledger::Served nodes[] = {{.node_id = "node-1", .tokens = tokens}};
    auto hold = ledger->hold(account, price.cost(most), {.job_id = job, .model = "m-1"}).value();
    EXPECT_TRUE(loop.run(ledger->capture(
        std::move(hold),
        {.amount = price.cost(tokens),
         .basis = ledger::Basis::node_usage,
         .tokens = tokens,
         .nodes = nodes,
         .evidence = {.content = ledger::ContentDigests{.request = sha256("asked"), .response = sha256(job)},
                      .price = price,
                      .most = most}})));
    return job;
  }
  // As GET /v1/jobs/{id}/receipt answers.
  json receipt(const std::string& job) {
    ledger::ReceiptLog log(*database);
    const auto found = loop.run(log.find(account, job)).value();
    return signed_document(found.json, found.charge.created_at);
  }
  json signed_document(const std::string& text, WallTime at) const {
    const auto signature = keys->sign(text, at).value();
    return {{"receipt", json::parse(text)}, {"key_id", signature.key_id}, {"signature", to_base64(signature.bytes)}};
  }
  // As GET /v1/receipts/root answers.
  json root() {
    ledger::ReceiptLog log(*database);
    const auto statement = head_statement(loop.run(log.head()).value(), clock.wall());
    const auto signature = keys->sign(statement, clock.wall()).value();
    json document = json::parse(statement);
    document["key_id"] = signature.key_id;
    document["signature"] = to_base64(signature.bytes);
    return document;
  }
  // As GET /v1/receipts/{id}/proof answers.
  json proof(const std::string& job) {
    ledger::ReceiptLog log(*database);
    const auto shown = loop.run(log.inclusion(account, job, {})).value();
    return {{"leaf_index", shown.index},
            {"tree_size", shown.size},
            {"leaf_hash", base64_of(shown.leaf)},
            {"audit_path", base64_of(shown.path)}};
  }
  json consistency(std::uint64_t from, std::uint64_t to) {
    ledger::ReceiptLog log(*database);
    return {{"from", from}, {"to", to}, {"proof", base64_of(loop.run(log.consistency(from, to)).value())}};
  }
  static std::string base64_of(const Sha256& hash) {
    return to_base64({static_cast<const char*>(static_cast<const void*>(hash.data())), hash.size()});
  }
  static json base64_of(const std::vector<Sha256>& hashes) {
    json list = json::array();
    for (const auto& hash : hashes) list.push_back(base64_of(hash));
    return list;
  }

  turnpike::test::TempFolder folder;
  turnpike::test::Loop loop;
  HeldClock clock;
  std::unique_ptr<storage::Database> database;
  std::unique_ptr<ledger::Ledger> ledger;
  std::unique_ptr<Keys> keys;
  ledger::AccountId account = 0;
  int jobs = 0;
};

}  // namespace turnpike::receipts::test
