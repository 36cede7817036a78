#include "turnpike/identity/key_ring.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <iterator>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "common/loop.hpp"
#include "common/temp_folder.hpp"
#include "turnpike/storage/sqlite.hpp"

namespace turnpike::identity {
namespace {

class KeyRingTest : public testing::Test {
 protected:
  void SetUp() override { start(); }
  void start() {
    ring = nullptr;
    database = nullptr;
    auto opened = storage::open_sqlite(loop.executor(), {.file = folder.file("turnpike.db")});
    ASSERT_TRUE(opened) << opened.error().message;
    database = std::move(*opened);
    auto ring_opened = KeyRing::open(*database, clock, max_keys);
    ASSERT_TRUE(ring_opened) << ring_opened.error().message;
    ring = std::move(*ring_opened);
  }
  CreatedKey create(NewKey key = {}) {
    key.account_id = 7;
    key.prefix = "dkn_live_";
    key.dialect = "dria";
    key.tier = "metered";
    auto created = loop.run(ring->create(key));
    EXPECT_TRUE(created);
    return *created;
  }

  turnpike::test::TempFolder folder;
  turnpike::test::Loop loop;
  HeldClock clock;
  std::size_t max_keys = 100;
  std::unique_ptr<storage::Database> database;
  std::unique_ptr<KeyRing> ring;
};

TEST_F(KeyRingTest, a_key_is_its_prefix_and_32_characters_of_base62) {
  std::set<std::string> seen;
  for (int i = 0; i < 20; ++i) {
    const std::string key = create().api_key;
    EXPECT_TRUE(key.starts_with("dkn_live_"));
    EXPECT_EQ(key.size(), 9U + 32U);
    EXPECT_TRUE(std::all_of(key.begin() + 9, key.end(), [](unsigned char c) { return std::isalnum(c) != 0; }));
    EXPECT_TRUE(seen.insert(key).second);
  }
}

TEST_F(KeyRingTest, a_key_opens_its_account_before_and_after_a_restart) {
  const std::string key = create().api_key;
  for (int round = 0; round < 2; ++round) {
    const auto found = ring->find(key, clock.wall());
    ASSERT_TRUE(found);
    EXPECT_EQ((*found)->account_id, 7);
    EXPECT_EQ((*found)->dialect, "dria");
    EXPECT_EQ((*found)->tier, "metered");
    EXPECT_EQ((*found)->display, key.substr(0, 12));
    EXPECT_EQ((*found)->scopes, Scopes::all());
    EXPECT_EQ((*found)->created_at, clock.wall());
    start();
  }
}

TEST_F(KeyRingTest, a_text_that_is_no_key_is_unknown) {
  const std::string key = create().api_key;
  EXPECT_EQ(ring->find("", clock.wall()).error(), Refusal::unknown);
  EXPECT_EQ(ring->find(key.substr(1), clock.wall()).error(), Refusal::unknown);
  EXPECT_EQ(ring->find(key + "x", clock.wall()).error(), Refusal::unknown);
}

TEST_F(KeyRingTest, a_revoked_key_is_refused_at_once_and_after_a_restart) {
  const CreatedKey key = create();
  const std::string id = key.info->id;
  EXPECT_TRUE(loop.run(ring->revoke(id)));
  EXPECT_EQ(ring->find(key.api_key, clock.wall()).error(), Refusal::revoked);
  EXPECT_TRUE(loop.run(ring->revoke(id)));
  start();
  EXPECT_EQ(ring->find(key.api_key, clock.wall()).error(), Refusal::revoked);
  EXPECT_EQ(loop.run(ring->revoke("key_nobody")).error().fault, Fault::not_found);
}

TEST_F(KeyRingTest, a_key_expires_to_the_microsecond) {
  const WallTime end = clock.wall() + std::chrono::hours(1);
  const std::string key = create({.expires_at = end}).api_key;
  start();
  EXPECT_TRUE(ring->find(key, end - std::chrono::microseconds(1)));
  EXPECT_EQ(ring->find(key, end).error(), Refusal::expired);
}

TEST_F(KeyRingTest, the_disk_never_sees_a_key) {
  const std::string key = create().api_key;
  database->close();
  for (const char* name : {"turnpike.db", "turnpike.db-wal"}) {
    std::ifstream file(folder.file(name), std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    EXPECT_EQ(bytes.find(key.substr(9)), std::string::npos) << name;
  }
}

TEST_F(KeyRingTest, keys_are_bounded_by_the_limit) {
  max_keys = 2;
  start();
  create();
  create();
  EXPECT_EQ(loop.run(ring->create({.account_id = 1})).error().fault, Fault::service_unavailable);
  EXPECT_EQ(ring->list().size(), 2U);
}

TEST(Scopes, are_read_and_written_by_name) {
  EXPECT_EQ(Scopes::parse("chat:write models:read")->to_string(), "chat:write models:read");
  EXPECT_EQ(Scopes::parse("models:read,chat:write")->bits(), 5);
  EXPECT_TRUE(Scopes::parse("chat:write")->has(Scope::chat_write));
  EXPECT_FALSE(Scopes::parse("chat:write")->has(Scope::usage_read));
  EXPECT_EQ(Scopes::parse("chat:all").error().param, "scopes");
  EXPECT_FALSE(Scopes::parse(" "));
}

}  // namespace
}  // namespace turnpike::identity
