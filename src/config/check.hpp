// Checks a document against the table.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "turnpike/config/config.hpp"

namespace turnpike::config {

using Json = nlohmann::ordered_json;

// Collects faults in the one form they have: `FILE: /json/pointer: expected …, got …`.
class Report {
 public:
  explicit Report(std::string_view file) : file_(file) {}
  void add(std::string_view pointer, std::string_view expected, std::string_view got);
  [[nodiscard]] bool empty() const { return faults_.empty(); }
  [[nodiscard]] Faults take() { return std::move(faults_); }

 private:
  std::string file_;
  Faults faults_;
};

// Reports every member that is unknown, missing, of the wrong type or out of range, and fills in the defaults of what
// was left out. With an empty report every row of the table can be read from `document`.
void check(Json& document, Report& report);

// True for http:// and https:// with a host, at most a port from 1 to 65535, and neither user nor query.
[[nodiscard]] bool is_url(std::string_view text);

}  // namespace turnpike::config
