#include "print.hpp"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace turnpike::app {
namespace {

using nlohmann::json;

std::string text_of(const json& value) {
  if (value.is_null()) return "-";
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_array()) return value.dump();
  std::string items;
  for (const json& item : value) items += (items.empty() ? "" : ",") + text_of(item);
  return items.empty() ? "-" : items;
}

std::string cell(const json& row, const char* member) {
  const auto found = row.find(member);
  return found == row.end() ? "-" : text_of(*found);
}

void put(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
}

std::string padded(std::string text, std::size_t width) {
  if (text.size() < width) text.append(width - text.size(), ' ');
  return text;
}

void put_line(std::string line) {
  line.erase(line.find_last_not_of(' ') + 1);
  put(line + "\n");
}

}  // namespace

void print_rows(Output output, const std::vector<Column>& columns, const json& rows) {
  if (output == Output::json) {
    for (const json& row : rows) put(row.dump() + "\n");
    return;
  }
  std::vector<std::size_t> widths;
  for (const Column& column : columns) {
    std::size_t width = column.title.size();
    for (const json& row : rows) width = std::max(width, cell(row, column.member).size());
    widths.push_back(width);
  }
  std::string head;
  for (std::size_t i = 0; i < columns.size(); ++i) head += padded(std::string(columns[i].title), widths[i] + 2);
  put_line(std::move(head));
  for (const json& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < columns.size(); ++i) line += padded(cell(row, columns[i].member), widths[i] + 2);
    put_line(std::move(line));
  }
}

void print_one(Output output, const std::vector<Column>& columns, const json& row) {
  if (output == Output::json) {
    put(row.dump() + "\n");
    return;
  }
  std::size_t width = 0;
  for (const Column& column : columns) width = std::max(width, column.title.size());
  for (const Column& column : columns) {
    put_line(padded(std::string(column.title), width + 2) + cell(row, column.member));
  }
}

int complain(std::string_view message) {
  const std::string line = "turnpike: " + std::string(message) + "\n";
  std::fwrite(line.data(), 1, line.size(), stderr);
  return 1;
}

}  // namespace turnpike::app
