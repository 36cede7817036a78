// A strict walk over JSON: simdjson's on-demand cursor finds the structure (its first stage is vectorised for the
// machine it runs on and checks UTF-8 and control characters); every scalar is checked here against the grammar,
// because on-demand passes over what nobody asks for.
#pragma once

#include <simdjson.h>

#include <string_view>

#include "turnpike/scan/scan.hpp"

namespace turnpike::scan {

namespace od = simdjson::ondemand;

inline constexpr int kMostDepth = 64;

std::string_view trimmed(std::string_view token);
bool is_number(std::string_view token);
// A scalar's token: string, number, true, false or null by the grammar of RFC 8259.
bool is_scalar(std::string_view token);
bool is_string(std::string_view token);

// The token of a scalar, without white space. Empty when it cannot be read.
std::string_view token_of(od::value& value);

// True when `value` and all in it is well-formed.
bool walk(od::value value, int depth);

// Takes a member apart; its key has its escapes undone, and is good until the next string is read.
bool open_member(simdjson::simdjson_result<od::field> item, std::string_view& key, od::value& value);

// True when nothing follows the value that was read to its end.
bool at_end(od::document& document);

}  // namespace turnpike::scan
