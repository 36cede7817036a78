// `turnpike dev`, twice on one machine.
#include <gtest/gtest.h>

#include <csignal>
#include <fstream>
#include <nlohmann/json.hpp>

#include "common/temp_folder.hpp"
#include "support/process.hpp"

namespace turnpike::test {
namespace {

using nlohmann::json;

const std::string kProgram = TURNPIKE_BINARY_DIR "/turnpike";

class DevTest : public testing::Test {
 protected:
  std::unique_ptr<Child> begin(const std::string& name) {
    return std::make_unique<Child>(
        std::vector<std::string>{kProgram, "dev", "--listen", "127.0.0.1:0", "--data-dir", folder.file(name)},
        folder.file(name + ".log"));
  }
  std::unique_ptr<Child> start(const std::string& name) {
    auto child = begin(name);
    child->wait_for_output("curl -N ");
    return child;
  }
  json listening(const std::string& name) {
    std::ifstream file(folder.file(name + "/listening.json"));
    return json::parse(file);
  }
  TempFolder folder;
};

TEST_F(DevTest, two_run_side_by_side_and_tools_find_each) {
  const auto one = start("one");
  const auto two = start("two");
  EXPECT_NE(listening("one")["admin"], listening("two")["admin"]);
  for (const auto* name : {"one", "two"}) {
    const auto& child = name == std::string("one") ? *one : *two;
    EXPECT_NE(child.output().find("admin on http://" + listening(name)["admin"].get<std::string>()), std::string::npos);
    const auto listed =
        run({kProgram, "keys", "list", "--json", "--data-dir", folder.file(name)}, folder.file("listed"));
    EXPECT_EQ(listed.code, 0) << listed.output;
    // Its own key and no other: the welcome shows the key, the list its first characters.
    const auto display = json::parse(listed.output)["display"].get<std::string>();
    EXPECT_NE(child.output().find(display), std::string::npos) << listed.output;
  }
  for (const auto* child : {one.get(), two.get()}) child->signal(SIGTERM);
  EXPECT_EQ(one->wait(), 0);
  EXPECT_EQ(two->wait(), 0);
}

TEST_F(DevTest, those_that_start_at_the_same_moment_all_run) {
  std::vector<std::unique_ptr<Child>> all;
  for (const auto* name : {"a", "b", "c", "d", "e", "f"}) all.push_back(begin(name));
  for (const auto& child : all) child->wait_for_output("curl -N ");
  for (const auto& child : all) child->signal(SIGTERM);
  for (const auto& child : all) EXPECT_EQ(child->wait(), 0);
}

TEST_F(DevTest, a_terminal_that_is_closed_ends_it_in_order) {
  const auto dev = start("dev");
  dev->signal(SIGHUP);
  EXPECT_EQ(dev->wait(), 0) << dev->output();
}

}  // namespace
}  // namespace turnpike::test
