#include "turnpike/telemetry/metrics.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace turnpike::telemetry {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

TEST(Metrics, counts_requests_by_route_and_status) {
  Metrics metrics;
  metrics.request("chat", 200, seconds(1));
  metrics.request("chat", 200, seconds(1));
  metrics.request("chat", 429, seconds(1));
  metrics.request("models", 200, seconds(1));
  const auto page = metrics.page();
  EXPECT_THAT(page, HasSubstr("turnpike_requests_total{route=\"chat\",status=\"200\"} 2\n"));
  EXPECT_THAT(page, HasSubstr("turnpike_requests_total{route=\"chat\",status=\"429\"} 1\n"));
  EXPECT_THAT(page, HasSubstr("turnpike_requests_total{route=\"models\",status=\"200\"} 1\n"));
}

TEST(Metrics, times_requests_in_seconds) {
  Metrics metrics;
  metrics.request("chat", 200, milliseconds(20));
  metrics.request("chat", 200, milliseconds(480));
  const auto page = metrics.page();
  EXPECT_THAT(page, HasSubstr("turnpike_request_duration_seconds_count{route=\"chat\"} 2\n"));
  EXPECT_THAT(page, HasSubstr("turnpike_request_duration_seconds_sum{route=\"chat\"} 0.5\n"));
  EXPECT_THAT(page, HasSubstr("turnpike_request_duration_seconds_bucket{route=\"chat\",le=\"0.025\"} 1\n"));
}

TEST(Metrics, reads_sources_for_each_page) {
  Metrics metrics;
  double holds = 1;
  metrics.add_source([&holds](std::vector<Reading>& out) {
    out.push_back({.name = "turnpike_open_holds", .help = "Holds", .label = "", .label_value = "", .value = holds});
  });
  EXPECT_THAT(metrics.page(), HasSubstr("turnpike_open_holds 1\n"));
  holds = 2;
  const auto page = metrics.page();
  EXPECT_THAT(page, HasSubstr("turnpike_open_holds 2\n"));
  EXPECT_THAT(page, HasSubstr("# HELP turnpike_open_holds Holds\n# TYPE turnpike_open_holds gauge\n"));
}

TEST(Metrics, readings_of_one_name_are_one_family) {
  Metrics metrics;
  for (const auto* node : {"a", "b\"x"}) {
    metrics.add_source([node](std::vector<Reading>& out) {
      out.push_back({.name = "turnpike_node_failures_total",
                     .help = "Failures",
                     .label = "node",
                     .label_value = node,
                     .value = 3,
                     .counter = true});
    });
  }
  const auto page = metrics.page();
  const std::string type = "# TYPE turnpike_node_failures_total counter\n";
  EXPECT_THAT(page, HasSubstr(type));
  EXPECT_EQ(page.find(type), page.rfind(type));
  EXPECT_THAT(page, HasSubstr("turnpike_node_failures_total{node=\"a\"} 3\n"));
  EXPECT_THAT(page, HasSubstr("turnpike_node_failures_total{node=\"b\\\"x\"} 3\n"));
}

}  // namespace
}  // namespace turnpike::telemetry
