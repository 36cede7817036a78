#pragma once

#include <simdjson.h>

#include "turnpike/scan/scan.hpp"

namespace turnpike::scan {

// Documents above this size get a parser of their own, so that one large request does not leave its memory behind.
inline constexpr std::size_t kKeptCapacity = 64 * 1024;

struct Scanner::Parsers {
  simdjson::ondemand::parser request;
  simdjson::ondemand::parser answer;
};

}  // namespace turnpike::scan
