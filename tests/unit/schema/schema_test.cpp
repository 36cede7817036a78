#include "turnpike/schema/schema.hpp"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

namespace turnpike::schema {
namespace {

constexpr std::size_t kPlenty = 100'000;

Schema read(std::string_view json) {
  auto schema = Schema::read(json);
  if (!schema) throw std::runtime_error(std::string(json) + ": " + schema.error().message);
  return *std::move(schema);
}

// The keyword that refuses it; "fits" where none does.
std::string refusal(std::string_view schema, std::string_view value) {
  std::string keyword;
  std::size_t steps = kPlenty;
  switch (read(schema).check(value, steps, keyword)) {
    case Verdict::fits:
      return "fits";
    case Verdict::undecided:
      return "undecided";
    case Verdict::misfits:
      break;
  }
  return keyword.empty() ? "no JSON" : keyword;
}

std::string fault(std::string_view schema) {
  const auto read = Schema::read(schema);
  if (read) return "";
  EXPECT_EQ(read.error().fault, Fault::invalid_request);
  return read.error().message;
}

TEST(Schema, says_which_keyword_refuses_a_value) {
  struct Case {
    std::string_view schema, good, bad, keyword;
  };
  for (const auto& [schema, good, bad, keyword] : std::vector<Case>{
           {R"({"type":"string"})", R"("a")", "1", "type"},
           {R"({"type":["string","null"]})", "null", "1", "type"},
           {R"({"type":"integer"})", "2.0", "2.5", "type"},
           {R"({"enum":[1,"a",{"b":[null]}]})", R"({"b":[null]})", R"({"b":[]})", "enum"},
           {R"({"const":{"a":1}})", R"({"a":1.0})", R"({"a":2})", "const"},
           {R"({"multipleOf":0.0001})", "0.0075", "0.00751", "multipleOf"},
           {R"({"multipleOf":7})", "-9223372036854775807", "-9223372036854775806", "multipleOf"},
           {R"({"maximum":3})", "3", "3.1", "maximum"},
           {R"({"minimum":-1})", "-1", "-2", "minimum"},
           {R"({"exclusiveMaximum":3})", "2.9", "3", "exclusiveMaximum"},
           {R"({"exclusiveMinimum":3})", "3.1", "3", "exclusiveMinimum"},
           {R"({"maximum":3,"exclusiveMaximum":true})", "2.9", "3", "maximum"},
           {R"({"maxLength":2})", R"("日本")", R"("abc")", "maxLength"},
           {R"({"minLength":2})", R"("🙂🙂")", R"("🙂")", "minLength"},
           {R"({"pattern":"^[a-z]+\\d$"})", R"("ab1")", R"("1ab")", "pattern"},
           {R"({"prefixItems":[{"type":"null"}],"items":{"type":"integer"}})", "[null,1]", "[null,null]", "type"},
           {R"({"items":[{"type":"null"}],"additionalItems":false})", "[null]", "[null,1]", "items"},
           {R"({"contains":{"const":1},"minContains":2,"maxContains":3})", "[1,0,1]", "[1,0]", "contains"},
           {R"({"maxItems":1})", "[1]", "[1,2]", "maxItems"},
           {R"({"minItems":1.0})", "[1]", "[]", "minItems"},
           {R"({"uniqueItems":true})", "[1,true,[1],[true]]", "[[1],[1.0]]", "uniqueItems"},
           {R"({"properties":{"a":{"properties":{"b":{"type":"null"}}}}})", R"({"a":{"b":null}})", R"({"a":{"b":1}})",
            "type"},
           {R"({"patternProperties":{"^x":{"type":"null"}}})", R"({"x1":null,"y":1})", R"({"x1":1})", "type"},
           {R"({"properties":{"a":true},"patternProperties":{"^x":true},"additionalProperties":false})",
            R"({"a":1,"x":2})", R"({"b":1})", "additionalProperties"},
           {R"({"propertyNames":{"maxLength":1}})", R"({"a":1})", R"({"ab":1})", "propertyNames"},
           {R"({"required":["a","b"]})", R"({"a":1,"b":2})", R"({"a":1})", "required"},
           {R"({"dependentRequired":{"a":["b"]}})", R"({"b":1})", R"({"a":1})", "dependentRequired"},
           {R"({"dependentSchemas":{"a":{"required":["b"]}}})", R"({"a":1,"b":1})", R"({"a":1})", "required"},
           {R"({"dependencies":{"a":["b"],"c":{"minProperties":2}}})", R"({"c":1,"d":1})", R"({"c":1})",
            "minProperties"},
           {R"({"maxProperties":1})", R"({"a":1})", R"({"a":1,"b":1})", "maxProperties"},
           {R"({"allOf":[{"minimum":1},{"maximum":2}]})", "2", "3", "maximum"},
           {R"({"anyOf":[{"type":"null"},{"minimum":5}]})", "null", "3", "anyOf"},
           {R"({"oneOf":[{"minimum":1},{"maximum":2}]})", "3", "2", "oneOf"},
           {R"({"not":{"type":"null"}})", "1", "null", "not"},
           {R"({"if":{"type":"number"},"then":{"minimum":1},"else":{"type":"null"}})", "null", "0", "minimum"},
           {R"({"if":{"type":"number"},"then":{"minimum":1},"else":{"type":"null"}})", "2", "\"a\"", "type"},
           {R"({"$ref":"#/$defs/a~1b%25","$defs":{"a/b%":{"type":"null"}}})", "null", "1", "type"},
           {R"({"$ref":"#here","$defs":{"a":{"$anchor":"here","type":"null"}}})", "null", "1", "type"},
           {R"({"$id":"https://x.test/s","$ref":"https://x.test/s#/$defs/a","$defs":{"a":{"type":"null"}}})", "null",
            "1", "type"},
           {R"({"properties":{"next":{"$ref":"#"}},"additionalProperties":false})", R"({"next":{"next":{}}})",
            R"({"next":{"x":{}}})", "additionalProperties"},
       }) {
    EXPECT_EQ(refusal(schema, good), "fits") << schema << " " << good;
    EXPECT_EQ(refusal(schema, bad), keyword) << schema << " " << bad;
  }
}

TEST(Schema, asks_a_value_only_what_is_asked_of_its_type) {
  const std::string_view schema =
      R"({"minimum":5,"minLength":5,"minItems":5,"minProperties":5,"required":["a"],"pattern":"x","multipleOf":7,
          "contains":false,"additionalProperties":false,"propertyNames":false})";
  for (const std::string_view value : {"null", "true"}) EXPECT_EQ(refusal(schema, value), "fits") << value;
  EXPECT_EQ(refusal(schema, "7"), "fits");
}

TEST(Schema, takes_text_around_json_for_no_json) {
  for (const std::string_view value : {"", "Sure! {}", "{} done", "```json\n{}\n```", "{\"a\":}", "\"a", "{'a':1}"}) {
    EXPECT_EQ(refusal("{}", value), "no JSON") << value;
  }
  EXPECT_EQ(refusal("{}", " {}\n"), "fits");
}

TEST(Schema, passes_over_what_it_does_not_know) {
  EXPECT_EQ(refusal(R"({"format":"date","title":1,"x-own":{"type":7},"unevaluatedProperties":false})", R"({"a":1})"),
            "fits");
}

// RE2 has no lookaround: what it says of a text is not known, so it says nothing.
TEST(Schema, does_not_ask_for_a_pattern_that_cannot_be_read) {
  EXPECT_EQ(refusal(R"({"pattern":"^(?!a)b$"})", R"("zzz")"), "fits");
  const std::string_view named = R"({"patternProperties":{"(?=a).":{"type":"null"}},"additionalProperties":false})";
  EXPECT_EQ(refusal(named, R"({"a":1,"b":2})"), "fits");
}

TEST(Schema, says_where_it_is_malformed) {
  const std::string at = "the schema at ";
  EXPECT_EQ(fault(R"({"properties":{"a":{"type":"text"}}})").substr(0, at.size() + 18), at + "/properties/a/type");
  EXPECT_EQ(fault(R"({"items":{"minItems":-1}})"), at + "/items/minItems must be a whole number of 0 or more");
  EXPECT_EQ(fault(R"({"anyOf":[{},7]})"), at + "/anyOf/1 must be an object, true or false");
  EXPECT_EQ(fault(R"({"required":true})"), at + "/required must be an array of strings");
  EXPECT_EQ(fault(R"({"$ref":"#/$defs/none"})"), at + "#/$defs/none leads to nothing");
  EXPECT_EQ(fault(R"({"$ref":"https://x.test/other"})"), at + "https://x.test/other leads to nothing");
  EXPECT_EQ(fault(R"({"$ref":"#/a/%4"})"), at + "#/a/%4 leads to nothing");
  EXPECT_EQ(fault(R"({"properties":{"a":{"$id":"https://x.test/a"}}})"),
            at + "/properties/a has an $id of its own, which is not supported");
  EXPECT_EQ(fault(R"({"$ref":"#/x/0","x":[{"properties":{"a/b":{"items":7}}}]})"),
            at + "#/x/0/properties/a~1b/items must be an object, true or false");
  EXPECT_EQ(fault(R"({"properties":{")" + std::string(300, 'a') + R"(":7}})"),
            "the schema must be an object, true or false");
  EXPECT_EQ(fault(R"(7)"), "the schema must be an object, true or false");
  for (const std::string_view schema :
       {R"({"allOf":[]})", R"({"not":1})", R"({"properties":[]})", R"({"multipleOf":0})", R"({"maximum":"1"})",
        R"({"exclusiveMinimum":null})", R"({"uniqueItems":1})", R"({"enum":1})", R"({"dependentRequired":{"a":1}})",
        R"({"pattern":1})", R"({"$ref":1})", R"({"type":[]})", R"({"dependencies":{"a":[1]}})", R"({"items":1})"}) {
    EXPECT_NE(fault(schema), "") << schema;
  }
}

TEST(Schema, that_would_never_be_done_is_refused) {
  const std::string endless = "the schema refers to itself without end";
  EXPECT_EQ(fault(R"({"$ref":"#"})"), endless);
  EXPECT_EQ(fault(R"({"anyOf":[{"type":"null"},{"$ref":"#/$defs/a"}],"$defs":{"a":{"not":{"$ref":"#"}}}})"), endless);
  EXPECT_EQ(fault(R"({"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"if":{"$ref":"#/$defs/a"}}}})"), endless);
  EXPECT_EQ(fault(R"({"properties":{"a":{"$ref":"#"}},"items":{"$ref":"#"}})"), "");
}

TEST(Schema, a_check_ends_after_its_steps) {
  // Each asks the next twice: 2^40 questions.
  std::string schema = R"({"$ref":"#/$defs/0","$defs":{)";
  for (int i = 0; i < 40; ++i) {
    const auto next = R"({"$ref":"#/$defs/)" + std::to_string(i + 1) + "\"}";
    schema.append("\"").append(std::to_string(i)).append(R"(":{"allOf":[)");
    schema.append(next).append(",").append(next).append("]},");
  }
  schema += R"("40":true}})";
  EXPECT_EQ(refusal(schema, "1"), "undecided");
  // A long text, looked at again and again.
  std::string again = R"({"allOf":[{"maxLength":1000000})";
  for (int i = 0; i < 2000; ++i) again += R"(,{"maxLength":1000000})";
  const auto text = "\"" + std::string(10'000, 'a') + "\"";
  EXPECT_EQ(refusal(again + "]}", text), "undecided");
  EXPECT_EQ(refusal(R"({"allOf":[{"const":)" + text + R"(},{"$ref":"#/allOf/0"},{"enum":[1,)" + text + "]}]}", text),
            "fits");
  const auto verdict = [](std::string_view of, std::string_view value, std::size_t steps) {
    std::string keyword;
    return read(of).check(value, steps, keyword);
  };
  EXPECT_EQ(verdict(R"({"const":)" + text + "}", text, 600), Verdict::undecided);
  EXPECT_EQ(verdict(R"({"uniqueItems":true})", "[[1,2],[3,4]]", 10), Verdict::undecided);
  const std::string_view integers = R"({"items":{"type":"integer"}})";
  EXPECT_EQ(verdict(integers, "[1,2,3]", 4), Verdict::fits);
  EXPECT_EQ(verdict(integers, "[1,2,3]", 3), Verdict::undecided);
  EXPECT_EQ(verdict(integers, "[1,\"a\",3]", 3), Verdict::misfits) << "what was found before counts";
}

TEST(Schema, several_checks_share_their_steps) {
  const auto integers = read(R"({"items":{"type":"integer"}})");
  std::string keyword;
  std::size_t steps = 7;
  EXPECT_EQ(integers.check("[1,2,3]", steps, keyword), Verdict::fits);
  EXPECT_EQ(steps, 3U);
  EXPECT_EQ(integers.check("[1,2,3]", steps, keyword), Verdict::undecided);
  EXPECT_EQ(steps, 0U);
}

TEST(Schema, deep_values_and_schemas_are_no_danger) {
  const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  const std::string_view recursive = R"({"items":{"anyOf":[{"$ref":"#"},{"type":"null"}]}})";
  EXPECT_EQ(refusal(recursive, nested(100)), "fits");
  EXPECT_EQ(refusal(recursive, nested(100'000)), "undecided");
  EXPECT_EQ(refusal("{}", "\"" + std::string(1000, '[') + "\\\"[\""), "fits") << "brackets in a text are text";
  EXPECT_EQ(fault(R"({"default":)" + nested(1000) + "}"), "the schema is nested too deeply");
}

TEST(Schema, a_hostile_pattern_takes_linear_time_or_is_not_asked) {
  EXPECT_EQ(refusal(R"({"pattern":"^(a+)+$"})", "\"" + std::string(20'000, 'a') + "b\""), "pattern");
  EXPECT_EQ(refusal(R"({"pattern":"((a{1000}){1000}){1000}"})", R"("a")"), "fits");
  std::string many = R"({"anyOf":[)";
  for (int i = 0; i < 33; ++i) many += (i > 0 ? "," : "") + (R"({"pattern":")" + std::to_string(i) + "\"}");
  EXPECT_NE(fault(many + "]}"), "");
}

}  // namespace
}  // namespace turnpike::schema
