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

TEST(Demand, raises_every_part_of_the_price_in_proportion_and_rounds_up) {
  Model model;
  model.price = {.prompt_per_million = ledger::Money::nanousd(1'000),
                 .completion_per_million = ledger::Money::nanousd(7),
                 .per_request = ledger::Money::nanousd(100),
                 .included_output_tokens = 500,
                 .per_thousand_beyond = ledger::Money()};
  EXPECT_EQ(model.price_at(3, 4).prompt_per_million.nanousd(), 1'000) << "without demand it does not change";
  model.demand = Demand{.least_percent = 80, .most_percent = 240};
  EXPECT_EQ(model.price_at(0, 4).prompt_per_million.nanousd(), 800);
  EXPECT_EQ(model.price_at(1, 4).prompt_per_million.nanousd(), 1'200);
  EXPECT_EQ(model.price_at(4, 4).prompt_per_million.nanousd(), 2'400);
  EXPECT_EQ(model.price_at(9, 4).prompt_per_million.nanousd(), 2'400);
  EXPECT_EQ(model.price_at(0, 0).prompt_per_million.nanousd(), 800) << "no node, no demand";
  EXPECT_EQ(model.price_at(1, 4).completion_per_million.nanousd(), 9) << "8.4";
  EXPECT_EQ(model.price_at(1, 4).per_request.nanousd(), 120);
  EXPECT_EQ(model.price_at(1, 4).included_output_tokens, 500U);
  EXPECT_EQ(model.price_at(1, 4).per_thousand_beyond.nanousd(), 0);
  for (std::size_t busy = 0; busy < 1'000; ++busy) {
    ASSERT_LE(model.price_at(busy, 1'000).prompt_per_million, model.price_at(busy + 1, 1'000).prompt_per_million);
  }
}

}  // namespace
}  // namespace turnpike::inference
