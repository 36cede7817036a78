// The table that the configuration is: a row a member. Checking, defaults, the reference page and the JSON Schema all
// come from it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace turnpike::config {

enum class Kind : std::uint8_t {
  object,           // members are the rows below it
  optional_object,  // the same, or null
  list,             // an array of objects: the rows below it under `*`
  map,              // an object whose members bear any name: the rows below it under `*`
  text_map,         // an object whose members are strings
  text,             // a string; `least` is its least length
  name,             // a string of letters, digits and - _ . : / @, at most 128 long
  texts,            // an array of strings; with `choices`, of those
  networks,         // an array of IP addresses and networks
  flag,
  count,    // a whole number from `least` to `most`
  decimal,  // dollars as a decimal string of at most 9 decimals, not below zero
  share,    // a part of one as a decimal string of at most 6 decimals, "0" to "1"
  choice,   // one of `choices`
  listen,   // ADDR:PORT
  url,      // http:// or https://
};

struct Row {
  std::string_view path;  // members separated by '/'; `*` stands for every element of a list or map
  Kind kind;
  std::string_view fallback;  // the default as JSON; empty: must be given; "null": may be left out
  std::string_view doc;       // one sentence
  std::int64_t least = 0;
  std::int64_t most = 0;
  std::string_view choices = {};  // separated by '|'
};

// In the order of documentation; the rows of an object follow it.
[[nodiscard]] std::span<const Row> table();

// The last member of a row's path, and what is before it.
[[nodiscard]] std::string_view leaf_of(const Row& row);
[[nodiscard]] std::string_view parent_of(const Row& row);

// What a value must be, in words: "a whole number from 1 to 65536".
[[nodiscard]] std::string expectation_of(const Row& row);

}  // namespace turnpike::config
