// What commands print: aligned columns for people, one JSON object a line for programs.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace turnpike::app {

enum class Output : std::uint8_t { table, json };

struct Column {
  std::string_view title;
  const char* member;  // of each row
};

// Rows are objects; null and absent members are shown as "-", arrays as their items with commas.
void print_rows(Output output, const std::vector<Column>& columns, const nlohmann::json& rows);

// One object: a line for each column as `title  value`.
void print_one(Output output, const std::vector<Column>& columns, const nlohmann::json& row);

// Tells on stderr what went wrong; returns the exit code 1.
int complain(std::string_view message);

}  // namespace turnpike::app
