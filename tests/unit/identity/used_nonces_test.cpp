#include "turnpike/identity/used_nonces.hpp"

#include <gtest/gtest.h>

namespace turnpike::identity {
namespace {

using Taken = UsedNonces::Taken;

class UsedNoncesTest : public testing::Test {
 protected:
  Taken take(const std::string& key, const std::string& nonce, std::int64_t end = 100) {
    return nonces.take(UsedNonces::digest_of(key, nonce), key, end, now);
  }
  UsedNonces nonces{4, 2};
  std::int64_t now = 10;
};

TEST_F(UsedNoncesTest, a_nonce_is_good_once_for_each_key) {
  EXPECT_EQ(take("key_a", "n"), Taken::now);
  EXPECT_EQ(take("key_a", "n"), Taken::before);
  EXPECT_EQ(take("key_b", "n"), Taken::now);
  EXPECT_EQ(take("key_b", "n"), Taken::before);
}

TEST_F(UsedNoncesTest, a_nonce_is_forgotten_at_its_end_and_not_before) {
  EXPECT_EQ(take("key_a", "late", 100), Taken::now);
  EXPECT_EQ(take("key_a", "soon", 50), Taken::now);
  EXPECT_EQ(nonces.until_next_end(now), 40);
  now = 49;
  EXPECT_EQ(take("key_a", "soon"), Taken::before);
  now = 50;
  EXPECT_EQ(take("key_a", "late"), Taken::before);
  EXPECT_EQ(nonces.size(), 1U);
  EXPECT_EQ(take("key_a", "soon"), Taken::now);
}

TEST_F(UsedNoncesTest, a_key_takes_no_more_than_its_share) {
  EXPECT_EQ(take("key_a", "1", 50), Taken::now);
  EXPECT_EQ(take("key_a", "2"), Taken::now);
  EXPECT_EQ(take("key_a", "3"), Taken::key_full);
  EXPECT_EQ(take("key_a", "1"), Taken::before) << "full or not";
  EXPECT_EQ(take("key_b", "1"), Taken::now);
  EXPECT_EQ(take("key_b", "2"), Taken::now);
  EXPECT_EQ(take("key_c", "1"), Taken::full);
  EXPECT_EQ(nonces.size(), 4U);
  now = 50;
  EXPECT_EQ(take("key_a", "3"), Taken::now) << "as soon as one of its own has ended";
  EXPECT_EQ(take("key_a", "4"), Taken::full);
}

TEST_F(UsedNoncesTest, what_an_earlier_run_used_is_used) {
  nonces.restore(UsedNonces::digest_of("key_a", "n"), "key_a", 60);
  EXPECT_EQ(take("key_a", "n"), Taken::before);
  now = 60;
  EXPECT_EQ(take("key_a", "n"), Taken::now);
}

TEST_F(UsedNoncesTest, an_empty_book_waits_for_nothing) {
  EXPECT_EQ(nonces.until_next_end(now), 0);
}

}  // namespace
}  // namespace turnpike::identity
