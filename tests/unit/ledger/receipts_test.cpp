// The receipts of charges, and the log that they form.
#include <nlohmann/json.hpp>
#include <random>
#include <vector>

#include "../../../src/ledger/ledger_record.hpp"
#include "../../../src/ledger/receipt_store.hpp"
#include "ledger_fixture.hpp"
#include "turnpike/ledger/receipt_log.hpp"
#include "turnpike/proof/canonical_json.hpp"
#include "turnpike/proof/merkle.hpp"
#include "turnpike/storage/connection.hpp"

namespace turnpike::ledger {
namespace {

using nlohmann::json;

const storage::SqliteOptions kLate{.commit_delay = std::chrono::hours(1)};

std::string hex(const Sha256& hash) {
  return to_hex({static_cast<const char*>(static_cast<const void*>(hash.data())), hash.size()});
}

class Receipts : public test::LedgerTest {
 protected:
  ReceiptLog log() { return ReceiptLog(*database); }
  static Evidence evidence() {
    return {.content = ContentDigests{.request = sha256("asked"), .response = sha256("answered")},
            .work = Work::chat,
            .stream = true,
            .ended = Ended::complete,
            .price = {.prompt_per_million = Money::nanousd(1'000'000'000),
                      .completion_per_million = Money::nanousd(2'000'000'000)},
            .most = {.prompt = 100, .completion = 450}};
  }
  // Charges for 12 and 8 tokens; the job's id.
  std::string charge(AccountId payer) {
    const Served nodes[] = {{.node_id = "node-1", .tokens = {.completion = 3}},
                            {.node_id = "node-2", .tokens = {.prompt = 12, .completion = 5}}};
    auto held = hold(payer, 1'000'000);
    EXPECT_TRUE(held);
    EXPECT_TRUE(loop.run(ledger->capture(*std::move(held), {.amount = Money::nanousd(28'000),
                                                            .basis = Basis::node_usage,
                                                            .tokens = {.prompt = 12, .completion = 8},
                                                            .nodes = nodes,
                                                            .evidence = evidence()})));
    return job;
  }
  StoredReceipt receipt(AccountId payer, const std::string& of) {
    auto places = log();
    return loop.run(places.find(payer, of)).value();
  }
  TreeHead head() {
    auto places = log();
    return loop.run(places.head()).value();
  }
  Result<Inclusion> inclusion(AccountId payer, const std::string& of, std::optional<std::uint64_t> size = {}) {
    auto places = log();
    return loop.run(places.inclusion(payer, of, size));
  }
  Result<std::vector<Sha256>> consistency(std::uint64_t earlier, std::uint64_t size) {
    auto places = log();
    return loop.run(places.consistency(earlier, size));
  }
  Fault fault_of(AccountId payer, const std::string& of) {
    auto places = log();
    const auto found = loop.run(places.find(payer, of));
    EXPECT_FALSE(found);
    return found ? Fault::internal_error : found.error().fault;
  }
};

TEST_F(Receipts, say_what_was_charged_and_why) {
  start();
  const AccountId payer = account_with(10'000'000);
  clock.advance(std::chrono::milliseconds(1'500));
  auto held = hold(payer, 1'000'000).value();
  clock.advance(std::chrono::milliseconds(250));
  const Served nodes[] = {{.node_id = "node-1", .tokens = {.prompt = 12, .completion = 8}}};
  ASSERT_TRUE(loop.run(ledger->capture(std::move(held), {.amount = Money::nanousd(28'000),
                                                         .basis = Basis::bounded,
                                                         .tokens = {.prompt = 12, .completion = 8},
                                                         .nodes = nodes,
                                                         .evidence = evidence()})));
  const auto found = receipt(payer, job);
  const auto said = json::parse(found.json);
  const auto& account = *ledger->find(payer);
  EXPECT_EQ(said,
            (json{{"account", account.public_id},
                  {"amounts", {{"charged_usdc", "0.000028"}, {"held_usdc", "0.001"}, {"released_usdc", "0.000972"}}},
                  {"basis", "bounded"},
                  {"captured_at", "2023-11-14T22:13:21.750Z"},
                  {"ended", "complete"},
                  {"entry", "txn_2"},
                  {"held_at", "2023-11-14T22:13:21.500Z"},
                  {"index", 0},
                  {"job_id", job},
                  {"model", "m-1"},
                  {"nodes", {{{"id", "node-1"}, {"prompt_tokens", 12}, {"completion_tokens", 8}}}},
                  {"previous", nullptr},
                  {"price",
                   {{"id", price_id(evidence().price)},
                    {"prompt_per_million_usd", "1.00"},
                    {"completion_per_million_usd", "2.00"},
                    {"per_request_usd", "0.00"},
                    {"included_output_tokens", 0},
                    {"per_thousand_beyond_usd", "0.00"}}},
                  {"quote", {{"prompt_tokens", 100}, {"completion_tokens", 450}}},
                  {"request_sha256", hex(sha256("asked"))},
                  {"response_sha256", hex(sha256("answered"))},
                  {"stream", true},
                  {"type", "receipt"},
                  {"usage", {{"prompt_tokens", 12}, {"completion_tokens", 8}}},
                  {"version", 1},
                  {"work", "chat"}}));
  EXPECT_EQ(found.json, proof::canonical_json(said).value());
  EXPECT_EQ(found.hash, proof::leaf_hash(found.json));
}

TEST_F(Receipts, name_both_nodes_of_a_stream_that_was_carried_on) {
  start();
  const AccountId payer = account_with(10'000'000);
  const auto said = json::parse(receipt(payer, charge(payer)).json);
  EXPECT_EQ(said["nodes"], json::parse(R"([{"id":"node-1","prompt_tokens":0,"completion_tokens":3},
                                           {"id":"node-2","prompt_tokens":12,"completion_tokens":5}])"));
}

TEST_F(Receipts, are_their_accounts_alone_and_of_charges_alone) {
  start();
  const AccountId payer = account_with(10'000'000);
  const AccountId other = account_with(10'000'000);
  const auto of = charge(payer);
  EXPECT_EQ(fault_of(other, of), Fault::not_found);
  EXPECT_EQ(fault_of(payer, "job_unknown"), Fault::not_found);
  ASSERT_TRUE(loop.run(ledger->top_up(payer, Money::nanousd(1), "pay_1", "0xabc")));
  EXPECT_EQ(fault_of(payer, "pay_1"), Fault::not_found);
  EXPECT_FALSE(inclusion(other, of));
  EXPECT_FALSE(inclusion(payer, "pay_1"));
}

TEST_F(Receipts, form_one_chain_and_one_tree_over_all_accounts_whatever_comes_in_between) {
  start();
  const AccountId one = account_with(100'000'000);
  const AccountId two = account_with(100'000'000);
  std::vector<Sha256> leaves;
  std::vector<TreeHead> heads;
  std::vector<std::string> jobs_of_one;
  for (int i = 0; i < 600; ++i) {
    const AccountId payer = i % 3 == 0 ? two : one;
    const auto of = charge(payer);
    if (payer == one) jobs_of_one.push_back(of);
    if (i % 7 == 0) ASSERT_TRUE(loop.run(ledger->grant(one, Money::nanousd(1), "in between")));
    if (i % 97 == 0) start();  // a restart
    if (i % 131 == 0) {
      crash();
      start();
    }
    const auto found = receipt(payer, of);
    ASSERT_EQ(found.index, leaves.size());
    const auto previous = json::parse(found.json)["previous"];
    ASSERT_EQ(previous, leaves.empty() ? json(nullptr) : json("sha256:" + hex(leaves.back())));
    leaves.push_back(found.hash);
    if (i % 29 == 0) {
      heads.push_back(head());
      ASSERT_EQ(heads.back().size, leaves.size());
      ASSERT_EQ(heads.back().root, proof::root_of(leaves));
    }
  }
  const auto last = head();
  ASSERT_EQ(last.size, 600U);
  for (const auto& earlier : heads) {
    const auto shown = consistency(earlier.size, last.size).value();
    EXPECT_TRUE(proof::is_consistent(earlier.size, earlier.root, last.size, last.root, shown)) << earlier.size;
  }
  for (std::size_t i = 0; i < jobs_of_one.size(); i += 37) {
    const auto shown = inclusion(one, jobs_of_one[i]).value();
    EXPECT_TRUE(proof::is_included(shown.leaf, shown.index, shown.size, shown.path, last.root));
    const auto then = inclusion(one, jobs_of_one[i], shown.index + 1).value();
    EXPECT_TRUE(proof::is_included(then.leaf, then.index, then.size, then.path,
                                   proof::root_of(std::span(leaves).first(shown.index + 1))));
  }
  expect_right_books();
}

TEST_F(Receipts, of_a_size_that_the_log_does_not_have_there_is_no_proof) {
  start();
  const AccountId payer = account_with(10'000'000);
  EXPECT_EQ(head().size, 0U);
  EXPECT_EQ(head().root, proof::empty_hash());
  const auto first = charge(payer);
  const auto second = charge(payer);
  EXPECT_EQ(inclusion(payer, first, 3).error().param, "tree_size");
  EXPECT_EQ(inclusion(payer, second, 1).error().param, "tree_size");
  EXPECT_EQ(consistency(1, 3).error().param, "to");
  EXPECT_EQ(consistency(0, 2).error().param, "from");
  EXPECT_EQ(consistency(2, 1).error().param, "from");
  EXPECT_TRUE(consistency(2, 2));
}

TEST_F(Receipts, that_no_transaction_holds_yet_are_the_same_after_the_end_of_the_program) {
  start(kLate);
  const AccountId payer = account_with(10'000'000);
  std::vector<std::string> jobs_charged;
  for (int i = 0; i < 5; ++i) jobs_charged.push_back(charge(payer));
  crash();
  start(kLate);
  std::vector<std::string> before;
  for (const auto& of : jobs_charged) before.push_back(receipt(payer, of).json);
  const auto whole = head();
  for (int crashes = 0; crashes < 3; ++crashes) {
    charge(payer);
    crash();
    start(kLate);
    for (std::size_t i = 0; i < jobs_charged.size(); ++i) EXPECT_EQ(receipt(payer, jobs_charged[i]).json, before[i]);
    const auto grown = head();
    EXPECT_EQ(grown.size, whole.size + static_cast<std::uint64_t>(crashes) + 1);
    EXPECT_TRUE(proof::is_consistent(whole.size, whole.root, grown.size, grown.root,
                                     consistency(whole.size, grown.size).value()));
  }
  expect_right_books();
}

// The end of the log is kept in memory: a batch that is rolled back must not leave it ahead.
TEST_F(Receipts, are_chained_right_when_a_batch_runs_again_change_by_change) {
  struct Refused final : storage::Operation {
    void run(storage::Connection& connection) override {
      connection.prepare("INSERT INTO accounts (id, public_id, name, created_at) VALUES (1, '', '', 0)").run();
    }
  };
  start({.commit_delay = std::chrono::milliseconds(0)});
  const AccountId payer = account_with(10'000'000);
  for (int i = 0; i < 20; ++i) {
    auto one = hold(payer, 1'000).value();
    auto two = hold(payer, 1'000).value();
    auto refused = std::make_shared<Refused>();
    // All of them share a transaction, which the second makes fail.
    ASSERT_TRUE(ledger->charge(std::move(one), {.amount = Money::nanousd(1)}));
    ASSERT_TRUE(database->write(refused, storage::Queueing::bounded));
    ASSERT_TRUE(ledger->charge(std::move(two), {.amount = Money::nanousd(2)}));
    EXPECT_FALSE(loop.run(storage::finished(refused)));
  }
  EXPECT_FALSE(ledger->poisoned());
  EXPECT_EQ(head().size, 40U);
  expect_right_books();
}

TEST_F(Receipts, are_none_for_charges_of_an_older_version_and_begin_behind_them) {
  start();
  const AccountId payer = account_with(10'000'000);
  NewEntry old;
  old.id = 2;
  old.account = payer;
  old.amount = Money::nanousd(-1'000);
  old.basis = Basis::node_usage;
  old.job_id = "job_old";
  old.model = "m-1";
  std::string record;
  write_record(record, old);
  history(payer);  // waits for what was written before it
  ASSERT_TRUE(database->run_now([&](storage::Connection& connection) {
    CatchUp journal;
    journal.apply(connection, record);
  }));
  start();
  EXPECT_EQ(fault_of(payer, "job_old"), Fault::not_found);
  EXPECT_EQ(head().size, 0U);
  EXPECT_EQ(receipt(payer, charge(payer)).index, 0U);
  expect_right_books();
}

TEST_F(Receipts, travel_in_the_journals_record) {
  NewEntry entry;
  entry.id = 7;
  entry.account = 2;
  entry.amount = Money::nanousd(-1'000);
  entry.job_id = "job_1";
  encode_facts(entry.receipt, {.account = "acct_1", .evidence = evidence(), .held = Money::nanousd(5)});
  std::string record;
  write_record(record, entry);
  EXPECT_EQ(std::get<std::unique_ptr<NewEntry>>(read_record(record))->receipt, entry.receipt);
  for (std::size_t bytes = 0; bytes < record.size(); ++bytes) {
    EXPECT_THROW(std::ignore = read_record(std::string_view(record).substr(0, bytes)), storage::StorageError) << bytes;
  }
}

// ---- the receipt's two forms ----

TEST(ReceiptFacts, read_as_they_were_written_and_not_when_they_are_cut_or_lengthened) {
  const ReceiptFacts facts{
      .account = "acct_1",
      .evidence = {.content = ContentDigests{.request = sha256("a"), .response = sha256("b")},
                   .work = Work::embedding,
                   .ended = Ended::broken,
                   .price = {.per_request = Money::nanousd(7), .included_output_tokens = 200},
                   .most = {.prompt = 1, .completion = std::uint64_t{1} << 62}},
      .held = Money::max(),
      .held_at = WallTime(std::chrono::microseconds(1'700'000'000'123'456)),
      .nodes = {{.id = "node-1", .tokens = {.prompt = 300, .completion = 4}}, {.id = "", .tokens = {}}}};
  std::string bytes;
  encode_facts(bytes, facts);
  const auto read = decode_facts(bytes);
  EXPECT_EQ(read.account, facts.account);
  EXPECT_EQ(read.evidence.content, facts.evidence.content);
  EXPECT_EQ(read.evidence.work, Work::embedding);
  EXPECT_FALSE(read.evidence.stream);
  EXPECT_EQ(read.evidence.ended, Ended::broken);
  EXPECT_EQ(read.evidence.price, facts.evidence.price);
  EXPECT_EQ(read.evidence.most, facts.evidence.most);
  EXPECT_EQ(read.held, facts.held);
  EXPECT_EQ(read.held_at, facts.held_at);
  ASSERT_EQ(read.nodes.size(), 2U);
  EXPECT_EQ(read.nodes[0].id, "node-1");
  EXPECT_EQ(read.nodes[0].tokens, facts.nodes[0].tokens);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_THROW(std::ignore = decode_facts(std::string_view(bytes).substr(0, size)), storage::StorageError) << size;
  }
  EXPECT_THROW(std::ignore = decode_facts(bytes + "x"), storage::StorageError);
}

TEST(ReceiptFacts, without_digests_of_content_read_as_they_were_written_and_take_no_room_for_them) {
  ReceiptFacts facts{.account = "acct_1", .held = Money::nanousd(5)};
  std::string bytes;
  encode_facts(bytes, facts);
  const auto read = decode_facts(bytes);
  EXPECT_EQ(read.evidence.content, std::nullopt);
  EXPECT_EQ(read.account, "acct_1");
  EXPECT_EQ(read.held, facts.held);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_THROW(std::ignore = decode_facts(std::string_view(bytes).substr(0, size)), storage::StorageError) << size;
  }
  facts.evidence.content.emplace();
  std::string with;
  encode_facts(with, facts);
  EXPECT_EQ(with.size(), bytes.size() + sizeof(ContentDigests));
}

TEST(Receipt, is_written_as_the_general_writer_of_rfc_8785_writes_it) {
  std::mt19937_64 random(11);
  const auto money = [&] { return Money::nanousd(static_cast<std::int64_t>(random() >> (random() % 63 + 1))); };
  const auto tokens = [&] { return TokenCounts{.prompt = random() >> (random() % 64), .completion = random() % 100}; };
  const std::string texts[] = {"m-1", "a \"quoted\" \\ name", "\xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x99\x82", "\x01\n\x7f",
                               ""};
  for (int i = 0; i < 500; ++i) {
    Receipt receipt;
    receipt.index = random() >> (random() % 53 + 11);
    if (i % 2 == 0) receipt.previous = sha256(std::to_string(i));
    receipt.entry_id = static_cast<std::int64_t>(random() >> 20);
    receipt.job_id = texts[random() % 5];
    receipt.model = texts[random() % 5];
    receipt.basis = to_string(Basis::relayed);
    receipt.facts.held = money();
    receipt.charged = std::min(money(), receipt.facts.held);
    receipt.tokens = tokens();
    receipt.captured_at = WallTime(std::chrono::microseconds(random() % 4'000'000'000'000'000));
    receipt.facts.held_at = WallTime(std::chrono::microseconds(random() % 4'000'000'000'000'000));
    receipt.facts.account = texts[random() % 5];
    receipt.facts.evidence = {.stream = i % 3 == 0,
                              .ended = Ended::client_left,
                              .price = {.prompt_per_million = money(),
                                        .completion_per_million = money(),
                                        .per_request = money(),
                                        .included_output_tokens = random() % 1000,
                                        .per_thousand_beyond = money()},
                              .most = tokens()};
    if (i % 5 != 0) {
      receipt.facts.evidence.content = ContentDigests{.request = sha256(std::to_string(i)), .response = sha256("s")};
    }
    for (std::size_t n = random() % 4; n > 0; --n)
      receipt.facts.nodes.push_back({.id = texts[random() % 5], .tokens = tokens()});
    std::string text;
    append_receipt(text, receipt, price_json(receipt.facts.evidence.price, price_id(receipt.facts.evidence.price)));
    const auto read = proof::parse_strictly(text);
    ASSERT_TRUE(read) << text;
    EXPECT_EQ(text, proof::canonical_json(*read).value_or("none"));
    EXPECT_EQ((*read)["amounts"]["charged_usdc"], receipt.charged.to_usdc());
    EXPECT_EQ((*read)["captured_at"], rfc3339(receipt.captured_at.time_since_epoch().count()));
  }
}

TEST(Receipt, names_a_price_by_all_of_its_numbers) {
  const Price price{.prompt_per_million = Money::nanousd(1), .completion_per_million = Money::nanousd(2)};
  Price same = price;
  EXPECT_EQ(price_id(price), price_id(same));
  EXPECT_EQ(price_id(price).size(), 6U + 16);
  for (auto change :
       {+[](Price& p) { p.prompt_per_million = Money::nanousd(9); },
        +[](Price& p) { p.completion_per_million = Money::nanousd(9); },
        +[](Price& p) { p.per_request = Money::nanousd(9); }, +[](Price& p) { p.included_output_tokens = 9; },
        +[](Price& p) { p.per_thousand_beyond = Money::nanousd(9); }}) {
    Price other = price;
    change(other);
    EXPECT_NE(price_id(other), price_id(price));
  }
}

// ---- what an audit finds ----

class TamperedReceipts : public Receipts {
 protected:
  std::vector<std::string> after(storage::Sql change) {
    data = whole;
    crash();
    start();
    EXPECT_TRUE(database->run_now([&](storage::Connection& connection) {
      connection.prepare("PRAGMA ignore_check_constraints = ON").run();
      connection.prepare(change).run();
      EXPECT_GT(connection.changes(), 0) << change.text();
    }));
    const auto found = audit(*database);
    stop();
    std::filesystem::remove_all(folder.file(data));
    return found ? found->faults : std::vector<std::string>{found.error().message};
  }
  std::string whole;
};

TEST_F(TamperedReceipts, are_found_by_any_of_their_columns) {
  start();
  const AccountId payer = account_with(100'000'000);
  for (int i = 0; i < 300; ++i) charge(payer);
  expect_right_books();
  stop();
  whole = data;
  for (const storage::Sql change : std::initializer_list<storage::Sql>{
           "UPDATE entries SET receipt_index = 301 WHERE receipt_index = 299",
           "UPDATE entries SET receipt_index = NULL WHERE receipt_index = 5",
           "UPDATE entries SET receipt_index = NULL WHERE receipt_index = 299",
           "UPDATE entries SET receipt = substr(receipt, 1, length(receipt) - 1) WHERE receipt_index = 5",
           "UPDATE entries SET receipt = CAST(substr(receipt, 1, 1) || x'00' || substr(receipt, 3) AS BLOB) WHERE "
           "receipt_index = 5",
           "UPDATE entries SET receipt_hash = randomblob(32) WHERE receipt_index = 5",
           "UPDATE entries SET receipt_hash = randomblob(32) WHERE receipt_index = 299",
           "UPDATE entries SET receipt_hash = x'00' WHERE receipt_index = 5",
           "UPDATE entries SET basis = 'relayed' WHERE receipt_index = 5",
           "UPDATE entries SET model = 'm-2' WHERE receipt_index = 5",
           "UPDATE entries SET job_id = 'job_x' WHERE receipt_index = 5",
           "UPDATE entries SET prompt_tokens = prompt_tokens + 1 WHERE receipt_index = 5",
           "UPDATE entries SET created_at = created_at + 1000 WHERE receipt_index = 5",
           "UPDATE receipt_tiles SET root = randomblob(32)",
           "UPDATE receipt_tiles SET last_entry_id = last_entry_id - 1",
           "DELETE FROM receipt_tiles",
           "UPDATE entries SET receipt_index = 300 WHERE type = 'grant'",
       }) {
    EXPECT_FALSE(after(change).empty()) << change.text();
  }
}

}  // namespace
}  // namespace turnpike::ledger
