#include "turnpike/http/input_buffer.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <string_view>

#include "turnpike/http/request.hpp"

namespace turnpike::http {
namespace {

void put(InputBuffer& buffer, std::string_view bytes) {
  buffer.make_room(bytes.size());
  ASSERT_GE(buffer.tail().size(), bytes.size());
  std::memcpy(buffer.tail().data(), bytes.data(), bytes.size());
  buffer.commit(bytes.size());
}

TEST(InputBuffer, gives_back_what_was_put_in) {
  std::mt19937_64 rng(1);
  InputBuffer buffer(256);
  std::string expected;
  for (int round = 0; round < 5'000; ++round) {
    if (rng() % 2 == 0) {
      const std::string bytes(rng() % 300, static_cast<char>('a' + round % 26));
      put(buffer, bytes);
      expected += bytes;
    } else {
      const auto size = std::min<std::size_t>(rng() % 400, expected.size());
      buffer.consume(size);
      expected.erase(0, size);
    }
    if (rng() % 10 == 0) buffer.shrink();
    ASSERT_EQ(buffer.unread(), expected);
    ASSERT_LE(buffer.size() + kBodyPadding, buffer.capacity());
  }
}

TEST(InputBuffer, always_has_the_padding_behind_it) {
  InputBuffer buffer(1024);
  put(buffer, std::string(buffer.room(), 'x'));
  EXPECT_TRUE(buffer.tail().empty());
  EXPECT_EQ(buffer.size() + kBodyPadding, buffer.capacity());
}

TEST(InputBuffer, grows_to_what_is_asked_for) {
  InputBuffer buffer(1024);
  put(buffer, "head");
  buffer.make_room(1'000'000);
  EXPECT_GE(buffer.room(), 1'000'000U);
  EXPECT_EQ(buffer.unread(), "head");
}

TEST(InputBuffer, makes_room_without_growing_when_bytes_were_used) {
  InputBuffer buffer(1024);
  put(buffer, std::string(buffer.room(), 'x'));
  buffer.consume(500);
  buffer.make_room(500);
  EXPECT_EQ(buffer.capacity(), 1024U);
  EXPECT_GE(buffer.room(), 500U);
}

TEST(InputBuffer, gives_back_what_a_large_message_took) {
  InputBuffer buffer(1024);
  put(buffer, std::string(100'000, 'x') + "next");
  buffer.consume(100'000);
  buffer.shrink();
  EXPECT_EQ(buffer.capacity(), 1024U);
  EXPECT_EQ(buffer.unread(), "next");
}

TEST(InputBuffer, keeps_its_size_while_much_is_unread) {
  InputBuffer buffer(1024);
  put(buffer, std::string(100'000, 'x'));
  buffer.shrink();
  EXPECT_EQ(buffer.size(), 100'000U);
}

}  // namespace
}  // namespace turnpike::http
