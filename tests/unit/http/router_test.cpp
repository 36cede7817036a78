#include "turnpike/http/router.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace turnpike::http {
namespace {

class RouterTest : public testing::Test {
 protected:
  void SetUp() override {
    router.add(Verb::get, "/v1/models", {});
    router.add(Verb::get, "/v1/models/{id}", {});
    router.add(Verb::post, "/v1/keys", {});
    router.add(Verb::get, "/v1/keys", {});
    router.add(Verb::delete_, "/v1/keys/{id}", {});
    router.add(Verb::post, "/v1/keys/{id}/rotate", {});
  }
  Router router;
};

using Routes = RouterTest;

TEST_F(Routes, a_known_path_and_method_have_a_handler) {
  EXPECT_NE(router.match(Verb::get, "/v1/models").handler, nullptr);
  EXPECT_NE(router.match(Verb::get, "/v1/models").handler, router.match(Verb::get, "/v1/models/x").handler);
}

TEST_F(Routes, an_unknown_path_has_nothing_to_allow) {
  for (const std::string path :
       {"/", "", "/v1", "/v1/model", "/v1/models/", "/v2/models", "v1/models", "/v1//models"}) {
    const auto match = router.match(Verb::get, path);
    EXPECT_EQ(match.handler, nullptr) << path;
    EXPECT_EQ(match.allow, "") << path;
  }
}

TEST_F(Routes, a_known_path_with_another_method_says_what_it_allows) {
  const auto match = router.match(Verb::put, "/v1/keys");
  EXPECT_EQ(match.handler, nullptr);
  EXPECT_EQ(match.allow, "POST, GET, HEAD");
  EXPECT_EQ(router.match(Verb::get, "/v1/keys/7").allow, "DELETE");
}

TEST_F(Routes, head_is_answered_where_get_is) {
  EXPECT_EQ(router.match(Verb::head, "/v1/models").handler, router.match(Verb::get, "/v1/models").handler);
  EXPECT_EQ(router.match(Verb::head, "/v1/keys/7").handler, nullptr);
}

TEST_F(Routes, a_last_parameter_takes_slashes) {
  EXPECT_EQ(router.match(Verb::get, "/v1/models/org/model:7b").parameters, std::vector<std::string>{"org/model:7b"});
}

TEST_F(Routes, a_parameter_in_the_middle_takes_one_segment) {
  EXPECT_EQ(router.match(Verb::post, "/v1/keys/7/rotate").parameters, std::vector<std::string>{"7"});
  EXPECT_EQ(router.match(Verb::post, "/v1/keys/7/8/rotate").handler, nullptr);
}

TEST_F(Routes, parameters_are_decoded) {
  EXPECT_EQ(router.match(Verb::get, "/v1/models/org%2Fm%20x").parameters, std::vector<std::string>{"org/m x"});
  EXPECT_EQ(router.match(Verb::get, "/v1/models/%zz").handler, nullptr);
}

}  // namespace
}  // namespace turnpike::http
