#include "turnpike/identity/nonce_book.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "turnpike/base/random.hpp"

namespace turnpike::identity {
namespace {

using namespace std::chrono_literals;

const NonceOwner kOwner{.wallet = {.address = "0x52908400098527886E0F7030069857D2E4169EE7"}, .chain_id = "1"};

TEST(NonceBook, a_nonce_is_good_once) {
  HeldClock clock;
  NonceBook book(10, 5min);
  ASSERT_TRUE(book.add("first", kOwner, clock.now()));
  EXPECT_EQ(book.find("first", clock.now())->wallet, kOwner.wallet);
  EXPECT_EQ(book.find("second", clock.now()), nullptr);
  EXPECT_FALSE(book.spend("second", clock.now()));
  EXPECT_TRUE(book.spend("first", clock.now()));
  EXPECT_FALSE(book.spend("first", clock.now()));
  EXPECT_EQ(book.find("first", clock.now()), nullptr);
  EXPECT_EQ(book.size(), 0U);
}

TEST(NonceBook, a_nonce_expires_to_the_nanosecond) {
  HeldClock clock;
  NonceBook book(10, 5min);
  ASSERT_TRUE(book.add("nonce", kOwner, clock.now()));
  clock.advance(5min - 1ns);
  EXPECT_NE(book.find("nonce", clock.now()), nullptr);
  clock.advance(1ns);
  EXPECT_EQ(book.find("nonce", clock.now()), nullptr);
  EXPECT_FALSE(book.spend("nonce", clock.now()));
  EXPECT_EQ(book.size(), 0U);
}

TEST(NonceBook, a_full_book_takes_no_more_until_one_is_spent_or_expires) {
  HeldClock clock;
  NonceBook book(2, 5min);
  ASSERT_TRUE(book.add("a", kOwner, clock.now()));
  clock.advance(1min);
  EXPECT_EQ(book.until_room(clock.now()), 0s);
  ASSERT_TRUE(book.add("b", kOwner, clock.now()));
  EXPECT_FALSE(book.add("c", kOwner, clock.now()));
  EXPECT_EQ(book.until_room(clock.now()), 4min);
  EXPECT_TRUE(book.spend("b", clock.now()));
  EXPECT_TRUE(book.add("c", kOwner, clock.now()));
  clock.advance(4min);
  EXPECT_EQ(book.until_room(clock.now()), 0s);
  EXPECT_TRUE(book.add("d", kOwner, clock.now()));
  EXPECT_EQ(book.size(), 2U);
}

TEST(NonceBook, a_nonce_is_not_given_out_twice) {
  HeldClock clock;
  NonceBook book(10, 5min);
  ASSERT_TRUE(book.add("nonce", kOwner, clock.now()));
  EXPECT_FALSE(book.add("nonce", {}, clock.now()));
  EXPECT_EQ(*book.find("nonce", clock.now()), kOwner);
}

TEST(NonceBook, keeps_to_a_plain_model_of_itself) {
  HeldClock clock;
  NonceBook book(8, 100ms);
  Rng random(11);
  std::set<std::pair<Instant, std::string>> model;  // by expiry
  int next = 0;
  for (int step = 0; step < 20'000; ++step) {
    clock.advance(std::chrono::milliseconds(random() % 20));
    while (!model.empty() && model.begin()->first <= clock.now()) model.erase(model.begin());
    if (random() % 2 == 0) {
      const std::string nonce = std::to_string(next++);
      const bool room = model.size() < 8;
      ASSERT_EQ(book.add(nonce, kOwner, clock.now()), room);
      if (room) model.emplace(clock.now() + 100ms, nonce);
    } else {
      const std::string nonce = std::to_string(next - static_cast<int>(random() % 12));
      const auto known = std::ranges::find(model, nonce, &std::pair<Instant, std::string>::second);
      ASSERT_EQ(book.find(nonce, clock.now()) != nullptr, known != model.end());
      ASSERT_EQ(book.spend(nonce, clock.now()), known != model.end());
      if (known != model.end()) model.erase(known);
    }
  }
}

}  // namespace
}  // namespace turnpike::identity
