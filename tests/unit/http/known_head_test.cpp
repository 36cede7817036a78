#include "turnpike/http/known_head.hpp"

#include <gtest/gtest.h>

#include <boost/asio/buffer.hpp>
#include <string>
#include <string_view>

namespace turnpike::http {
namespace {

// A head as a session reads it.
struct Parsed {
  explicit Parsed(std::string text) : bytes(std::move(text)) {
    boost::system::error_code error;
    MessageParser<true> parser(fields, {[](void*, std::string_view) {}, nullptr});
    parser.put(boost::asio::buffer(bytes), error);
    EXPECT_TRUE(parser.is_header_done()) << bytes;
  }
  std::string bytes;
  Fields fields;
};

std::string head(std::string_view length, std::string_view more = "Accept: */*\r\n") {
  std::string text = "POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer k\r\nContent-Length: ";
  return text.append(length).append("\r\n").append(more).append("\r\n");
}

KnownHead learned(const std::string& bytes) {
  const Parsed parsed(bytes);
  KnownHead known;
  known.learn(parsed.bytes, parsed.fields);
  return known;
}

TEST(KnownHead, is_known_again_whatever_its_content_length) {
  auto known = learned(head("12"));
  for (const std::string_view length : {"0", "7", "12", "1000", "999999999"}) {
    const auto bytes = head(length);
    const auto match = known.match(bytes + "body");
    ASSERT_TRUE(match) << length;
    EXPECT_EQ(match->bytes, bytes.size());
    EXPECT_EQ(match->content_length, std::stoull(std::string(length)));
    EXPECT_EQ(match->digits, length.size());
  }
}

TEST(KnownHead, without_a_content_length_is_known_to_the_byte) {
  const std::string bytes = "GET /v1/models HTTP/1.1\r\nHost: t\r\n\r\n";
  auto known = learned(bytes);
  const auto match = known.match(bytes + bytes);
  ASSERT_TRUE(match);
  EXPECT_EQ(match->bytes, bytes.size());
  EXPECT_EQ(match->content_length, std::nullopt);
}

TEST(KnownHead, leaves_numbers_that_are_written_otherwise_to_the_parser) {
  auto known = learned(head("12"));
  for (const std::string_view length : {"", "012", "00", "+1", "-1", " 1", "1 ", "1x", "0x1", "1,1", "1234567890"}) {
    EXPECT_FALSE(known.match(head(length))) << length;
  }
}

TEST(KnownHead, is_another_with_any_other_byte) {
  const auto bytes = head("12");
  auto known = learned(bytes);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    auto other = bytes;
    other[i] = static_cast<char>(other[i] ^ 0x40);
    EXPECT_FALSE(known.match(other)) << i;
    EXPECT_FALSE(known.match(std::string_view(bytes).substr(0, i))) << i;
  }
  EXPECT_FALSE(known.match(head("12", "Accept: */*\r\nX: y\r\n")));
}

TEST(KnownHead, is_not_learned_when_it_names_its_length_twice_or_is_large) {
  const auto twice = head("12", "Content-Length: 12\r\n");
  EXPECT_FALSE(learned(twice).match(twice));
  const auto large = head("12", "X: " + std::string(2048, 'x') + "\r\n");
  EXPECT_FALSE(learned(large).match(large));
}

TEST(KnownHead, is_not_learned_any_more_where_heads_never_come_again) {
  KnownHead known;
  std::string last;
  for (int i = 0; i < 100; ++i) {
    const Parsed parsed(head("12", "X: " + std::to_string(i) + "\r\n"));
    known.learn(parsed.bytes, parsed.fields);
    last = parsed.bytes;
  }
  EXPECT_FALSE(known.match(last));
}

TEST(Fields, behind_a_value_that_grew_or_shrank_move_with_it) {
  Parsed parsed(head("12", "Accept: a\r\nX-Empty:\r\nX: y\r\n"));
  for (const std::string_view length : {"7", "123456", "12"}) {
    const auto now = head(length, "Accept: a\r\nX-Empty:\r\nX: y\r\n");
    const Parsed expected(now);
    parsed.fields.resize_value(Field::content_length, length.size());
    parsed.fields.rebase(now.data() - parsed.bytes.data());
    ASSERT_EQ(parsed.fields.all().size(), expected.fields.all().size());
    for (std::size_t i = 0; i < expected.fields.all().size(); ++i) {
      EXPECT_EQ(parsed.fields.all()[i].name, expected.fields.all()[i].name);
      EXPECT_EQ(parsed.fields.all()[i].value, expected.fields.all()[i].value);
    }
    parsed.bytes = now;
    parsed.fields.rebase(parsed.bytes.data() - now.data());
  }
}

}  // namespace
}  // namespace turnpike::http
