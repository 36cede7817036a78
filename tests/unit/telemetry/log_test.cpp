#include "turnpike/telemetry/log.hpp"

#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <nlohmann/json.hpp>
#include <string>

namespace turnpike::telemetry {
namespace {

// What is written to standard output while `work` runs.
template <class Work>
std::string written(Work work) {
  testing::internal::CaptureStdout();
  work();
  spdlog::default_logger()->flush();
  return testing::internal::GetCapturedStdout();
}

TEST(Log, a_line_of_json_holds_any_message_whole) {
  const std::string message = "quote \" backslash \\ line\nbreak\r\ttab \x01 é";
  const auto line = written([&] {
    start_log("info", true);
    spdlog::info("{}", message);
  });
  ASSERT_EQ(line.find('\n'), line.size() - 1);
  const auto parsed = nlohmann::json::parse(line);
  EXPECT_EQ(parsed["message"], message);
  EXPECT_EQ(parsed["level"], "info");
}

TEST(Log, what_is_below_its_level_is_not_written) {
  const auto lines = written([] {
    start_log("warn", false);
    spdlog::info("quiet");
    set_log_level("info");
    spdlog::info("loud");
  });
  EXPECT_EQ(lines.find("quiet"), std::string::npos);
  EXPECT_NE(lines.find("loud"), std::string::npos);
}

}  // namespace
}  // namespace turnpike::telemetry
