#include "turnpike/limits/account_limits.hpp"

#include <unordered_map>
#include <utility>

#include "account_limits_store.hpp"
#include "turnpike/storage/database.hpp"

namespace turnpike::limits {

Tier with(const Override& over, Tier tier) {
  for (const auto& [name, limit] : kNamedLimits) {
    if (const auto& value = over.limits.*limit) tier.*limit = *value > 0 ? value : std::nullopt;
  }
  return tier;
}

struct AccountLimits::State {
  explicit State(storage::Database& where) : database(where) {}
  void put(std::int64_t account, Override over) {
    if (over == Override()) {
      overrides.erase(account);
    } else {
      overrides.insert_or_assign(account, std::move(over));
    }
  }
  storage::Database& database;
  std::unordered_map<std::int64_t, Override> overrides;
};

AccountLimits::AccountLimits(std::unique_ptr<State> state) : state_(std::move(state)) {}
AccountLimits::~AccountLimits() = default;

Result<std::unique_ptr<AccountLimits>> AccountLimits::open(storage::Database& database) {
  auto state = std::make_unique<State>(database);
  const auto loaded =
      database.run_now([&](storage::Connection& connection) { state->overrides = load_overrides(connection); });
  if (!loaded) return std::unexpected(loaded.error());
  return std::unique_ptr<AccountLimits>(new AccountLimits(std::move(state)));
}

const Override* AccountLimits::find(std::int64_t account) const {
  const auto found = state_->overrides.find(account);
  return found == state_->overrides.end() ? nullptr : &found->second;
}

boost::asio::awaitable<Result<void>> AccountLimits::set(std::int64_t account, Override over) {
  const Override* known = find(account);
  const Override before = known != nullptr ? *known : Override();
  auto write = std::make_shared<WriteOverride>(account, over);
  if (auto queued = state_->database.write(write, storage::Queueing::bounded); !queued) co_return queued;
  state_->put(account, std::move(over));
  auto written = co_await storage::finished(write);
  if (!written) state_->put(account, before);
  co_return written;
}

}  // namespace turnpike::limits
