// What a schema is kept as.
#pragma once

#include <re2/re2.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <unordered_map>

#include "turnpike/schema/schema.hpp"

namespace turnpike::schema {

using nlohmann::json;

// Containers within one another, in a schema and in what is checked: either is walked by recursion.
inline constexpr std::size_t kMostNesting = 128;

// How deep the containers of well-formed JSON lie within one another, at the deepest.
[[nodiscard]] std::size_t nesting_of(std::string_view json);

// The member's value; null: there is none.
[[nodiscard]] inline const json* member(const json& object, std::string_view name) {
  const auto found = object.find(name);
  return found == object.end() ? nullptr : &*found;
}

struct Schema::Parts {
  json root;
  std::unordered_map<std::string, const json*> targets;  // by reference
  // By source. Null: one that RE2 does not know.
  std::unordered_map<std::string, std::unique_ptr<const re2::RE2>> patterns;
};

}  // namespace turnpike::schema
