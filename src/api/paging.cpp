#include "paging.hpp"

#include <charconv>
#include <string>

namespace turnpike::api {
namespace {

constexpr int kMostLimit = 200;

// A whole number in a query; nullopt when malformed.
std::optional<std::int64_t> whole_number(const std::string& text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

Result<int> read_limit(const http::Request& request) {
  const auto text = request.query_value("limit");
  if (!text) return Paging().limit;
  const auto value = whole_number(*text);
  if (!value || *value < 1 || *value > kMostLimit) {
    return fail(Fault::invalid_request, "limit must be a whole number from 1 to 200", "limit");
  }
  return static_cast<int>(*value);
}

Result<Paging> read_paging(const http::Request& request) {
  Paging paging;
  const auto limit = read_limit(request);
  if (!limit) return std::unexpected(limit.error());
  paging.limit = *limit;
  if (const auto text = request.query_value("cursor")) {
    paging.before = whole_number(*text);
    if (!paging.before) {
      return fail(Fault::invalid_request, "cursor must be the next_cursor of another page", "cursor");
    }
  }
  return paging;
}

}  // namespace turnpike::api
