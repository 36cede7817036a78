// The page of a list that a request asks for.
#pragma once

#include <cstdint>
#include <optional>

#include "turnpike/base/error.hpp"
#include "turnpike/http/request.hpp"

namespace turnpike::api {

struct Paging {
  int limit = 50;
  std::optional<std::int64_t> before;  // the entry that the page before ended with
};

// By the query's `limit` (1 to 200) and `cursor`. Errors: invalid_request, with the member.
[[nodiscard]] Result<Paging> read_paging(const http::Request& request);

// The query's `limit` alone.
[[nodiscard]] Result<int> read_limit(const http::Request& request);

}  // namespace turnpike::api
