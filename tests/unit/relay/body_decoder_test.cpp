#include "../../../src/relay/body_decoder.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <random>
#include <string>
#include <string_view>

namespace turnpike::relay {
namespace {

constexpr std::size_t kMostLine = 64;

// A connection's buffer, decoded in place as bytes come.
class Incoming {
 public:
  explicit Incoming(BodyDecoder decoder) : decoder(decoder) {}
  void append(std::string_view bytes) {
    buffer_.append(bytes);
    const auto step = decoder.decode(std::string_view(buffer_).substr(used_), buffer_.data() + body_);
    used_ += step.used;
    body_ += step.written;
  }
  [[nodiscard]] std::string_view body() const { return std::string_view(buffer_).substr(0, body_); }
  [[nodiscard]] std::string_view unused() const { return std::string_view(buffer_).substr(used_); }
  BodyDecoder decoder;

 private:
  std::string buffer_;
  std::size_t used_ = 0;
  std::size_t body_ = 0;
};

std::string hex(std::size_t value) {
  std::array<char, 20> text{};
  return {text.data(), std::to_chars(text.data(), text.data() + text.size(), value, 16).ptr};
}

constexpr std::string_view kChunked = "5\r\nhello\r\n1;a=b\r\n \r\n00A \r\n0123456789\r\n0\r\nX: y\r\nZ: w\r\n\r\n";

TEST(BodyDecoder, takes_chunks_apart_wherever_they_are_cut) {
  for (std::size_t cut = 0; cut <= kChunked.size(); ++cut) {
    Incoming incoming(BodyDecoder::of_chunks(kMostLine));
    incoming.append(kChunked.substr(0, cut));
    EXPECT_EQ(incoming.decoder.done(), cut == kChunked.size());
    incoming.append(kChunked.substr(cut));
    incoming.append("HTTP/1.1");
    EXPECT_EQ(incoming.body(), "hello 0123456789") << cut;
    EXPECT_EQ(incoming.unused(), "HTTP/1.1") << cut;
    EXPECT_TRUE(incoming.decoder.done());
    EXPECT_FALSE(incoming.decoder.broken());
  }
}

TEST(BodyDecoder, takes_any_chunks_apart_however_often_they_are_cut) {
  std::mt19937_64 rng(1);
  for (int round = 0; round < 2'000; ++round) {
    std::string body;
    std::string wire;
    for (auto chunks = rng() % 6; chunks > 0; --chunks) {
      std::string piece(1 + rng() % 300, '\0');
      for (auto& c : piece) c = "\r\n0a;"[rng() % 5];
      wire.append(hex(piece.size()))
          .append(rng() % 2 == 0 ? "" : ";x=\"1\"")
          .append("\r\n")
          .append(piece)
          .append("\r\n");
      body += piece;
    }
    wire.append("0\r\n").append(rng() % 2 == 0 ? "" : "Trailer: of some kind\r\n").append("\r\n");
    Incoming incoming(BodyDecoder::of_chunks(kMostLine));
    for (std::size_t at = 0; at < wire.size();) {
      ASSERT_FALSE(incoming.decoder.done());
      const auto size = std::min<std::size_t>(1 + rng() % 40, wire.size() - at);
      incoming.append(std::string_view(wire).substr(at, size));
      at += size;
    }
    ASSERT_TRUE(incoming.decoder.done());
    ASSERT_EQ(incoming.body(), body);
    ASSERT_EQ(incoming.unused(), "");
  }
}

TEST(BodyDecoder, refuses_chunks_that_are_malformed) {
  for (const std::string_view wire :
       {"\r\n", "x\r\n", "-1\r\n", "0x5\r\n", " 5\r\n", "5\nhello", "5\r5", "5 \nhello", "5;a\nhello\r\n",
        "5\r\nhellox", "5\r\nhello\n", "5\r\nhello\rx", "5\r\nhello\r\nx", "10000000000000000\r\n", "5g\r\n"}) {
    for (const std::string_view behind : {"", "0123456789\r\n0123456789"}) {
      Incoming incoming(BodyDecoder::of_chunks(kMostLine));
      incoming.append(std::string(wire).append(behind));
      EXPECT_TRUE(incoming.decoder.broken()) << wire;
      incoming.append("5\r\nhello\r\n0\r\n\r\n");
      EXPECT_TRUE(incoming.decoder.broken()) << wire;
      EXPECT_FALSE(incoming.decoder.done()) << wire;
    }
  }
}

TEST(BodyDecoder, reads_sizes_of_any_number_of_digits) {
  const std::string data(300, 'x');
  for (std::size_t digits = 3; digits <= 20; ++digits) {
    const std::string size = std::string(digits - 3, '0') + "12c";
    Incoming incoming(BodyDecoder::of_chunks(kMostLine));
    incoming.append(size + "\r\n" + data + "\r\n" + size + "\r\n" + data + "\r\n0\r\n\r\n");
    EXPECT_TRUE(incoming.decoder.done()) << digits;
    EXPECT_EQ(incoming.body(), data + data) << digits;
  }
}

TEST(BodyDecoder, does_not_wait_for_the_end_of_a_line_that_is_too_long) {
  const std::string much(kMostLine + 1, '0');
  for (const std::string& wire : {"5;" + much, "5;" + much + "\r\n", much, "0\r\nX: " + much,
                                  "0\r\nX: " + much + "\r\n\r\n", "1\r\nx\r\n5;" + much}) {
    Incoming incoming(BodyDecoder::of_chunks(kMostLine));
    incoming.append(wire);
    EXPECT_TRUE(incoming.decoder.broken()) << wire;
  }
}

TEST(BodyDecoder, a_connection_that_ends_within_chunks_breaks_the_body) {
  for (std::size_t cut = 0; cut < kChunked.size(); ++cut) {
    Incoming incoming(BodyDecoder::of_chunks(kMostLine));
    incoming.append(kChunked.substr(0, cut));
    incoming.decoder.end();
    EXPECT_TRUE(incoming.decoder.broken()) << cut;
  }
}

TEST(BodyDecoder, a_body_of_a_length_is_done_when_it_has_come) {
  Incoming incoming(BodyDecoder::of_length(5));
  incoming.append("hel");
  EXPECT_FALSE(incoming.decoder.done());
  incoming.append("loHTTP");
  EXPECT_TRUE(incoming.decoder.done());
  EXPECT_EQ(incoming.body(), "hello");
  EXPECT_EQ(incoming.unused(), "HTTP");
  incoming.decoder.end();
  EXPECT_TRUE(incoming.decoder.done());
  EXPECT_TRUE(BodyDecoder::of_length(0).done());
}

TEST(BodyDecoder, a_connection_that_ends_before_the_length_has_come_breaks_the_body) {
  Incoming incoming(BodyDecoder::of_length(5));
  incoming.append("hell");
  incoming.decoder.end();
  EXPECT_TRUE(incoming.decoder.broken());
}

TEST(BodyDecoder, a_body_without_length_ends_with_its_connection) {
  Incoming incoming(BodyDecoder::until_the_end());
  incoming.append("hel");
  incoming.append("lo");
  EXPECT_FALSE(incoming.decoder.done());
  incoming.decoder.end();
  EXPECT_TRUE(incoming.decoder.done());
  EXPECT_EQ(incoming.body(), "hello");
}

}  // namespace
}  // namespace turnpike::relay
