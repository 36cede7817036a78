#include "turnpike/storage/sqlite.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <memory>
#include <semaphore>
#include <string>
#include <vector>

#include "common/loop.hpp"
#include "common/temp_folder.hpp"
#include "sqlite_store.hpp"
#include "turnpike/storage/connection.hpp"

namespace turnpike::storage {
namespace {

using test::Count;
using test::Put;

class Sqlite : public testing::Test {
 protected:
  std::unique_ptr<Database> open(SqliteOptions options = {}) {
    options.file = folder.file(data + "/turnpike.db");
    auto opened = open_sqlite(loop.executor(), std::move(options));
    EXPECT_TRUE(opened) << (opened ? "" : opened.error().message);
    EXPECT_TRUE((*opened)->run_now([](Connection& connection) { test::make_table(connection); }));
    return std::move(*opened);
  }
  Result<void> put(Database& database, std::int64_t id, Queueing queueing = Queueing::bounded) {
    auto operation = std::make_shared<Put>(id, "text");
    if (auto queued = database.write(operation, queueing); !queued) return queued;
    return loop.run(finished(operation));
  }
  // What SIGKILL would leave: later opens work on a copy of the folder as it is now.
  void crash() { data = folder.copy_of(data); }
  std::int64_t count(Database& database) {
    auto question = std::make_shared<Count>();
    EXPECT_TRUE(database.read(question));
    EXPECT_TRUE(loop.run(finished(question)));
    return question->rows;
  }

  turnpike::test::TempFolder folder;
  turnpike::test::Loop loop;
  std::string data = "data";
};

TEST_F(Sqlite, what_was_acknowledged_is_there_after_a_reopen) {
  auto database = open();
  for (int id = 1; id <= 10; ++id) EXPECT_TRUE(put(*database, id));
  database = nullptr;
  EXPECT_EQ(count(*open()), 10);
}

TEST_F(Sqlite, everything_that_waits_is_one_transaction) {
  // The first commit is held back until the rest is queued.
  std::binary_semaphore queued{0};
  std::atomic<int> commits = 0;
  auto database = open({.allow_commit = [&] {
    if (++commits == 2) queued.acquire();  // the first one made the table
    return true;
  }});
  std::vector<std::shared_ptr<Put>> operations;
  for (int id = 1; id <= 200; ++id) {
    operations.push_back(std::make_shared<Put>(id, "text"));
    ASSERT_TRUE(database->write(operations.back(), Queueing::bounded));
  }
  queued.release();
  for (auto& operation : operations) EXPECT_TRUE(loop.run(finished(operation)));
  EXPECT_LE(commits, 4);
  EXPECT_EQ(count(*database), 200);
}

TEST_F(Sqlite, a_change_that_conflicts_fails_alone) {
  std::binary_semaphore queued{0};
  std::atomic<int> commits = 0;
  auto database = open({.allow_commit = [&] {
    if (++commits == 2) queued.acquire();
    return true;
  }});
  std::vector<std::shared_ptr<Put>> operations;
  for (const std::int64_t id : {1, 2, 2, 3}) {
    operations.push_back(std::make_shared<Put>(id, "text"));
    ASSERT_TRUE(database->write(operations.back(), Queueing::bounded));
  }
  queued.release();
  std::vector<bool> stored;
  for (auto& operation : operations) stored.push_back(loop.run(finished(operation)).has_value());
  EXPECT_EQ(stored, (std::vector<bool>{true, true, false, true}));
  EXPECT_EQ(count(*database), 3);
  EXPECT_FALSE(database->poisoned());
}

TEST_F(Sqlite, a_guaranteed_change_that_conflicts_poisons) {
  auto database = open();
  EXPECT_TRUE(put(*database, 1, Queueing::guaranteed));
  EXPECT_FALSE(put(*database, 1, Queueing::guaranteed));
  EXPECT_TRUE(database->poisoned());
}

TEST_F(Sqlite, a_failed_commit_refuses_every_later_change) {
  std::atomic<bool> healthy = true;
  auto database = open({.allow_commit = [&] { return healthy.load(); }});
  EXPECT_TRUE(put(*database, 1));
  healthy = false;
  EXPECT_EQ(put(*database, 2).error().fault, Fault::service_unavailable);
  EXPECT_TRUE(database->poisoned());
  healthy = true;
  EXPECT_EQ(put(*database, 3, Queueing::guaranteed).error().fault, Fault::service_unavailable);
  EXPECT_EQ(count(*database), 1);
  database = nullptr;
  EXPECT_EQ(count(*open()), 1);
}

TEST_F(Sqlite, a_full_disk_poisons_and_loses_nothing_acknowledged) {
  auto database = open({.max_pages = 120});
  std::int64_t acknowledged = 0;
  for (std::int64_t id = 1; id <= 1000 && !database->poisoned(); ++id) {
    auto operation = std::make_shared<Put>(id, std::string(3000, 'x'));
    ASSERT_TRUE(database->write(operation, Queueing::bounded));
    if (loop.run(finished(operation))) ++acknowledged;
  }
  EXPECT_TRUE(database->poisoned());
  EXPECT_GT(acknowledged, 0);
  database = nullptr;
  EXPECT_EQ(count(*open()), acknowledged);
}

TEST_F(Sqlite, a_full_queue_refuses_bounded_changes_only) {
  std::binary_semaphore go{0};
  std::atomic<int> commits = 0;
  auto database = open({.queue_limit = 4, .allow_commit = [&] {
                          if (++commits == 2) go.acquire();
                          return true;
                        }});
  std::vector<std::shared_ptr<Put>> operations;
  for (int id = 1; id <= 4; ++id) {
    operations.push_back(std::make_shared<Put>(id, "text"));
    ASSERT_TRUE(database->write(operations.back(), Queueing::bounded));
  }
  EXPECT_EQ(database->write(std::make_shared<Put>(9, "text"), Queueing::bounded).error().fault,
            Fault::service_unavailable);
  operations.push_back(std::make_shared<Put>(5, "text"));
  EXPECT_TRUE(database->write(operations.back(), Queueing::guaranteed));
  go.release();
  for (auto& operation : operations) EXPECT_TRUE(loop.run(finished(operation)));
}

TEST_F(Sqlite, a_change_written_ahead_survives_the_end_of_the_program_before_its_transaction) {
  auto database = open({.commit_delay = std::chrono::hours(1)});
  ASSERT_TRUE(database->replay([](Connection&, std::string_view) { FAIL() << "there is nothing to hand out"; }));
  for (const auto* record : {"1", "2", "3"}) {
    const auto written = database->write_ahead(std::make_shared<Put>(std::stoll(record), "text"), record);
    ASSERT_TRUE(written);
    EXPECT_TRUE(*written) << "durable when the call returns";
  }
  crash();
  std::string handed_out;
  auto after = open();
  EXPECT_EQ(count(*after), 0);
  ASSERT_TRUE(after->replay([&](Connection& connection, std::string_view record) {
    Put(std::stoll(std::string(record)), "text").run(connection);
    handed_out += record;
  }));
  EXPECT_EQ(handed_out, "123");
  EXPECT_EQ(count(*after), 3);
}

TEST_F(Sqlite, changes_written_ahead_share_a_transaction) {
  std::atomic<int> commits = 0;
  auto database = open({.allow_commit = [&] { return ++commits > 0; }});
  ASSERT_TRUE(database->replay([](Connection&, std::string_view) {}));
  const int before = commits;
  for (int id = 1; id <= 100; ++id) ASSERT_TRUE(database->write_ahead(std::make_shared<Put>(id, "text"), "record"));
  EXPECT_EQ(count(*database), 100) << "a question sees every change that was made before it";
  EXPECT_EQ(commits - before, 1);
}

TEST_F(Sqlite, a_change_written_ahead_is_committed_within_the_delay) {
  auto database = open({.commit_delay = std::chrono::milliseconds(1)});
  ASSERT_TRUE(database->replay([](Connection&, std::string_view) {}));
  const auto change = std::make_shared<Put>(1, "text");
  ASSERT_TRUE(database->write_ahead(change, "record"));
  EXPECT_TRUE(loop.run(finished(change)));
}

TEST_F(Sqlite, what_must_survive_the_machine_is_durable_only_with_its_transaction) {
  auto database = open({.durability = Durability::power});
  ASSERT_TRUE(database->replay([](Connection&, std::string_view) {}));
  const auto change = std::make_shared<Put>(1, "text");
  const auto written = database->write_ahead(change, "record");
  ASSERT_TRUE(written);
  EXPECT_FALSE(*written);
  EXPECT_TRUE(loop.run(finished(change)));
}

TEST_F(Sqlite, the_journal_is_not_used_before_what_an_earlier_run_left_was_handed_out) {
  auto database = open();
  const auto change = std::make_shared<Put>(1, "text");
  const auto written = database->write_ahead(change, "record");
  ASSERT_TRUE(written);
  EXPECT_FALSE(*written);
  EXPECT_TRUE(loop.run(finished(change)));
}

TEST_F(Sqlite, a_replay_that_fails_keeps_the_records_and_says_why) {
  {
    auto database = open({.commit_delay = std::chrono::hours(1)});
    ASSERT_TRUE(database->replay([](Connection&, std::string_view) {}));
    ASSERT_TRUE(database->write_ahead(std::make_shared<Put>(1, "text"), "kept"));
    crash();
  }
  for (int run = 0; run < 2; ++run) {
    auto database = open();
    const auto done = database->replay(
        [](Connection&, std::string_view record) { throw StorageError("not mine: " + std::string(record), false); });
    ASSERT_FALSE(done);
    crash();
  }
}

TEST_F(Sqlite, the_records_of_a_run_are_not_handed_out_to_itself) {
  auto database = open({.commit_delay = std::chrono::hours(1)});
  ASSERT_TRUE(database->replay([](Connection&, std::string_view) {}));
  ASSERT_TRUE(database->write_ahead(std::make_shared<Put>(1, "text"), "record"));
  EXPECT_TRUE(database->replay([](Connection&, std::string_view) { FAIL() << "its transaction is under way"; }));
  EXPECT_EQ(count(*database), 1);
  EXPECT_FALSE(database->poisoned());
}

TEST_F(Sqlite, after_a_clean_end_the_journal_is_empty) {
  auto database = open();
  ASSERT_TRUE(database->replay([](Connection&, std::string_view) {}));
  ASSERT_TRUE(database->write_ahead(std::make_shared<Put>(1, "text"), "record"));
  database = nullptr;
  auto after = open();
  EXPECT_EQ(count(*after), 1);
  EXPECT_TRUE(after->replay([](Connection&, std::string_view) { FAIL() << "a record was left"; }));
}

TEST_F(Sqlite, a_commit_that_fails_after_its_changes_were_acknowledged_keeps_their_records) {
  std::atomic<bool> healthy = true;
  auto database = open({.commit_delay = std::chrono::milliseconds(1), .allow_commit = [&] { return healthy.load(); }});
  ASSERT_TRUE(database->replay([](Connection&, std::string_view) {}));
  healthy = false;
  const auto change = std::make_shared<Put>(1, "text");
  ASSERT_TRUE(database->write_ahead(change, "1"));
  EXPECT_FALSE(loop.run(finished(change)));
  EXPECT_TRUE(database->poisoned());
  EXPECT_FALSE(database->write_ahead(std::make_shared<Put>(2, "text"), "2"));
  database = nullptr;
  std::string handed_out;
  EXPECT_TRUE(open()->replay([&](Connection&, std::string_view record) { handed_out += record; }));
  EXPECT_EQ(handed_out, "1");
}

TEST_F(Sqlite, the_log_is_moved_into_the_file_before_it_grows_without_end) {
  auto database = open();
  for (std::int64_t id = 1; id <= 12'000; ++id) {
    const auto operation = std::make_shared<Put>(id, std::string(3000, 'x'));
    ASSERT_TRUE(database->write(operation, Queueing::guaranteed));
    if (id % 50 == 0) ASSERT_TRUE(loop.run(finished(operation)));
  }
  EXPECT_EQ(count(*database), 12'000);
  EXPECT_LT(std::filesystem::file_size(folder.file("data/turnpike.db-wal")), 24U << 20U);
}

TEST_F(Sqlite, an_operation_that_nobody_waits_for_is_done_before_the_file_is_closed) {
  auto database = open();
  for (int id = 1; id <= 500; ++id) {
    ASSERT_TRUE(database->write(std::make_shared<Put>(id, "text"), Queueing::guaranteed));
  }
  database->close();
  database = nullptr;
  EXPECT_EQ(count(*open()), 500);
}

TEST_F(Sqlite, a_second_opener_is_refused) {
  auto database = open();
  const auto second = open_sqlite(loop.executor(), {.file = folder.file("data/turnpike.db")});
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().message.find("in use by another process"), std::string::npos) << second.error().message;
}

TEST_F(Sqlite, the_file_is_readable_by_its_owner_alone) {
  auto database = open();
  for (const char* name : {"data/turnpike.db", "data/turnpike.db-wal"}) {
    struct stat info{};
    ASSERT_EQ(::stat(folder.file(name).c_str(), &info), 0) << name;
    EXPECT_EQ(info.st_mode & 0777U, 0600U) << name;
  }
}

TEST_F(Sqlite, a_file_that_is_no_database_is_a_clear_error) {
  std::filesystem::create_directories(folder.path() / "data");
  FILE* file = std::fopen(folder.file("data/turnpike.db").c_str(), "w");
  ASSERT_NE(file, nullptr);
  std::fputs(std::string(5000, 'z').c_str(), file);
  std::fclose(file);
  const auto opened = open_sqlite(loop.executor(), {.file = folder.file("data/turnpike.db")});
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().message.find("not a database"), std::string::npos) << opened.error().message;
}

}  // namespace
}  // namespace turnpike::storage
