// What an operator has set for one account over its key's tier. In memory, and written through to the database.
#pragma once

#include <array>
#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "turnpike/base/error.hpp"
#include "turnpike/limits/rate_limiter.hpp"

namespace turnpike::storage {
class Database;
}

namespace turnpike::limits {

// A tier's limits by the names they have in configuration, database and API.
struct NamedLimit {
  const char* name;
  std::optional<std::uint64_t> Tier::* limit;
};
inline constexpr std::array<NamedLimit, 5> kNamedLimits{{{"requests_per_minute", &Tier::requests_per_minute},
                                                         {"tokens_per_minute", &Tier::tokens_per_minute},
                                                         {"tokens_per_day", &Tier::tokens_per_day},
                                                         {"concurrent_requests", &Tier::concurrent_requests},
                                                         {"concurrent_jobs", &Tier::concurrent_jobs}}};

// Absent: as the tier says. A limit of 0: none.
struct Override {
  std::optional<std::string> tier = {};  // in place of the key's
  Tier limits = {};
  bool operator==(const Override&) const = default;
};

// `tier` with the limits that `over` names in place of its own.
[[nodiscard]] Tier with(const Override& over, Tier tier);

// Loop thread only, but for open().
class AccountLimits {
 public:
  // Blocks: at start only. Errors: internal_error when the database cannot be read.
  [[nodiscard]] static Result<std::unique_ptr<AccountLimits>> open(storage::Database& database);
  ~AccountLimits();
  AccountLimits(const AccountLimits&) = delete;
  AccountLimits& operator=(const AccountLimits&) = delete;

  // Null: nothing is set. Good until set() for that account.
  [[nodiscard]] const Override* find(std::int64_t account) const;

  // In place of what was set; an empty one takes it away. Effective by the call, durable when the awaitable completes.
  // Errors: service_unavailable, and then what it was is back.
  [[nodiscard]] boost::asio::awaitable<Result<void>> set(std::int64_t account, Override over);

 private:
  struct State;
  explicit AccountLimits(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace turnpike::limits
