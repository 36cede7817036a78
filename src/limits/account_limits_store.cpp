#include "account_limits_store.hpp"

#include "turnpike/storage/connection.hpp"

namespace turnpike::limits {

void WriteOverride::run(storage::Connection& connection) {
  connection.prepare("DELETE FROM account_limits WHERE account_id = ?").bind(account).run();
  if (over == Override()) return;
  // The columns are in the order of kNamedLimits, here and in load_overrides().
  auto row = connection.prepare(
      "INSERT INTO account_limits (account_id, tier, requests_per_minute, tokens_per_minute, tokens_per_day, "
      "concurrent_requests, concurrent_jobs) VALUES (?,?,?,?,?,?,?)");
  const std::string tier = over.tier.value_or("");
  row.bind(account).bind_text_or_null(tier);
  for (const auto& [name, limit] : kNamedLimits) {
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
    for (std::size_t i = 0; i < kNamedLimits.size(); ++i) {
      const auto column = static_cast<int>(i) + 2;
      if (!query.is_null(column))
        over.limits.*kNamedLimits.at(i).limit = static_cast<std::uint64_t>(query.integer(column));
    }
  }
  return overrides;
}

}  // namespace turnpike::limits
