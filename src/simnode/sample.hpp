// A value for a JSON schema, as a model that keeps to one would write it.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace turnpike::simnode {

// JSON that fits `schema` as far as types, members, enumerations, bounds of numbers, least lengths, references within
// it and the first of several alternatives go; other keywords are passed over. Every member of an object is there, and
// an array has one item unless it must have more. A value that would lie too deep, or be one too many,
// is null.
[[nodiscard]] std::string sample_of(const nlohmann::json& schema);

}  // namespace turnpike::simnode
