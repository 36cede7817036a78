#include "turnpike/base/text.hpp"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace turnpike {
namespace {

TEST(PercentDecode, undoes_escapes) {
  EXPECT_EQ(percent_decode("a%2Fb%2f%00+"), std::string("a/b/\0+", 6));
  EXPECT_EQ(percent_decode(""), "");
}

TEST(PercentDecode, refuses_what_is_cut_or_no_hex) {
  for (const std::string_view text : {"%", "a%", "%4", "%4g", "%g4", "%%41", "% 1"}) {
    EXPECT_EQ(percent_decode(text), std::nullopt) << text;
  }
}

TEST(PointerPart, writes_what_would_end_it_otherwise) {
  EXPECT_EQ(pointer_part("a/b~c~1"), "a~1b~0c~01");
  EXPECT_EQ(pointer_part(""), "");
}

TEST(Characters, are_code_points_and_not_bytes) {
  EXPECT_EQ(characters_of(""), 0U);
  EXPECT_EQ(characters_of("a日本🙂"), 4U);
}

}  // namespace
}  // namespace turnpike
