#include "turnpike/base/spare_strings.hpp"

#include <gtest/gtest.h>

namespace turnpike {
namespace {

TEST(SpareStrings, come_back_empty_and_with_their_memory) {
  SpareStrings spare(2, 1024);
  auto string = spare.take();
  string.assign(500, 'x');
  const auto* memory = string.data();
  spare.give_back(std::move(string));
  string = spare.take();
  EXPECT_EQ(string, "");
  EXPECT_EQ(string.data(), memory);
}

TEST(SpareStrings, are_kept_in_bounded_number_and_size) {
  SpareStrings spare(2, 1024);
  spare.give_back(std::string(2000, 'x'));
  EXPECT_EQ(spare.size(), 0U);
  for (int i = 0; i < 5; ++i) spare.give_back(std::string(500, 'x'));
  EXPECT_EQ(spare.size(), 2U);
}

TEST(SpareStrings, without_memory_are_not_kept) {
  SpareStrings spare(2, 1024);
  spare.give_back({});
  EXPECT_EQ(spare.size(), 0U);
}

}  // namespace
}  // namespace turnpike
