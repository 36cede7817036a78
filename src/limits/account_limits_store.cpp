#include "account_limits_store.hpp"

#include <array>
#include <limits>

#include "turnpike/storage/connection.hpp"

namespace turnpike::limits {
namespace {

using Limit = std::optional<std::uint64_t>;

// In the order of the columns.
constexpr std::array<Limit Tier::*, 5> kLimits{&Tier::requests_per_minute, &Tier::tokens_per_minute,
                                               &Tier::tokens_per_day, &Tier::concurrent_requests,
                                               &Tier::concurrent_jobs};

}  // namespace

void WriteOverride::run(storage::Connection& connection) {
  connection.prepare("DELETE FROM account_limits WHERE account_id = ?").bind(account).run();
  if (over == Override()) return;
  auto row = connection.prepare(
      "INSERT INTO account_limits (account_id, tier, requests_per_minute, tokens_per_minute, tokens_per_day, "
      "concurrent_requests, concurrent_jobs) VALUES (?,?,?,?,?,?,?)");
  const std::string tier = over.tier.value_or("");
  row.bind(account).bind_text_or_null(tier);
  for (const auto limit : kLimits) {
    const auto& value = over.limits.*limit;
    row.bind(value ? std::optional(static_cast<std::int64_t>(*value)) : std::nullopt);
  }
  row.run();
}

std::unordered_map<std::int64_t, Override> load_overrides(storage::Connection& connection) {
  std::unordered_map<std::int64_t, Override> overrides;
  auto query = connection.prepare(
      "SELECT account_id, tier, requests_per_minute, tokens_per_minute, tokens_per_day, concurrent_requests, "
      "concurrent_jobs FROM account_limits");
  while (query.step()) {
    Override& over = overrides[query.integer(0)];
    if (!query.is_null(1)) over.tier = query.text(1);
    for (std::size_t i = 0; i < kLimits.size(); ++i) {
      const auto column = static_cast<int>(i) + 2;
      if (!query.is_null(column)) over.limits.*kLimits.at(i) = static_cast<std::uint64_t>(query.integer(column));
    }
  }
  return overrides;
}

}  // namespace turnpike::limits
