// The routes of the admin listener for an account's limits.
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "json_body.hpp"
#include "turnpike/api/admin_api.hpp"

namespace turnpike::api {

using nlohmann::json;

namespace {

constexpr std::size_t kMostBodyBytes = 4096;
constexpr std::uint64_t kMost = 1'125'899'906'842'624;  // as in `tiers`

Result<std::optional<std::uint64_t>> read_limit(const json& body, const char* name) {
  const auto found = body.find(name);
  if (found == body.end() || found->is_null()) return std::nullopt;
  if (*found == "none") return 0;
  if (found->is_number_unsigned()) {
    const auto value = found->get<std::uint64_t>();
    if (value >= 1 && value <= kMost) return value;
  }
  return fail(Fault::invalid_request, std::string(name) + " must be a whole number from 1, or \"none\"", name);
}

Result<limits::Override> read_override(const json& body, const Tiers& tiers) {
  limits::Override over;
  auto tier = optional_text(body, "tier");
  if (!tier) return std::unexpected(std::move(tier).error());
  if (*tier && !tiers.contains(**tier)) {
    return fail(Fault::invalid_request, "there is no tier \"" + **tier + "\"", "tier");
  }
  over.tier = *std::move(tier);
  for (const auto& [name, limit] : limits::kNamedLimits) {
    const auto value = read_limit(body, name);
    if (!value) return std::unexpected(value.error());
    over.limits.*limit = *value;
  }
  return over;
}

json render(const std::string& account, const limits::Override& over) {
  json answer{{"account_id", account}, {"tier", over.tier ? json(*over.tier) : json(nullptr)}};
  for (const auto& [name, limit] : limits::kNamedLimits) {
    const auto& value = over.limits.*limit;
    answer[name] = !value ? json(nullptr) : *value == 0 ? json("none") : json(*value);
  }
  return answer;
}

}  // namespace

AdminApi::Answer AdminApi::show_limits(const http::Request& request) {
  const std::string named = request.query_value("account").value_or("");
  const auto account = account_named(named, "account");
  if (!account) co_return std::unexpected(account.error());
  const auto* over = account_limits_.find(*account);
  co_return render(named, over != nullptr ? *over : limits::Override());
}

AdminApi::Answer AdminApi::set_limits(const http::Request& request) {
  const auto body = read_object(request, kMostBodyBytes, "the admin listener");
  if (!body) co_return std::unexpected(body.error());
  const auto named = text(*body, "account");
  if (!named) co_return std::unexpected(named.error());
  const auto account = account_named(*named, "account");
  if (!account) co_return std::unexpected(account.error());
  const auto over = read_override(*body, tiers_);
  if (!over) co_return std::unexpected(over.error());
  const auto set = co_await account_limits_.set(*account, *over);
  if (!set) co_return std::unexpected(set.error());
  co_return render(*named, *over);
}

}  // namespace turnpike::api
