#include "turnpike/api/status_api.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace turnpike::api {
namespace {

using nlohmann::json;

class StatusApiTest : public testing::Test {
 protected:
  static json json_of(const http::Response& response) { return json::parse(response.body); }

  HeldClock clock;
  Status status{.draining = false, .storage_ok = true, .nodes_live = 2, .nodes_total = 3};
  telemetry::Metrics metrics;
  StatusApi api{
      [this] { return status; }, {.name = "mine", .version = "1.2.3", .dialects = {"dria", "drm3"}}, metrics, clock};
};

using Health = StatusApiTest;

TEST_F(Health, says_what_runs_and_since_when) {
  clock.advance(std::chrono::milliseconds(61'900));
  const auto response = api.health();
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(json_of(response),
            (json{{"status", "ok"},
                  {"version", "1.2.3"},
                  {"uptime_secs", 61},
                  {"nodes", {{"live", 2}, {"total", 3}}},
                  {"queue", {{"queued", 0}, {"processing", 0}, {"dead", 0}, {"oldest_age_secs", 0}}}}));
}

TEST_F(Health, a_gateway_that_drains_is_taken_out_of_rotation) {
  status.draining = true;
  EXPECT_EQ(api.health().status, 503);
  EXPECT_EQ(json_of(api.health())["status"], "draining");
  EXPECT_EQ(api.ready().status, 503);
  EXPECT_EQ(json_of(api.ready()), (json{{"ready", false}, {"reason", "draining"}}));
}

TEST_F(Health, a_ledger_that_cannot_be_written_is_not_ready_for_paid_work) {
  status.storage_ok = false;
  EXPECT_EQ(api.health().status, 503);
  EXPECT_EQ(json_of(api.health())["status"], "no_storage");
  EXPECT_EQ(api.ready().status, 503);
  EXPECT_EQ(json_of(api.ready())["ready"], false);
  EXPECT_NE(json_of(api.ready())["reason"].get<std::string>().find("ledger"), std::string::npos);
}

TEST_F(Health, without_a_live_node_it_is_still_ready_for_those_that_come) {
  status.nodes_live = 0;
  EXPECT_EQ(api.ready().status, 200);
  EXPECT_EQ(json_of(api.ready()), (json{{"ready", true}}));
}

using WellKnown = StatusApiTest;

TEST_F(WellKnown, names_the_gateway_and_what_it_speaks) {
  EXPECT_EQ(
      json_of(api.well_known()),
      (json{{"name", "mine"}, {"version", "1.2.3"}, {"dialects", {"dria", "drm3"}}, {"receipt_keys", json::array()}}));
}

}  // namespace
}  // namespace turnpike::api
