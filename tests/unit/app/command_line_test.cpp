#include "turnpike/app/command_line.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "common/temp_folder.hpp"
#include "turnpike/config/config.hpp"

namespace turnpike::app {
namespace {

struct Ran {
  int code = 0;
  std::string output;
  std::string errors;
};

Ran run(std::initializer_list<std::string> arguments) {
  std::vector<std::string> words{"turnpike"};
  words.insert(words.end(), arguments);
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  Ran ran;
  ran.code = run_command_line(static_cast<int>(argv.size()), argv.data());
  ran.output = testing::internal::GetCapturedStdout();
  ran.errors = testing::internal::GetCapturedStderr();
  return ran;
}

class CommandLine : public testing::Test {
 protected:
  std::string file(const std::string& text) {
    std::ofstream(folder.file("turnpike.json")) << text;
    return folder.file("turnpike.json");
  }
  turnpike::test::TempFolder folder;
};

TEST_F(CommandLine, says_its_version) {
  EXPECT_EQ(run({"version"}).output, "turnpike " TURNPIKE_VERSION "\n");
  EXPECT_EQ(run({"--version"}).code, 0);
}

TEST_F(CommandLine, wrong_use_is_code_2_and_help_is_not) {
  EXPECT_EQ(run({}).code, 2);
  EXPECT_EQ(run({"fly"}).code, 2);
  EXPECT_EQ(run({"keys"}).code, 2);
  EXPECT_EQ(run({"keys", "revoke"}).code, 2);
  EXPECT_EQ(run({"credits", "grant", "--account", "acct_x"}).code, 2);
  EXPECT_EQ(run({"payments", "resolve", "pay_x"}).code, 2);
  EXPECT_EQ(run({"payments", "resolve", "pay_x", "--tx", "0x", "--refused"}).code, 2);
  EXPECT_EQ(run({"config", "check"}).code, 2);
  EXPECT_EQ(run({"keys", "create", "--help"}).code, 0);
}

TEST_F(CommandLine, config_check_tells_every_fault_a_line_each) {
  const std::string good = file(R"({"models": [{"id": "m", "context_window": 1}]})");
  EXPECT_EQ(run({"config", "check", good}).code, 0);
  const std::string bad = file(R"({"listen": 5, "colour": "red"})");
  const Ran ran = run({"config", "check", bad});
  EXPECT_EQ(ran.code, 1);
  EXPECT_EQ(std::ranges::count(ran.errors, '\n'), 2);
  EXPECT_NE(ran.errors.find(bad + ": /listen: expected an address and a port"), std::string::npos) << ran.errors;
}

TEST_F(CommandLine, config_check_looks_at_the_dialects_too) {
  const Ran ran = run({"config", "check", file(R"({"network": {"default_dialect": "klingon"}})")});
  EXPECT_EQ(ran.code, 1);
  EXPECT_NE(ran.errors.find("there is no dialect \"klingon\""), std::string::npos) << ran.errors;
}

TEST_F(CommandLine, prints_the_reference_and_the_schema) {
  EXPECT_EQ(run({"config", "docs"}).output, config::documentation());
  EXPECT_EQ(run({"config", "schema"}).output, config::json_schema());
}

TEST_F(CommandLine, says_when_no_gateway_was_ever_started_there) {
  const Ran ran = run({"keys", "list", "--data-dir", folder.file("data")});
  EXPECT_EQ(ran.code, 1);
  EXPECT_NE(ran.errors.find("admin.token"), std::string::npos) << ran.errors;
}

TEST_F(CommandLine, says_when_no_gateway_answers) {
  std::ofstream(folder.file("admin.token")) << "token\n";
  // Port 9 (discard) of the loopback: nothing listens there.
  std::ofstream(folder.file("listening.json")) << R"({"listen": "127.0.0.1:9", "admin": "127.0.0.1:9"})";
  const Ran ran = run({"nodes", "list", "--data-dir", folder.path().string()});
  EXPECT_EQ(ran.code, 1);
  EXPECT_NE(ran.errors.find("no gateway answers at 127.0.0.1:9 (Connection refused)"), std::string::npos) << ran.errors;
}

TEST_F(CommandLine, ledger_check_makes_no_database) {
  const Ran ran = run({"ledger", "check", "--data-dir", folder.path().string()});
  EXPECT_EQ(ran.code, 1);
  EXPECT_FALSE(std::filesystem::exists(folder.file("turnpike.db")));
}

}  // namespace
}  // namespace turnpike::app
