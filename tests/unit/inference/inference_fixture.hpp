// A catalogue of a few models, an account with credits, and nodes that play a script.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <utility>

#include "common/loop.hpp"
#include "common/padded.hpp"
#include "common/temp_folder.hpp"
#include "scripted_relay.hpp"
#include "turnpike/inference/inference.hpp"
#include "turnpike/storage/sqlite.hpp"

namespace turnpike::inference::test {

// One prompt token costs 1'000 nano-dollars, one completion token 2'000.
inline constexpr ledger::Price kPrice{.prompt_per_million = ledger::Money::nanousd(1'000'000'000),
                                      .completion_per_million = ledger::Money::nanousd(2'000'000'000)};
constexpr std::int64_t cost(std::uint64_t prompt, std::uint64_t completion) {
  return static_cast<std::int64_t>(prompt * 1'000 + completion * 2'000);
}

class InferenceTest : public testing::Test {
 protected:
  static constexpr std::int64_t kBalance = 1'000'000'000;

  void SetUp() override {
    open(storage::Durability::process);
    account = account_with(kBalance);
    catalogue.assign({model("m-1"), vision("m-eye"), embedder("m-vec")});
    relay::test::playing = &script;
  }
  void TearDown() override {
    relay::test::playing = nullptr;
    ledger = nullptr;
    database = nullptr;
  }

  // `power`: a charge is durable only with its transaction.
  void open(storage::Durability durability) {
    made_ = nullptr;
    ledger = nullptr;
    database = nullptr;
    database = storage::open_sqlite(loop.executor(), {.file = folder.file("turnpike.db"),
                                                      .durability = durability,
                                                      .allow_commit = [this] { return commits.load(); }})
                   .value();
    ledger = ledger::Ledger::open(*database, clock, {}).value();
  }

  static Model model(std::string id) {
    Model made;
    made.id = std::move(id);
    made.max_output_tokens = 4'096;
    made.price = kPrice;
    return made;
  }
  static Model vision(std::string id) {
    Model made = model(std::move(id));
    made.vision = true;
    return made;
  }
  static Model embedder(std::string id) {
    Model made = model(std::move(id));
    made.chat = made.completion = false;
    made.embeddings = true;
    return made;
  }

  ledger::AccountId account_with(std::int64_t nanousd) {
    const auto made = loop.run(ledger->create_account("test")).value().id;
    if (nanousd > 0) EXPECT_TRUE(loop.run(ledger->grant(made, ledger::Money::nanousd(nanousd), "for a test")));
    return made;
  }
  Inference& inference() {
    if (!made_) made_ = std::make_unique<Inference>(catalogue, *ledger, relay_, scanner, registry, clock, limits);
    return *made_;
  }
  // Checks `body` and holds its price, as a request in `dialect`.
  Result<std::unique_ptr<Job>> prepare(std::string_view body, scan::RequestKind kind = scan::RequestKind::chat,
                                       std::string_view dialect = "drm3") {
    return inference().prepare({.kind = kind,
                                .body = bodies.emplace_back(body).view(),
                                .dialect = *dialects.by_id(dialect),
                                .account = account,
                                .request_id = "req_1",
                                .client_gone = {}},
                               admission);
  }
  std::int64_t held() { return (ledger->balance(account) - ledger->available(account)).nanousd(); }
  std::int64_t spent() { return kBalance - ledger->balance(account).nanousd(); }
  ledger::EarningsPage earnings(ledger::AccountId owner, std::string_view node) {
    return loop.run(ledger->earnings(owner, node, 200, {})).value();
  }
  // The newest line of the account's history.
  ledger::Entry newest() { return loop.run(ledger->history(account, 1, {})).value().entries.at(0); }

  turnpike::test::TempFolder folder;
  turnpike::test::Loop loop;
  HeldClock clock;
  std::atomic<bool> commits = true;
  std::unique_ptr<storage::Database> database;
  std::unique_ptr<ledger::Ledger> ledger;
  ledger::AccountId account = 0;
  limits::RateLimiter limiter{10};
  limits::Admission admission;  // of the next request; none: nothing is limited
  dialect::Dialects dialects = dialect::Dialects::load("", "dria").value();
  Catalogue catalogue;
  scan::Scanner scanner;
  InferenceLimits limits;
  scheduler::NodeRegistry registry{{}, 7};
  relay::test::Script script;
  std::deque<turnpike::test::Padded> bodies;

 private:
  Deadlines deadlines_{loop.executor(), clock};
  scheduler::Scheduler scheduler_{loop.executor(), deadlines_, registry, {}};
  relay::NodeClient nodes_{loop.executor(), deadlines_, {}};
  relay::Relay relay_{loop.executor(), deadlines_, scheduler_, nodes_, scanner, {}};
  std::unique_ptr<Inference> made_;
};

}  // namespace turnpike::inference::test
