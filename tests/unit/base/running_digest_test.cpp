#include "turnpike/base/running_digest.hpp"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <exception>
#include <functional>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace turnpike {
namespace {

TEST(RunningSha256, of_pieces_is_that_of_the_whole_whatever_runs_beside_it) {
  std::mt19937_64 random(256);
  struct Stream {
    RunningSha256 digest;
    std::string bytes;
  };
  for (int round = 0; round < 20; ++round) {
    std::vector<Stream> streams(random() % 8 + 1);
    for (int i = 0; i < 50; ++i) {
      Stream& stream = streams[random() % streams.size()];
      const std::string piece(random() % 200, static_cast<char>(random()));
      stream.digest.add(piece);
      stream.bytes += piece;
    }
    for (auto& stream : streams) EXPECT_EQ(stream.digest.finish(), sha256(stream.bytes));
  }
}

TEST(RunningSha256, goes_on_where_it_is_moved) {
  RunningSha256 one;
  one.add("a");
  RunningSha256 other = std::move(one);
  other.add("b");
  one = RunningSha256();
  one.add("c");
  EXPECT_EQ(other.finish(), sha256("ab"));
  EXPECT_EQ(one.finish(), sha256("c"));
}

TEST(RunningSha256, of_a_large_text_lets_others_have_their_turns) {
  std::mt19937_64 random(7);
  for (const std::size_t size : {std::size_t{0}, kDigestTurnBytes, kDigestTurnBytes + 1, 5 * kDigestTurnBytes + 3}) {
    std::string bytes(size, ' ');
    for (char& byte : bytes) byte = static_cast<char>(random());
    boost::asio::io_context loop;
    std::size_t turns = 0;
    std::optional<Sha256> digest;
    // Stands in line again as long as the other is at it.
    const std::function<void()> other = [&] {
      if (digest) return;
      ++turns;
      boost::asio::post(loop, other);
    };
    boost::asio::co_spawn(loop, sha256_in_turns(bytes), [&](const std::exception_ptr& error, const Sha256& found) {
      EXPECT_FALSE(error);
      digest = found;
    });
    boost::asio::post(loop, other);
    loop.run();
    EXPECT_EQ(digest, sha256(bytes)) << size;
    EXPECT_GE(turns, size / kDigestTurnBytes) << size;
  }
}

}  // namespace
}  // namespace turnpike
