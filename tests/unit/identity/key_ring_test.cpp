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
#include <vector>

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
    auto ring_opened = KeyRing::open(*database, clock, rules);
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
  KeyRules rules{.max_keys = 100, .max_per_account = 100, .rotation_grace = std::chrono::hours(1)};
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

TEST_F(KeyRingTest, a_keys_public_key_outlives_a_restart_and_a_rotation) {
  const std::string pem =
      "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=\n"
      "-----END PUBLIC KEY-----\n";
  create();
  const std::string id = create({.signing = {.public_key = PublicKey::parse(pem).value(), .required = true}}).info->id;
  start();
  const auto next = loop.run(ring->rotate(id, {.prefix = "dkn_live_"}));
  for (const KeyInfo* key : {ring->find_by_id(id), next->info}) {
    ASSERT_TRUE(key->signing.public_key);
    EXPECT_EQ(key->signing.public_key->pem(), pem);
    EXPECT_TRUE(key->signing.required);
  }
  EXPECT_FALSE(ring->list().front()->signing.public_key);
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
  rules.max_keys = 2;
  start();
  create();
  create();
  EXPECT_EQ(loop.run(ring->create({.account_id = 1})).error().fault, Fault::service_unavailable);
  EXPECT_EQ(ring->list().size(), 2U);
}

// ---- rotation, ends, and how many ----

TEST_F(KeyRingTest, a_rotated_key_is_good_until_its_grace_ends_and_its_successor_is_like_it) {
  const CreatedKey old = create({.scopes = Scopes::parse("chat:write").value()});
  const std::string old_id = old.info->id;
  const auto next = loop.run(ring->rotate(old_id, {.prefix = "dkn_live_"}));
  ASSERT_TRUE(next) << next.error().message;
  EXPECT_NE(next->api_key, old.api_key);
  EXPECT_EQ(next->info->account_id, 7);
  EXPECT_EQ(next->info->tier, "metered");
  EXPECT_EQ(next->info->scopes.to_string(), "chat:write");
  EXPECT_FALSE(next->info->expires_at);
  const std::string new_key = next->api_key;
  for (int round = 0; round < 2; ++round) {
    const WallTime end = clock.wall() + std::chrono::hours(1);
    EXPECT_TRUE(ring->find(new_key, end));
    EXPECT_TRUE(ring->find(old.api_key, end - std::chrono::microseconds(1)));
    EXPECT_EQ(ring->find(old.api_key, end).error(), Refusal::expired);
    start();
  }
}

TEST_F(KeyRingTest, a_rotation_lets_no_key_live_for_longer) {
  const WallTime soon = clock.wall() + std::chrono::minutes(5);
  const CreatedKey old = create({.expires_at = soon});
  const auto next = loop.run(ring->rotate(old.info->id, {.prefix = "dkn_live_"}));
  EXPECT_EQ(next->info->expires_at, soon);
  EXPECT_EQ(old.info->expires_at, soon);
}

TEST_F(KeyRingTest, without_grace_a_rotated_key_dies_at_once) {
  rules.rotation_grace = std::chrono::hours(0);
  start();
  const CreatedKey old = create();
  ASSERT_TRUE(loop.run(ring->rotate(old.info->id, {.prefix = "dkn_live_"})));
  EXPECT_EQ(ring->find(old.api_key, clock.wall()).error(), Refusal::expired);
  EXPECT_EQ(loop.run(ring->rotate(old.info->id, {.prefix = "x"})).error().fault, Fault::conflict);
  EXPECT_EQ(loop.run(ring->expire(old.info->id, clock.wall())).error().fault, Fault::conflict);
  EXPECT_EQ(loop.run(ring->rotate("key_nobody", {.prefix = "x"})).error().fault, Fault::not_found);
  EXPECT_EQ(loop.run(ring->expire("key_nobody", clock.wall())).error().fault, Fault::not_found);
}

TEST_F(KeyRingTest, a_key_can_be_given_an_end) {
  const CreatedKey key = create();
  const WallTime end = clock.wall() + std::chrono::minutes(1);
  ASSERT_TRUE(loop.run(ring->expire(key.info->id, end)));
  start();
  EXPECT_TRUE(ring->find(key.api_key, end - std::chrono::microseconds(1)));
  EXPECT_EQ(ring->find(key.api_key, end).error(), Refusal::expired);
}

TEST_F(KeyRingTest, an_account_has_so_many_live_keys_and_no_more) {
  rules.max_per_account = 2;
  start();
  const std::string first = create().info->id;
  create();
  EXPECT_EQ(loop.run(ring->create({.account_id = 7})).error().fault, Fault::conflict);
  EXPECT_EQ(loop.run(ring->rotate(first, {.prefix = "x"})).error().fault, Fault::conflict);
  EXPECT_TRUE(loop.run(ring->create({.account_id = 8}))) << "another account has its own";
  ASSERT_TRUE(loop.run(ring->revoke(first)));
  EXPECT_TRUE(loop.run(ring->create({.account_id = 7})));
}

TEST_F(KeyRingTest, of_too_many_dead_keys_the_first_to_die_is_forgotten) {
  rules.max_per_account = 2;
  start();
  std::vector<std::string> made;
  for (int i = 0; i < 10; ++i) {
    const CreatedKey key = create();
    made.push_back(key.api_key);
    EXPECT_TRUE(ring->find(key.api_key, clock.wall()));
    clock.advance(std::chrono::seconds(1));
    ASSERT_TRUE(loop.run(ring->revoke(key.info->id)));
  }
  for (int round = 0; round < 2; ++round) {
    ASSERT_EQ(ring->list(7).size(), 2U);
    EXPECT_EQ(ring->list().size(), 2U);
    EXPECT_LT(ring->list()[0]->created_at, ring->list()[1]->created_at);
    EXPECT_EQ(ring->find(made[9], clock.wall()).error(), Refusal::revoked);
    EXPECT_EQ(ring->find(made[7], clock.wall()).error(), Refusal::unknown);
    ring->write_last_used();
    start();
  }
}

// ---- when a key was last used ----

TEST_F(KeyRingTest, the_last_use_is_known_at_once_and_written_when_told) {
  const CreatedKey key = create();
  const std::string idle = create().info->id;
  const std::string id = key.info->id;
  EXPECT_FALSE(key.info->last_used_at);
  clock.advance(std::chrono::seconds(5));
  ASSERT_TRUE(ring->find(key.api_key, clock.wall()));
  EXPECT_EQ(ring->find_by_id(id)->last_used_at, clock.wall());
  ASSERT_TRUE(ring->find_live(id, clock.wall() + std::chrono::seconds(1)));
  start();
  EXPECT_FALSE(ring->find_by_id(id)->last_used_at) << "nothing is written by a use itself";

  ASSERT_TRUE(ring->find(key.api_key, clock.wall()));
  ring->write_last_used();
  database->close();
  start();
  EXPECT_EQ(ring->find_by_id(id)->last_used_at, clock.wall());
  EXPECT_FALSE(ring->find_by_id(idle)->last_used_at);
}

TEST_F(KeyRingTest, a_thousand_uses_are_one_write) {
  const CreatedKey key = create();
  for (int i = 0; i < 1'000; ++i) ASSERT_TRUE(ring->find(key.api_key, clock.wall()));
  EXPECT_EQ(database->waiting(), 0U);
  ring->write_last_used();
  EXPECT_LE(database->waiting(), 1U);
  ASSERT_TRUE(loop.run(ring->expire(key.info->id, clock.wall() + std::chrono::hours(1))));  // behind it in the queue
  ring->write_last_used();
  EXPECT_EQ(database->waiting(), 0U) << "nothing new, no write";
}

TEST_F(KeyRingTest, a_refused_key_was_not_used) {
  const CreatedKey key = create();
  ASSERT_TRUE(loop.run(ring->revoke(key.info->id)));
  EXPECT_FALSE(ring->find(key.api_key, clock.wall()));
  EXPECT_FALSE(ring->find_live(key.info->id, clock.wall()));
  EXPECT_FALSE(key.info->last_used_at);
  EXPECT_EQ(ring->find_live("key_nobody", clock.wall()).error(), Refusal::unknown);
}

// ---- what may be handed out ----

TEST(MayHandOut, no_scope_and_no_time_of_which_the_giver_has_none) {
  const WallTime end = WallTime(std::chrono::seconds(1'000));
  const Scopes some = Scopes::parse("chat:write keys:manage").value();
  const Scopes few = Scopes::parse("chat:write").value();
  EXPECT_TRUE(may_hand_out({.scopes = some}, {.scopes = some}));
  EXPECT_TRUE(may_hand_out({.scopes = some}, {.scopes = few, .expires_at = end}));
  EXPECT_TRUE(may_hand_out({.scopes = some, .expires_at = end}, {.scopes = few, .expires_at = end}));
  EXPECT_EQ(may_hand_out({.scopes = some}, {.scopes = Scopes::parse("usage:read").value()}).error().param, "scopes");
  EXPECT_EQ(may_hand_out({.scopes = some}, {}).error().fault, Fault::insufficient_scope);
  const Grant ending{.scopes = some, .expires_at = end};
  EXPECT_EQ(may_hand_out(ending, {.scopes = few}).error().param, "expires_at");
  EXPECT_EQ(may_hand_out(ending, {.scopes = few, .expires_at = end + std::chrono::microseconds(1)}).error().param,
            "expires_at");
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
