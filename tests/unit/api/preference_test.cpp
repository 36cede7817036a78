#include "turnpike/api/preference.hpp"

#include <gtest/gtest.h>

#include <string_view>
#include <vector>

namespace turnpike::api {
namespace {

using std::chrono::seconds;

Preference read(const std::vector<std::string_view>& values, std::string_view name = "Prefer") {
  http::Fields fields;
  for (const auto value : values) fields.add({.id = http::Field::unknown, .name = name, .value = value});
  return read_preference(fields);
}

TEST(Preference, is_read_from_all_fields_of_that_name) {
  const auto both = read({"respond-async", "wait=10"}, "prefer");
  EXPECT_TRUE(both.respond_async);
  EXPECT_EQ(both.wait, seconds(10));
  EXPECT_EQ(read({"respond-async, wait=10"}).wait, seconds(10));
  EXPECT_FALSE(read({}).respond_async);
  EXPECT_FALSE(read({"respond-async"}, "X-Prefer").respond_async);
}

TEST(Preference, takes_names_in_any_case_with_space_and_parameters_around) {
  EXPECT_TRUE(read({" Respond-Async ; foo=\"a,b\" , handling=lenient"}).respond_async);
  EXPECT_EQ(read({"WAIT = \"7\""}).wait, seconds(7));
}

TEST(Preference, counts_the_first_of_several) {
  EXPECT_EQ(read({"wait=3, wait=9", "wait=1"}).wait, seconds(3));
}

TEST(Preference, ignores_what_is_malformed_or_not_known) {
  EXPECT_FALSE(read({"wait", "wait=", "wait=-1", "wait=1.5", "wait=99999999999", "wait=1s"}).wait);
  EXPECT_FALSE(read({"respond-asynchronously, foo=\"respond-async", ",,;=,"}).respond_async);
  EXPECT_FALSE(read({"foo=\"a\\\", respond-async\""}).respond_async) << "it is within quotes";
  EXPECT_TRUE(read({"foo=\"a, b\\\\\", respond-async"}).respond_async);
}

}  // namespace
}  // namespace turnpike::api
