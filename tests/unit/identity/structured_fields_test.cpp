#include "turnpike/identity/structured_fields.hpp"

#include <gtest/gtest.h>

#include <random>

namespace turnpike::identity {
namespace {

Dictionary parsed(std::string_view text) {
  return parse_dictionary(text).value();
}

TEST(StructuredFields, a_dictionary_has_items_lists_and_flags) {
  const auto all = parsed(R"(a=1, b=(x "y \"z\\";p :AAEC:);q=?0;r,  c;s=-7,*d=tok/en:*)");
  ASSERT_EQ(all.size(), 4U);
  EXPECT_EQ(std::get<Item>(all[0].value), (Item{.value = std::int64_t{1}, .parameters = {}}));
  const auto& list = std::get<InnerList>(all[1].value);
  ASSERT_EQ(list.items.size(), 3U);
  EXPECT_EQ(list.items[0].value, BareItem(FieldToken{"x"}));
  EXPECT_EQ(list.items[1], (Item{.value = std::string(R"(y "z\)"), .parameters = {{.key = "p", .value = true}}}));
  EXPECT_EQ(list.items[2].value, BareItem(FieldBytes{std::string("\0\1\2", 3)}));
  EXPECT_EQ(list.parameters, (Parameters{{.key = "q", .value = false}, {.key = "r", .value = true}}));
  EXPECT_EQ(std::get<Item>(all[2].value),
            (Item{.value = true, .parameters = {{.key = "s", .value = std::int64_t{-7}}}}));
  EXPECT_EQ(std::get<Item>(all[3].value).value, BareItem(FieldToken{"tok/en:*"}));
  EXPECT_EQ(find(all, "*d"), &all[3]);
  EXPECT_EQ(find(all, "e"), nullptr);
}

TEST(StructuredFields, a_list_is_written_in_one_form_however_it_was_sent) {
  const auto sent =
      parsed("sig=(  \"@method\"   \"x\";name=\"a\\\"b\";f=?1  );   created=007;nonce=\"n\";b=:AA==:;t=tok;z=?0");
  EXPECT_EQ(serialize(std::get<InnerList>(sent.front().value)),
            R"(("@method" "x";name="a\"b";f);created=7;nonce="n";b=:AA==:;t=tok;z=?0)");
  EXPECT_EQ(serialize(std::get<InnerList>(parsed("s=()").front().value)), "()");
}

TEST(StructuredFields, what_the_grammar_does_not_know_is_malformed) {
  for (const char* text : {"=1",
                           "A=1",
                           "1=1",
                           "a=",
                           "a=1,",
                           "a=1,,b=2",
                           "a=1 b=2",
                           "a=1;",
                           "a=1;B",
                           "a=(",
                           "a=(1",
                           "a=(1 2",
                           "a=(\"x\"\"y\")",
                           "a=)",
                           "a=\"",
                           "a=\"x",
                           "a=\"\\x\"",
                           "a=\"\\",
                           "a=\"\x01\"",
                           "a=\"\xc3\xa9\"",
                           "a=:AA:",
                           "a=:AA==",
                           "a=:A A=:",
                           "a=?2",
                           "a=?",
                           "a=-",
                           "a=1234567890123456",
                           "a=1.5",
                           "a=@1",
                           "a=%\"x\"",
                           "a=1\tb",
                           "\ta=1",
                           "a=(1\t2)",
                           "a=1;p=",
                           "a=((1))"}) {
    EXPECT_FALSE(parse_dictionary(text)) << text;
  }
  EXPECT_TRUE(parse_dictionary(""));
  EXPECT_TRUE(parse_dictionary("  a=1 \t,\t b=123456789012345  "));
}

TEST(StructuredFields, a_key_that_stands_there_twice_is_malformed) {
  EXPECT_FALSE(parse_dictionary("a=1, b=2, a=1"));
  EXPECT_FALSE(parse_dictionary("a=1;p=1;p=1"));
  EXPECT_FALSE(parse_dictionary("a=(1;p;p)"));
}

TEST(StructuredFields, whatever_is_read_is_written_as_what_reads_the_same) {
  const std::string_view good = R"(a=("@method" "x";sf;name="q\"r");created=-17;nonce="n";b=:AAEC:;t=to/k;z=?0,c=?1)";
  const std::string_view pieces = "ab*=(),; \"\\:?01-.A/@\t";
  std::mt19937 random(9651);
  int read = 0;
  for (int round = 0; round < 50'000; ++round) {
    std::string text(good);
    for (auto changes = random() % 4; changes > 0; --changes) {
      const auto at = random() % text.size();
      const char piece = pieces[random() % pieces.size()];
      if (random() % 3 == 0) {
        text.erase(at, 1);
      } else if (random() % 2 == 0) {
        text.insert(at, 1, piece);
      } else {
        text[at] = piece;
      }
    }
    const auto members = parse_dictionary(text);
    if (!members) continue;
    ++read;
    for (const Member& member : *members) {
      const auto* list = std::get_if<InnerList>(&member.value);
      const auto written = list != nullptr ? serialize(*list) : serialize(std::get<Item>(member.value));
      const auto again = parse_dictionary("k=" + written);
      ASSERT_TRUE(again) << text << " was written as " << written;
      EXPECT_EQ(again->front().value, member.value) << text;
    }
  }
  EXPECT_GT(read, 10'000);
  EXPECT_LT(read, 40'000);
}

TEST(StructuredFields, all_of_it_is_bounded) {
  const auto many = [](std::string_view first, std::string_view piece, std::size_t times) {
    std::string text(first);
    for (std::size_t i = 0; i < times; ++i) text.append(piece).append(std::to_string(i));
    return text;
  };
  EXPECT_TRUE(parse_dictionary(many("z", ", a", kMostMembers - 1)));
  EXPECT_FALSE(parse_dictionary(many("z", ", a", kMostMembers)));
  EXPECT_TRUE(parse_dictionary(many("z", ";a", kMostParameters)));
  EXPECT_FALSE(parse_dictionary(many("z", ";a", kMostParameters + 1)));
  EXPECT_TRUE(parse_dictionary(many("z=(", " ", kMostItems) + ")"));
  EXPECT_FALSE(parse_dictionary(many("z=(", " ", kMostItems + 1) + ")"));
  EXPECT_TRUE(parse_dictionary("z=\"" + std::string(kMostFieldBytes - 4, 'x') + "\""));
  EXPECT_FALSE(parse_dictionary("z=\"" + std::string(kMostFieldBytes - 3, 'x') + "\""));
}

}  // namespace
}  // namespace turnpike::identity
