// Double entry: what owners of nodes earn, and what the audit finds.
#include <atomic>
#include <functional>
#include <vector>

#include "../../../src/ledger/ledger_record.hpp"
#include "ledger_fixture.hpp"
#include "turnpike/storage/connection.hpp"

namespace turnpike::ledger {
namespace {

constexpr std::uint32_t kFourFifths = 800'000;
const storage::SqliteOptions kLate{.commit_delay = std::chrono::hours(1)};

class Earnings : public test::LedgerTest {
 protected:
  // Charges `payer` for a job that `nodes` served.
  void charge(AccountId payer, std::int64_t nanousd, std::vector<Served> nodes, TokenCounts tokens = {}) {
    auto held = hold(payer, nanousd);
    ASSERT_TRUE(held);
    ASSERT_TRUE(loop.run(ledger->capture(
        *std::move(held),
        {.amount = Money::nanousd(nanousd), .basis = Basis::node_usage, .tokens = tokens, .nodes = nodes})));
  }
  static Served served(std::string_view node, AccountId owner, std::int64_t cost,
                       std::uint32_t share_millionths = kFourFifths) {
    return {.node_id = node,
            .tokens = {.prompt = 3, .completion = 4},
            .cost = Money::nanousd(cost),
            .owner = owner,
            .share_millionths = share_millionths};
  }
  EarningsPage earned(AccountId owner, std::string_view node, int limit = 200,
                      std::optional<std::int64_t> before = {}) {
    return loop.run(ledger->earnings(owner, node, limit, before)).value();
  }
  std::int64_t total(AccountId owner, std::string_view node) { return earned(owner, node).total.nanousd(); }
  Audit books() {
    history(1);  // waits for what was written before it
    return audit(*database).value();
  }
};

TEST_F(Earnings, go_to_the_owner_by_the_same_entry_apart_from_its_balance) {
  start();
  const AccountId payer = account_with(10'000);
  const AccountId owner = account_with(0);
  charge(payer, 999, {served("node-1", owner, 999)});
  EXPECT_EQ(balance(payer), 9'001);
  EXPECT_EQ(balance(owner), 0);
  const auto page = earned(owner, "node-1");
  EXPECT_EQ(page.total.nanousd(), 799);
  ASSERT_EQ(page.earnings.size(), 1U);
  EXPECT_EQ(page.earnings[0].entry_id, history(payer).entries[0].id);
  EXPECT_EQ(page.earnings[0].amount.nanousd(), 799);
  EXPECT_EQ(page.earnings[0].tokens, (TokenCounts{.prompt = 3, .completion = 4}));
  EXPECT_EQ(page.earnings[0].created_at, clock.wall());
  const auto found = books();
  EXPECT_TRUE(found.faults.empty()) << found.faults.front();
  EXPECT_EQ(found.balances.nanousd(), 9'001);
  EXPECT_EQ(found.owners.nanousd(), 799);
  EXPECT_EQ(found.network.nanousd(), 200 - 10'000) << "it granted, and keeps the rest of the charge";
  EXPECT_EQ(found.outside.nanousd(), 0);
}

TEST_F(Earnings, of_two_nodes_are_each_owners_own) {
  start();
  const AccountId payer = account_with(10'000);
  const AccountId one = account_with(0);
  const AccountId two = account_with(0);
  charge(payer, 1'000, {served("node-1", one, 300), served("node-2", two, 700, 500'000), served("node-3", 0, 0)});
  charge(payer, 100, {served("node-2", one, 100)});
  EXPECT_EQ(total(one, "node-1"), 240);
  EXPECT_EQ(total(two, "node-2"), 350);
  EXPECT_EQ(total(one, "node-2"), 80);
  EXPECT_EQ(total(two, "node-1"), 0);
  EXPECT_EQ(total(one, "node-3"), 0);
  EXPECT_EQ(history(payer).entries[1].node_id, "node-1,node-2,node-3");
  EXPECT_TRUE(books().faults.empty());
}

TEST_F(Earnings, of_a_node_that_served_twice_are_one_line) {
  start();
  const AccountId payer = account_with(10'000);
  const AccountId owner = account_with(0);
  charge(payer, 1'000, {served("node-1", owner, 300), served("node-1", owner, 700)});
  const auto page = earned(owner, "node-1");
  EXPECT_EQ(page.total.nanousd(), 800);
  ASSERT_EQ(page.earnings.size(), 1U);
  EXPECT_EQ(page.earnings[0].tokens, (TokenCounts{.prompt = 6, .completion = 8}));
  EXPECT_TRUE(books().faults.empty());
}

TEST_F(Earnings, are_none_without_an_owner_a_share_or_a_charge) {
  start();
  const AccountId payer = account_with(10'000);
  const AccountId owner = account_with(0);
  charge(payer, 1'000, {served("node-1", 0, 1'000)});
  charge(payer, 1'000, {served("node-1", owner, 1'000, 0)});
  charge(payer, 0, {served("node-1", owner, 0)});
  charge(payer, 1, {served("node-1", owner, 1)});  // four fifths of a nano-dollar
  EXPECT_TRUE(earned(owner, "node-1").earnings.empty());
  const auto found = books();
  EXPECT_TRUE(found.faults.empty());
  EXPECT_EQ(found.owners, Money());
  EXPECT_EQ(found.network.nanousd(), 2'001 - 10'000);
}

TEST_F(Earnings, of_a_charge_cut_to_its_hold_are_of_what_was_charged) {
  start();
  const AccountId payer = account_with(10'000);
  const AccountId owner = account_with(0);
  const Served nodes[] = {served("node-1", owner, 5'000)};
  ASSERT_TRUE(loop.run(ledger->capture(hold(payer, 100).value(), {.amount = Money::nanousd(5'000), .nodes = nodes})));
  EXPECT_EQ(total(owner, "node-1"), 80);
}

TEST_F(Earnings, come_in_pages_newest_first_each_once) {
  start();
  const AccountId payer = account_with(10'000);
  const AccountId owner = account_with(0);
  for (int i = 1; i <= 10; ++i) charge(payer, 10 * i, {served("node-1", owner, 1)});
  std::vector<std::int64_t> amounts;
  std::optional<std::int64_t> before;
  do {
    const auto page = earned(owner, "node-1", 3, before);
    EXPECT_LE(page.earnings.size(), 3U);
    EXPECT_EQ(page.total.nanousd(), 440) << "on every page";
    for (const auto& each : page.earnings) amounts.push_back(each.amount.nanousd());
    before = page.next_cursor;
  } while (before);
  EXPECT_EQ(amounts, (std::vector<std::int64_t>{80, 72, 64, 56, 48, 40, 32, 24, 16, 8}));
}

TEST_F(Earnings, that_no_transaction_holds_yet_survive_the_end_of_the_program) {
  start(kLate);
  const AccountId payer = account_with(10'000);
  const AccountId owner = account_with(0);
  for (int i = 0; i < 3; ++i) charge(payer, 1'000, {served("node-1", owner, 300), served("node-2", owner, 700)});
  for (int crashes = 0; crashes < 3; ++crashes) {
    crash();
    start(kLate);
    EXPECT_EQ(total(owner, "node-1"), 720);
    EXPECT_EQ(total(owner, "node-2"), 1'680);
    EXPECT_EQ(earned(owner, "node-2").earnings.size(), 3U);
    EXPECT_EQ(earned(owner, "node-2").earnings[0].tokens, (TokenCounts{.prompt = 3, .completion = 4}));
    EXPECT_TRUE(books().faults.empty());
  }
  charge(payer, 1'000, {served("node-1", owner, 1'000)});
  EXPECT_EQ(total(owner, "node-1"), 1'520);
  EXPECT_TRUE(books().faults.empty());
}

TEST_F(Earnings, are_written_whole_when_a_batch_runs_again_change_by_change) {
  std::atomic<int> commits = 0;
  start({.commit_delay = std::chrono::milliseconds(0), .allow_commit = [&] { return ++commits > 0; }});
  const AccountId payer = account_with(10'000);
  const AccountId owner = account_with(0);
  for (int i = 0; i < 50; ++i) charge(payer, 100, {served("node-1", owner, 100)});
  EXPECT_EQ(total(owner, "node-1"), 4'000);
  EXPECT_TRUE(books().faults.empty());
}

// ---- the journal's form ----

TEST_F(Earnings, travel_in_the_journals_record) {
  NewEntry entry;
  entry.id = 7;
  entry.account = 2;
  entry.amount = Money::nanousd(-1'000);
  entry.basis = Basis::bounded;
  entry.node_id = "node-1,node-2";
  entry.payouts = {
      {.owner = 3, .node_id = "node-1", .amount = Money::nanousd(9), .tokens = {.prompt = 1, .completion = 2}},
      {.owner = 4, .node_id = "node-2", .amount = Money::nanousd(8), .tokens = {.prompt = 3, .completion = 5}}};
  std::string record;
  write_record(record, entry);
  const auto read = std::get<std::unique_ptr<NewEntry>>(read_record(record));
  EXPECT_EQ(read->id, 7);
  EXPECT_EQ(read->node_id, "node-1,node-2");
  ASSERT_EQ(read->payouts.size(), 2U);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(read->payouts[i].owner, entry.payouts[i].owner);
    EXPECT_EQ(read->payouts[i].node_id, entry.payouts[i].node_id);
    EXPECT_EQ(read->payouts[i].amount, entry.payouts[i].amount);
    EXPECT_EQ(read->payouts[i].tokens, entry.payouts[i].tokens);
  }
  for (std::size_t bytes = 0; bytes < record.size(); ++bytes) {
    EXPECT_THROW(std::ignore = read_record(std::string_view(record).substr(0, bytes)), storage::StorageError) << bytes;
  }
}

// As version 0.1 wrote an entry before there were earnings: kind 2, ten numbers, four texts.
std::string old_record(std::int64_t id, AccountId account, EntryType type, std::int64_t amount,
                       std::string_view job_id) {
  std::string record(1, '\2');
  const auto number = [&](std::int64_t value) {
    record.append(static_cast<const char*>(static_cast<const void*>(&value)), sizeof value);
  };
  for (const auto each : {id, account, static_cast<std::int64_t>(type), amount, std::int64_t{0}, std::int64_t{0},
                          std::int64_t{12}, std::int64_t{8}, std::int64_t{1'000'000}, std::int64_t{-1}}) {
    number(each);
  }
  for (const auto text : {job_id, std::string_view("m-1"), std::string_view("node-1"), std::string_view()}) {
    number(static_cast<std::int64_t>(text.size()));
    record += text;
  }
  return record;
}

TEST_F(Earnings, are_none_in_an_entry_of_the_journal_of_an_older_version_which_is_read_all_the_same) {
  start();
  const AccountId payer = account_with(10'000);
  history(payer);  // waits for what was written before it
  const auto brought_in = database->run_now([&](storage::Connection& connection) {
    CatchUp journal;
    journal.apply(connection, old_record(2, payer, EntryType::charge, -1'000, "job_old"));
    EXPECT_EQ(journal.entries(), 1U);
  });
  ASSERT_TRUE(brought_in) << brought_in.error().message;
  start();
  EXPECT_EQ(balance(payer), 9'000);
  EXPECT_EQ(history(payer).entries[0].node_id, "node-1");
  const auto found = books();
  EXPECT_TRUE(found.faults.empty()) << found.faults.front();
  EXPECT_EQ(found.network.nanousd(), 1'000 - 10'000);
}

TEST_F(Earnings, are_not_even_mentioned_in_the_record_of_an_entry_that_has_none) {
  NewEntry entry;
  entry.id = 2;
  entry.account = 1;
  entry.amount = Money::nanousd(-1'000);
  entry.basis = Basis::node_usage;
  entry.tokens = {.prompt = 12, .completion = 8};
  entry.created_at = WallTime(std::chrono::microseconds(1'000'000));
  entry.job_id = "job_old";
  entry.model = "m-1";
  entry.node_id = "node-1";
  std::string record;
  write_record(record, entry);
  EXPECT_EQ(record, old_record(2, 1, EntryType::charge, -1'000, "job_old"));
}

TEST_F(Earnings, in_a_record_of_a_version_to_come_are_refused_by_name) {
  std::string record = old_record(1, 1, EntryType::charge, -1, "job_1");
  record[0] = '\x7f';
  try {
    std::ignore = read_record(record);
    FAIL();
  } catch (const storage::StorageError& error) {
    EXPECT_NE(std::string(error.what()).find("another version"), std::string::npos) << error.what();
  }
}

// ---- the tables of an older version ----

TEST_F(Earnings, are_none_in_the_tables_of_an_older_version_whose_entries_get_their_other_sides) {
  start();
  const AccountId payer = account_with(10'000);
  charge(payer, 1'000, {});
  ASSERT_TRUE(loop.run(ledger->grant(payer, Money::nanousd(-500), "too much", EntryType::adjustment)));
  ASSERT_TRUE(loop.run(ledger->top_up(payer, Money::nanousd(7'000), "pay_1", "0xabc")));
  history(payer);  // waits for what was written before it
  const auto made_old = database->run_now([&](storage::Connection& connection) {
    for (const storage::Sql step : std::initializer_list<storage::Sql>{
             "INSERT INTO payments (id, account_id, network, asset, payer, nonce, pay_to, units, valid_before, "
             "request, "
             "state, created_at) SELECT 'pay_1', account_id, '', '', '', '', '', 7, 0, '', 'credited', 0 FROM entries "
             "WHERE job_id = 'pay_1'",
             "CREATE TABLE old (id INTEGER NOT NULL, account_id INTEGER NOT NULL, type TEXT NOT NULL, amount_nanousd "
             "INTEGER NOT NULL, balance_nanousd INTEGER NOT NULL, job_id TEXT, model TEXT, basis TEXT, prompt_tokens "
             "INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, node_id TEXT, note TEXT, created_at INTEGER NOT "
             "NULL, PRIMARY KEY (account_id, id)) STRICT, WITHOUT ROWID",
             "INSERT INTO old SELECT id, account_id, type, amount_nanousd, balance_nanousd, job_id, model, basis, "
             "prompt_tokens, completion_tokens, node_id, note, created_at FROM entries",
             "DROP TABLE entries", "ALTER TABLE old RENAME TO entries", "DROP TABLE earnings",
             "ALTER TABLE accounts DROP COLUMN low_threshold_nanousd", "ALTER TABLE accounts DROP COLUMN last_entry_id",
             "DROP TABLE ledger_mark", "DROP TABLE receipt_tiles", "DROP TABLE receipt_log", "DROP TABLE receipt_keys",
             "DROP TABLE unpaid_jobs", "DELETE FROM schema_migrations WHERE name LIKE '0008%' OR name LIKE '0011%'"}) {
      connection.prepare(step).run();
    }
  });
  ASSERT_TRUE(made_old) << made_old.error().message;
  start();
  EXPECT_EQ(balance(payer), 15'500);
  EXPECT_EQ(history(payer).entries.size(), 4U);
  const auto found = books();
  EXPECT_TRUE(found.faults.empty()) << found.faults.front();
  EXPECT_EQ(found.network.nanousd(), 1'000 + 500 - 10'000);
  EXPECT_EQ(found.outside.nanousd(), -7'000);
}

// ---- what an audit finds ----

class Tampering : public Earnings {
 protected:
  void SetUp() override {
    start();
    payer = account_with(10'000);
    owner = account_with(0);
    other = account_with(0);
    charge(payer, 1'000, {served("node-1", owner, 300), served("node-2", owner, 700)}, {.prompt = 6, .completion = 8});
    charge(payer, 500, {served("node-1", owner, 500)}, {.prompt = 3, .completion = 4});
    charge(payer, 250, {}, {.prompt = 3, .completion = 4});
    ASSERT_TRUE(books().faults.empty());
    stop();
    whole = data;
  }
  // The faults of a copy of the books that was changed by hand.
  std::vector<std::string> after(storage::Sql change) {
    data = whole;
    crash();
    start();
    const auto changed = database->run_now([&](storage::Connection& connection) {
      connection.prepare("PRAGMA ignore_check_constraints = ON").run();
      connection.prepare(change).run();
      EXPECT_GT(connection.changes(), 0);
    });
    EXPECT_TRUE(changed) << changed.error().message;
    const auto found = audit(*database);
    stop();
    std::filesystem::remove_all(folder.file(data));
    return found ? found->faults : std::vector<std::string>{found.error().message};
  }

  AccountId payer = 0;
  AccountId owner = 0;
  AccountId other = 0;
  std::string whole;
};

TEST_F(Tampering, with_any_amount_or_side_is_found) {
  for (const storage::Sql change : std::initializer_list<storage::Sql>{
           "UPDATE entries SET amount_nanousd = amount_nanousd + 1 WHERE id = 2",
           "UPDATE entries SET balance_nanousd = balance_nanousd + 1 WHERE id = 4",
           "UPDATE entries SET owners_nanousd = owners_nanousd + 1 WHERE id = 2",
           "UPDATE entries SET network_nanousd = network_nanousd + 1 WHERE id = 2",
           "UPDATE entries SET outside_nanousd = 1 WHERE id = 2",
           // Sums to zero still.
           "UPDATE entries SET owners_nanousd = owners_nanousd + 1, network_nanousd = network_nanousd - 1 WHERE id = 3",
           "UPDATE entries SET owners_nanousd = owners_nanousd - 1, network_nanousd = network_nanousd + 1 WHERE id = 3",
           "UPDATE entries SET network_nanousd = 0, outside_nanousd = network_nanousd WHERE id = 1",
           "UPDATE entries SET amount_nanousd = amount_nanousd - 1, network_nanousd = network_nanousd + 1, "
           "balance_nanousd = balance_nanousd - 1 WHERE id = 2",
           "UPDATE entries SET type = 'topup' WHERE id = 1",
           "UPDATE entries SET type = 'grant' WHERE id = 2",
           "UPDATE entries SET account_id = 2 WHERE id = 3",
           "UPDATE entries SET id = 9 WHERE id = 2",
           "UPDATE entries SET network_nanousd = 9223372036854775807 WHERE id = 2",
           "DELETE FROM entries WHERE id = 3",
           "UPDATE entries SET previous_id = NULL WHERE id = 3",
           "UPDATE entries SET previous_id = id - 2 WHERE id = 3",
           "UPDATE accounts SET last_entry_id = coalesce(last_entry_id, 0) + 1",
           "UPDATE ledger_mark SET entry_id = entry_id + 2",
       }) {
    EXPECT_FALSE(after(change).empty()) << change.text();
  }
}

TEST_F(Tampering, with_any_column_of_the_earnings_is_found) {
  for (const storage::Sql change : std::initializer_list<storage::Sql>{
           "UPDATE earnings SET owner_id = 3 WHERE node_id = 'node-2'",  // an account that is there
           "UPDATE earnings SET owner_id = 99 WHERE node_id = 'node-2'",
           "UPDATE earnings SET node_id = 'node-3' WHERE node_id = 'node-2'",
           "UPDATE earnings SET entry_id = 4 WHERE node_id = 'node-2'",
           "UPDATE earnings SET entry_id = 99 WHERE node_id = 'node-2'",
           "UPDATE earnings SET amount_nanousd = amount_nanousd + 1 WHERE node_id = 'node-2'",
           "UPDATE earnings SET amount_nanousd = -amount_nanousd WHERE node_id = 'node-2'",
           "UPDATE earnings SET total_nanousd = total_nanousd + 1 WHERE node_id = 'node-2'",
           "UPDATE earnings SET total_nanousd = total_nanousd + 1 WHERE node_id = 'node-1' AND entry_id = 2",
           "UPDATE earnings SET prompt_tokens = prompt_tokens + 1 WHERE node_id = 'node-2'",
           "UPDATE earnings SET completion_tokens = completion_tokens + 1 WHERE node_id = 'node-2'",
           "UPDATE earnings SET created_at = created_at + 1 WHERE node_id = 'node-2'",
           "UPDATE earnings SET seal = seal + 1 WHERE node_id = 'node-2'",
           "DELETE FROM earnings WHERE node_id = 'node-2'",
           "INSERT INTO earnings SELECT 3, node_id, entry_id, amount_nanousd, total_nanousd, prompt_tokens, "
           "completion_tokens, created_at, seal FROM earnings WHERE node_id = 'node-2'",
       }) {
    EXPECT_FALSE(after(change).empty()) << change.text();
  }
}

TEST_F(Tampering, is_refused_by_the_table_itself_where_an_entry_would_not_sum_to_zero) {
  start();
  const auto changed = database->run_now([&](storage::Connection& connection) {
    connection.prepare("UPDATE entries SET network_nanousd = network_nanousd + 1 WHERE id = 2").run();
  });
  EXPECT_FALSE(changed);
  EXPECT_TRUE(books().faults.empty());
}

}  // namespace
}  // namespace turnpike::ledger
