#include "turnpike/proof/canonical_json.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <charconv>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <utility>

namespace turnpike::proof {
namespace {

using nlohmann::json;

std::string canonical(std::string_view text) {
  const auto document = parse_strictly(text);
  EXPECT_TRUE(document) << text << ": " << document.error();
  const auto form = canonical_json(*document);
  EXPECT_TRUE(form) << text << ": " << form.error();
  return form.value_or("");
}

std::string number(double value) {
  std::string out;
  append_number(out, value);
  return out;
}

TEST(CanonicalJson, writes_the_numbers_of_rfc_8785_appendix_b) {
  const std::pair<std::uint64_t, std::string_view> kNumbers[] = {
      {0x0000000000000000, "0"},
      {0x8000000000000000, "0"},
      {0x0000000000000001, "5e-324"},
      {0x8000000000000001, "-5e-324"},
      {0x7fefffffffffffff, "1.7976931348623157e+308"},
      {0xffefffffffffffff, "-1.7976931348623157e+308"},
      {0x4340000000000000, "9007199254740992"},
      {0xc340000000000000, "-9007199254740992"},
      {0x4430000000000000, "295147905179352830000"},
      {0x44b52d02c7e14af5, "9.999999999999997e+22"},
      {0x44b52d02c7e14af6, "1e+23"},
      {0x44b52d02c7e14af7, "1.0000000000000001e+23"},
      {0x444b1ae4d6e2ef4e, "999999999999999700000"},
      {0x444b1ae4d6e2ef4f, "999999999999999900000"},
      {0x444b1ae4d6e2ef50, "1e+21"},
      {0x3eb0c6f7a0b5ed8c, "9.999999999999997e-7"},
      {0x3eb0c6f7a0b5ed8d, "0.000001"},
      {0x41b3de4355555553, "333333333.3333332"},
      {0x41b3de4355555554, "333333333.33333325"},
      {0x41b3de4355555555, "333333333.3333333"},
      {0x41b3de4355555556, "333333333.3333334"},
      {0x41b3de4355555557, "333333333.33333343"},
      {0xbecbf647612f3696, "-0.0000033333333333333333"},
      {0x43143ff3c1cb0959, "1424953923781206.2"},
  };
  for (const auto& [bits, text] : kNumbers) EXPECT_EQ(number(std::bit_cast<double>(bits)), text);
}

TEST(CanonicalJson, writes_the_example_of_rfc_8785_section_3_2) {
  const std::string text = R"({
    "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
    "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
    "literals": [null, true, false]
  })";
  EXPECT_EQ(canonical(text),
            "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],"
            "\"string\":\"\xe2\x82\xac$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}");
}

TEST(CanonicalJson, puts_members_in_the_order_of_rfc_8785_section_3_2_3) {
  const std::string text = R"({
    "\u20ac": "Euro Sign",
    "\r": "Carriage Return",
    "\ufb33": "Hebrew Letter Dalet With Dagesh",
    "1": "One",
    "\ud83d\ude00": "Emoji: Grinning Face",
    "\u0080": "Control",
    "\u00f6": "Latin Small Letter O With Diaeresis"
  })";
  EXPECT_EQ(
      canonical(text),
      "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\xc2\x80\":\"Control\",\"\xc3\xb6\":\"Latin Small Letter O With "
      "Diaeresis\",\"\xe2\x82\xac\":\"Euro Sign\",\"\xf0\x9f\x98\x80\":\"Emoji: Grinning "
      "Face\",\"\xef\xac\xb3\":\"Hebrew Letter Dalet With Dagesh\"}");
}

TEST(CanonicalJson, is_the_same_however_a_document_was_laid_out) {
  EXPECT_EQ(canonical(" { \"b\" : [ 1.0 , -0 , 10e1 ] ,\n\"a\" : { } , \"aa\":[] } "),
            R"({"a":{},"aa":[],"b":[1,0,100]})");
  EXPECT_EQ(canonical(R"("\u007f\u001f\b\f\n\r\t\u2028")"), "\"\x7f\\u001f\\b\\f\\n\\r\\t\xe2\x80\xa8\"");
}

TEST(CanonicalJson, escapes_what_must_be_wherever_it_stands_and_nothing_else) {
  for (std::size_t size = 1; size <= 18; ++size) {
    for (std::size_t at = 0; at < size; ++at) {
      for (int code = 0; code < 0x80; ++code) {
        std::string text(size, 'a');
        text[at] = static_cast<char>(code);
        std::string written;
        append_string(written, text);
        ASSERT_EQ(written, json(text).dump()) << code << " at " << at;
      }
    }
  }
}

TEST(CanonicalJson, of_a_number_reads_back_as_the_same_number) {
  std::mt19937_64 random(8785);
  for (int i = 0; i < 200'000; ++i) {
    const auto value = std::bit_cast<double>(random());
    if (!std::isfinite(value)) continue;
    const auto text = number(value);
    double read = 0;
    std::from_chars(text.data(), text.data() + text.size(), read);
    EXPECT_EQ(read, value) << text;
    EXPECT_EQ(text.find_first_not_of("0123456789+-.e"), std::string::npos) << text;
  }
}

TEST(CanonicalJson, is_refused_where_there_is_none) {
  EXPECT_FALSE(canonical_json(json(std::string("\xff"))));
  EXPECT_FALSE(canonical_json(json{{"\xc3", 1}}));
  EXPECT_FALSE(canonical_json(json(9007199254740993ULL)));
  EXPECT_FALSE(canonical_json(json(-9007199254740993LL)));
  EXPECT_FALSE(canonical_json(json(std::numeric_limits<double>::infinity())));
  EXPECT_EQ(canonical_json(json(9007199254740992ULL)), "9007199254740992");
  EXPECT_EQ(canonical_json(json(9007199254740994ULL)), "9007199254740994");
  EXPECT_EQ(canonical_json(json(std::numeric_limits<std::int64_t>::min())), "-9223372036854776000");
}

TEST(CanonicalJson, of_which_two_readings_are_possible_is_not_read) {
  EXPECT_FALSE(parse_strictly(R"({"a":1,"a":1})"));
  EXPECT_FALSE(parse_strictly(R"({"a":1,"\u0061":2})"));
  EXPECT_FALSE(parse_strictly(R"([{"b":{"a":1,"c":{},"a":2}}])"));
  EXPECT_TRUE(parse_strictly(R"([{"a":1},{"a":1,"b":{"a":1}}])"));
  EXPECT_FALSE(parse_strictly(R"({"a":1} x)"));
  EXPECT_FALSE(parse_strictly("\"\xff\""));
  EXPECT_FALSE(parse_strictly(std::string(100'000, '[')));
}

}  // namespace
}  // namespace turnpike::proof
