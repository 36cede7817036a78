#include "turnpike/inference/catalogue.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace turnpike::inference {
namespace {

Model named(std::string id) {
  Model model;
  model.id = std::move(id);
  return model;
}

TEST(Catalogue, finds_a_model_by_its_whole_name_alone) {
  Catalogue catalogue;
  catalogue.assign({named("m"), named("org/m:9b")});
  ASSERT_NE(catalogue.find("org/m:9b"), nullptr);
  EXPECT_EQ(catalogue.find("org/m:9b")->id, "org/m:9b");
  EXPECT_EQ(catalogue.find("org/m"), nullptr);
  EXPECT_EQ(catalogue.find("M"), nullptr);
  EXPECT_EQ(catalogue.find(""), nullptr);
}

TEST(Catalogue, keeps_the_order_of_the_configuration) {
  Catalogue catalogue;
  catalogue.assign({named("z"), named("a"), named("m")});
  std::vector<std::string> ids;
  for (const auto& model : catalogue.all()) ids.push_back(model->id);
  EXPECT_EQ(ids, (std::vector<std::string>{"z", "a", "m"}));
}

TEST(Catalogue, writes_a_name_as_the_json_string_it_is) {
  Catalogue catalogue;
  catalogue.assign({named(R"(a"b\c)")});
  EXPECT_EQ(catalogue.all().front()->id_json, R"("a\"b\\c")");
}

TEST(Catalogue, a_model_in_use_outlives_a_reload_that_drops_it) {
  Catalogue catalogue;
  catalogue.assign({named("old")});
  const auto in_use = catalogue.find("old");
  catalogue.assign({named("new")});
  EXPECT_EQ(catalogue.find("old"), nullptr);
  EXPECT_EQ(catalogue.all().size(), 1U);
  EXPECT_EQ(in_use->id, "old");
}

}  // namespace
}  // namespace turnpike::inference
