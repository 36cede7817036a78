// The reference page and the JSON Schema, printed from the table.
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "table.hpp"
#include "turnpike/config/config.hpp"

namespace turnpike::config {
namespace {

using Json = nlohmann::ordered_json;

bool has_members(const Row& row) {
  return row.kind == Kind::object || row.kind == Kind::optional_object || row.kind == Kind::list ||
         row.kind == Kind::map;
}

std::string pattern_of_members(const Row& row) {
  return std::string(row.path) + (row.kind == Kind::list || row.kind == Kind::map ? "/*" : "");
}

std::string default_cell(const Row& row) {
  return row.fallback.empty() ? "required" : "`" + std::string(row.fallback) + "`";
}

// A `|` would end the cell.
std::string cell(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '|') out += '\\';
    out += c;
  }
  return out;
}

void append_section(std::string& out, std::string_view pattern) {
  out += "\n| Member | Default | Value | |\n| --- | --- | --- | --- |\n";
  for (const Row& row : table()) {
    if (parent_of(row) != pattern) continue;
    out += "| `" + std::string(leaf_of(row)) + "` | " + cell(default_cell(row)) + " | " + cell(expectation_of(row)) +
           " | " + cell(row.doc) + " |\n";
  }
}

std::string heading_of(const Row& row) {
  std::string path(pattern_of_members(row));
  for (std::size_t at = path.find('/'); at != std::string::npos; at = path.find('/', at)) {
    const bool element = path.compare(at, 2, "/*") == 0;
    if (element) {
      path.replace(at, 2, row.path.starts_with("tiers") ? ".NAME" : "[]");
    } else {
      path[at] = '.';
    }
  }
  return path;
}

Json object_schema(std::string_view pattern);

Json pattern_schema(std::string_view pattern) {
  return {{"type", "string"}, {"pattern", pattern}};
}

Json value_schema(const Row& row) {
  switch (row.kind) {
    case Kind::object:
    case Kind::optional_object:
      return object_schema(row.path);
    case Kind::list:
      return {{"type", "array"}, {"items", object_schema(pattern_of_members(row))}};
    case Kind::map:
      return {{"type", "object"}, {"additionalProperties", object_schema(pattern_of_members(row))}};
    case Kind::text_map:
      return {{"type", "object"}, {"additionalProperties", {{"type", "string"}}}};
    case Kind::text:
      return {{"type", "string"}, {"minLength", row.least}};
    case Kind::name:
      return pattern_schema("^[A-Za-z0-9_.:/@-]{1,128}$");
    case Kind::texts:
    case Kind::networks:
      return {{"type", "array"}, {"items", {{"type", "string"}}}};
    case Kind::flag:
      return {{"type", "boolean"}};
    case Kind::count:
      return {{"type", "integer"}, {"minimum", row.least}, {"maximum", row.most}};
    case Kind::decimal:
      return pattern_schema("^[0-9]+(\\.[0-9]{1,9})?$");
    case Kind::share:
      return pattern_schema("^(0(\\.[0-9]{1,6})?|1(\\.0{1,6})?)$");
    case Kind::listen:
      return pattern_schema(":[0-9]{1,5}$");
    case Kind::url:
      return pattern_schema("^https?://");
    case Kind::choice:
      break;
  }
  return {{"type", "string"}};
}

std::vector<std::string> choices_of(const Row& row) {
  std::vector<std::string> choices;
  for (std::string_view left = row.choices; !left.empty();) {
    choices.emplace_back(left.substr(0, left.find('|')));
    left.remove_prefix(std::min(choices.back().size() + 1, left.size()));
  }
  return choices;
}

Json member_schema(const Row& row) {
  Json schema = value_schema(row);
  if (row.kind == Kind::choice) schema["enum"] = choices_of(row);
  if (row.kind == Kind::texts && !row.choices.empty()) schema["items"]["enum"] = choices_of(row);
  if (row.fallback == "null") schema["type"] = {schema["type"], "null"};
  schema["description"] = row.doc;
  if (!row.fallback.empty()) schema["default"] = Json::parse(row.fallback);
  return schema;
}

Json object_schema(std::string_view pattern) {
  Json schema{{"type", "object"}, {"additionalProperties", false}, {"properties", Json::object()}};
  Json required = Json::array();
  for (const Row& row : table()) {
    if (parent_of(row) != pattern) continue;
    schema["properties"][std::string(leaf_of(row))] = member_schema(row);
    if (row.fallback.empty()) required.push_back(leaf_of(row));
  }
  if (!required.empty()) schema["required"] = std::move(required);
  return schema;
}

}  // namespace

std::string documentation() {
  std::string out =
      "# Configuration\n\n"
      "Printed by `turnpike config docs` from the table that checks the file; a test compares the two.\n\n"
      "The file is JSON with comments; `config/turnpike.json` is an example and `config/turnpike.schema.json` a schema "
      "for editors.\n`turnpike config check FILE` tells every fault at once, a line each: "
      "`FILE: /json/pointer: expected …, got …`. Unknown members are faults.\n"
      "Secrets are named by environment variable or file, never written in it.\n\n"
      "On `SIGHUP` the file is read again: models, prices, nodes, shares, tiers and the log level change without a "
      "restart, all or nothing.\n\n## The file\n";
  append_section(out, "");
  for (const Row& row : table()) {
    if (!has_members(row)) continue;
    out += "\n## `" + heading_of(row) + "`\n\n" + std::string(row.doc) + "\n";
    append_section(out, pattern_of_members(row));
  }
  return out;
}

std::string json_schema() {
  Json schema{{"$schema", "https://json-schema.org/draft/2020-12/schema"}, {"title", "Turnpike configuration"}};
  schema.update(object_schema(""));
  return schema.dump(2) + "\n";
}

}  // namespace turnpike::config
