#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/loop.hpp"
#include "common/temp_folder.hpp"
#include "turnpike/events/event.hpp"
#include "turnpike/events/subscriptions.hpp"
#include "turnpike/storage/connection.hpp"
#include "turnpike/storage/sqlite.hpp"

namespace turnpike::events {
namespace {

TEST(EventTypes, every_type_has_one_name_that_reads_back) {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < kTypes; ++i) {
    const auto type = static_cast<Type>(i);
    EXPECT_EQ(parse_type(to_string(type)), type);
    names.insert(to_string(type));
  }
  EXPECT_EQ(names.size(), kTypes);
  EXPECT_EQ(parse_type("job.undone"), std::nullopt);
  EXPECT_EQ(parse_type(""), std::nullopt);
}

TEST(EventTypes, a_set_has_what_was_put_into_it) {
  Types types;
  EXPECT_TRUE(types.empty());
  types.add(Type::job_submitted).add(Type::credit_topup);
  EXPECT_TRUE(types.has(Type::job_submitted));
  EXPECT_TRUE(types.has(Type::credit_topup));
  EXPECT_FALSE(types.has(Type::credit_low));
  EXPECT_EQ(Types(types.bits()), types);
}

TEST(Subscriptions, an_account_wants_what_was_assigned_last) {
  Subscriptions subscriptions;
  EXPECT_FALSE(subscriptions.wants(7, Type::credit_low));
  subscriptions.assign(7, Types().add(Type::credit_low));
  EXPECT_TRUE(subscriptions.wants(7, Type::credit_low));
  EXPECT_FALSE(subscriptions.wants(7, Type::credit_topup));
  EXPECT_FALSE(subscriptions.wants(8, Type::credit_low));
  subscriptions.assign(7, Types());
  EXPECT_FALSE(subscriptions.wants(7, Type::credit_low));
}

TEST(Subscriptions, what_is_announced_reaches_the_listener) {
  Subscriptions subscriptions;
  subscriptions.announce(1, Type::job_dead);  // nobody listens: nothing happens
  std::vector<std::pair<std::int64_t, Type>> heard;
  subscriptions.listen([&](std::int64_t account, Type type) { heard.emplace_back(account, type); });
  subscriptions.announce(2, Type::job_dead);
  EXPECT_EQ(heard, (std::vector<std::pair<std::int64_t, Type>>{{2, Type::job_dead}}));
}

// The outbox in a database of its own.
class Outbox : public testing::Test {
 protected:
  struct Work final : storage::Operation {
    explicit Work(std::function<void(storage::Connection&)> work) : what(std::move(work)) {}
    void run(storage::Connection& connection) override { what(connection); }
    std::function<void(storage::Connection&)> what;
  };
  struct Row {
    std::int64_t endpoint;
    std::string event_id;
    std::string type;
    std::string body;
    bool operator==(const Row&) const = default;
  };

  void SetUp() override {
    database = storage::open_sqlite(loop.executor(), {.file = folder.file("turnpike.db")}).value();
    run([](storage::Connection& connection) {
      connection.prepare("INSERT INTO accounts (id, public_id, name, created_at) VALUES (1,'a','',0),(2,'b','',0)")
          .run();
    });
  }
  void run(const std::function<void(storage::Connection&)>& work) { ASSERT_TRUE(database->run_now(work)); }
  void add_endpoint(std::int64_t id, std::int64_t account, Types types, bool disabled = false) {
    run([&](storage::Connection& connection) {
      connection
          .prepare(
              "INSERT INTO webhook_endpoints (id, public_id, account_id, url, events, disabled, secret, created_at) "
              "VALUES (?1, 'wh_' || ?1, ?2, '', ?3, ?4, x'00', 0)")
          .bind(id)
          .bind(account)
          .bind(std::int64_t{types.bits()})
          .bind_text_or_null(disabled ? "off" : "")
          .run();
    });
  }
  std::vector<Row> rows() {
    std::vector<Row> found;
    run([&](storage::Connection& connection) {
      auto query = connection.prepare("SELECT endpoint_id, event_id, type, body FROM webhook_deliveries ORDER BY id");
      while (query.step()) {
        found.push_back({.endpoint = query.integer(0),
                         .event_id = std::string(query.text(1)),
                         .type = std::string(query.text(2)),
                         .body = std::string(query.text(3))});
      }
    });
    return found;
  }
  static Event low(std::int64_t account) {
    return {.account = account,
            .type = Type::credit_low,
            .data = R"({"balance":3})",
            .created_at = WallTime(std::chrono::milliseconds(1'700'000'000'123))};
  }

  turnpike::test::TempFolder folder;
  turnpike::test::Loop loop;
  std::unique_ptr<storage::Database> database;
};

TEST_F(Outbox, an_event_is_written_once_for_each_endpoint_that_wants_it) {
  add_endpoint(1, 1, Types().add(Type::credit_low));
  add_endpoint(2, 1, Types().add(Type::credit_topup));
  add_endpoint(3, 1, Types().add(Type::credit_low).add(Type::job_submitted));
  add_endpoint(4, 1, Types().add(Type::credit_low), true);
  add_endpoint(5, 2, Types().add(Type::credit_low));
  run([](storage::Connection& connection) { append(connection, low(1)); });
  const auto written = rows();
  ASSERT_EQ(written.size(), 2U);
  EXPECT_EQ(written[0].endpoint, 1);
  EXPECT_EQ(written[1].endpoint, 3);
  EXPECT_EQ(written[0].event_id, written[1].event_id) << "one event has one id";
  EXPECT_TRUE(written[0].event_id.starts_with("evt_"));
  EXPECT_EQ(written[0].type, "credit.low");
  EXPECT_EQ(
      nlohmann::json::parse(written[0].body),
      (nlohmann::json{{"type", "credit.low"}, {"timestamp", "2023-11-14T22:13:20.123Z"}, {"data", {{"balance", 3}}}}));
}

TEST_F(Outbox, two_events_have_two_ids) {
  add_endpoint(1, 1, Types().add(Type::credit_low));
  run([](storage::Connection& connection) {
    append(connection, low(1));
    append(connection, low(1));
  });
  const auto written = rows();
  ASSERT_EQ(written.size(), 2U);
  EXPECT_NE(written[0].event_id, written[1].event_id);
}

TEST_F(Outbox, an_event_is_not_there_without_what_it_tells) {
  add_endpoint(1, 1, Types().add(Type::credit_low));
  const auto told = std::make_shared<Work>([](storage::Connection& connection) {
    append(connection, low(1));
    throw storage::StorageError("a change that is refused", true);
  });
  ASSERT_TRUE(database->write(told, storage::Queueing::bounded));
  EXPECT_FALSE(loop.run(storage::finished(told)));
  EXPECT_EQ(rows(), std::vector<Row>());
}

}  // namespace
}  // namespace turnpike::events
