#include "turnpike/base/running_digest.hpp"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace turnpike
