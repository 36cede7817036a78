// Prices that follow demand, as a client sees them and pays them.
#include <gmock/gmock.h>

#include <utility>
#include <vector>

#include "support/network.hpp"

namespace turnpike::test {
namespace {

using nlohmann::json;

class DemandPricing : public NetworkTest {
 protected:
  // 4 slots; the price goes from its whole to three times that.
  void start() {
    add_node({}, {{"capacity", 4}});
    config["models"][0]["pricing"]["demand"] = {{"least_percent", 100}, {"most_percent", 300}};
    start_gateway();
    key = create_key("1000");
  }
  json quoted() {
    auto pricing = get(key, "/v1/models")["data"][0]["pricing"];
    pricing.erase("price_id");
    return pricing;
  }
  static json quote(const char* prompt, const char* completion) {
    return {{"prompt_per_million_usd", prompt}, {"completion_per_million_usd", completion}};
  }
  // A stream that goes on until it is let go; its job's id.
  std::string open() {
    streams.push_back(open_stream(key, chat("[[sim tokens=100000 ignore_max_tokens=1 interval_ms=20]] x", true)));
    return streams.back().second.header("x-turnpike-job-id");
  }
  // What the job was charged for its tokens, in percent of the model's whole price.
  std::int64_t percent_paid(const std::string& job) {
    for (const auto& charge : charges(key)) {
      if (charge["job_id"] != job) continue;
      auto nanousd = charge["amount_usdc"].get<std::string>().substr(std::string("-0.").size());
      nanousd.resize(9, '0');
      const auto& used = charge["usage"];
      const auto whole =
          used["prompt_tokens"].get<std::int64_t>() * 1'000 + used["completion_tokens"].get<std::int64_t>() * 2'000;
      return std::stoll(nanousd) * 100 / whole;
    }
    return 0;
  }

  std::string key;
  std::vector<std::pair<Client, Answer>> streams;
};

TEST_F(DemandPricing, quotes_a_price_that_rises_with_each_slot_in_use_and_falls_again) {
  start();
  EXPECT_EQ(quoted(), quote("1.00", "2.00"));
  open();
  EXPECT_EQ(quoted(), quote("1.50", "3.00"));
  open();
  EXPECT_EQ(quoted(), quote("2.00", "4.00"));
  open();
  EXPECT_EQ(quoted(), quote("2.50", "5.00"));
  open();
  EXPECT_EQ(quoted(), quote("3.00", "6.00"));
  for (auto& [client, answer] : streams) client.close();
  EXPECT_TRUE(eventually([&] { return quoted() == quote("1.00", "2.00"); })) << quoted();
}

TEST_F(DemandPricing, charges_a_request_the_price_of_when_it_was_held) {
  start();
  std::vector<std::string> jobs;
  for (int i = 0; i < 4; ++i) jobs.push_back(open());
  for (auto& [client, answer] : streams) ASSERT_TRUE(client.read_until(answer, "content\":\" "));
  // The first to come ends while all slots are in use, the last while only its own is.
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    streams[i].first.close();
    ASSERT_TRUE(eventually([&] { return charges(key).size() == i + 1; }));
  }
  EXPECT_EQ(percent_paid(jobs[0]), 100);
  EXPECT_EQ(percent_paid(jobs[1]), 150);
  EXPECT_EQ(percent_paid(jobs[2]), 200);
  EXPECT_EQ(percent_paid(jobs[3]), 250);
}

TEST_F(DemandPricing, asks_for_the_risen_price_before_a_node_is_asked) {
  start();
  // Pays for its upper bound at the price of an idle model, and not at one and a half times that.
  auto body = chat("[[sim tokens=1]] x");
  body["max_tokens"] = 1'000;
  const auto bound = 1'000 * 2'000 + (static_cast<std::int64_t>(body.dump().size()) + 64) * 1'000;
  ASSERT_LT(bound, 10'000'000) << "less than a credit";
  const auto poor = create_key("0." + std::to_string(10'000'000 + bound).substr(1));
  open();
  EXPECT_EQ(ask(poor, body).status, 402);
  for (auto& [client, answer] : streams) client.close();
  ASSERT_TRUE(eventually([&] { return quoted() == quote("1.00", "2.00"); }));
  EXPECT_EQ(ask(poor, body).status, 200);
}

}  // namespace
}  // namespace turnpike::test
