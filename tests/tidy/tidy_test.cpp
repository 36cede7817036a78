// Habits that the project has banned, looked for in its own source (CONTRIBUTING.md says why each).
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

namespace turnpike {
namespace {

namespace fs = std::filesystem;

struct Source {
  std::string path;  // from the project's folder
  std::vector<std::string> lines;
};

const std::vector<Source>& sources() {
  static const std::vector<Source> all = [] {
    std::vector<Source> found;
    const fs::path root = TURNPIKE_SOURCE_DIR;
    for (const auto* folder : {"include", "src"}) {
      for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
        const auto extension = entry.path().extension();
        if (extension != ".cpp" && extension != ".hpp") continue;
        Source source{fs::relative(entry.path(), root).string(), {}};
        std::ifstream in(entry.path());
        for (std::string line; std::getline(in, line);) source.lines.push_back(line);
        found.push_back(std::move(source));
      }
    }
    return found;
  }();
  return all;
}

// A line without its comment.
std::string code_of(const std::string& line) {
  const auto comment = line.find("//");
  return comment == std::string::npos ? line : line.substr(0, comment);
}

// Every line of the sources that `applies` picks which matches `banned`, as FILE:LINE: text.
std::string offences(const std::function<bool(const std::string&)>& applies, const std::string& banned) {
  const std::regex pattern(banned);
  std::ostringstream out;
  for (const auto& source : sources()) {
    if (!applies(source.path)) continue;
    for (std::size_t i = 0; i < source.lines.size(); ++i) {
      if (std::regex_search(code_of(source.lines[i]), pattern)) {
        out << source.path << ":" << i + 1 << ": " << source.lines[i] << "\n";
      }
    }
  }
  return out.str();
}

bool any(const std::string& /*path*/) {
  return true;
}
bool is_public_header(const std::string& path) {
  return path.starts_with("include/");
}
bool is_header(const std::string& path) {
  return path.ends_with(".hpp");
}

TEST(Tidy, sources_are_found) {
  EXPECT_GT(sources().size(), 60U);
}

TEST(Tidy, no_coroutine_is_detached) {
  EXPECT_EQ(offences(any, R"(\bdetached\b)"), "");
}

TEST(Tidy, no_read_goes_into_a_parsers_message) {
  // A body limit is void when reading into parser.get().
  EXPECT_EQ(offences(any, R"(read[a-z_]*\(.*parser[a-z_]*\.get\(\))"), "");
}

TEST(Tidy, public_headers_include_no_whole_library) {
  const std::string banned =
      R"(#include <(boost/asio\.hpp|boost/beast\.hpp|boost/beast/http\.hpp|nlohmann/json\.hpp|simdjson\.h|sqlite3\.h))";
  EXPECT_EQ(offences(is_public_header, banned), "");
}

TEST(Tidy, sql_lives_in_stores) {
  const auto elsewhere = [](const std::string& path) {
    return !path.ends_with("_store.cpp") && path.find("src/storage/") == std::string::npos;
  };
  EXPECT_EQ(offences(elsewhere, R"("(SELECT|INSERT|UPDATE|DELETE|CREATE TABLE|PRAGMA)\s)"), "");
}

TEST(Tidy, money_never_floats) {
  const auto money = [](const std::string& path) { return path.find("/ledger/") != std::string::npos; };
  EXPECT_EQ(offences(money, R"(\b(float|double)\b)"), "");
}

TEST(Tidy, nothing_sleeps_in_place_of_a_wait) {
  EXPECT_EQ(offences(any, R"(this_thread::sleep|\busleep\()"), "");
}

TEST(Tidy, no_name_says_nothing) {
  EXPECT_EQ(offences(any, R"(^\s*(class|struct) \w*(Manager|Helper|Util|Data)\b)"), "");
}

TEST(Tidy, no_promise_is_left_in_a_comment) {
  const std::regex pattern(R"(\b(TODO|FIXME|XXX)\b)");
  for (const auto& source : sources()) {
    for (std::size_t i = 0; i < source.lines.size(); ++i) {
      EXPECT_FALSE(std::regex_search(source.lines[i], pattern)) << source.path << ":" << i + 1;
    }
  }
}

TEST(Tidy, a_function_fits_on_a_screen) {
  constexpr std::size_t kMostLines = 70;
  for (const auto& source : sources()) {
    if (is_header(source.path)) continue;
    // The formatter puts a function's opening line and its closing brace in the first column.
    std::size_t began = 0;
    std::string name;
    for (std::size_t i = 0; i < source.lines.size(); ++i) {
      const auto& line = source.lines[i];
      const bool opens = !line.empty() && line.front() != ' ' && line.front() != '}' && line.ends_with(") {");
      if (opens) {
        began = i;
        name = line;
      }
      if (line == "}" && !name.empty()) {
        EXPECT_LE(i - began, kMostLines) << source.path << ":" << began + 1 << ": " << name;
        name.clear();
      }
    }
  }
}

}  // namespace
}  // namespace turnpike
