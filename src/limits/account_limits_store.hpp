// What AccountLimits asks of the database. All its SQL is in account_limits_store.cpp.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <utility>

#include "turnpike/limits/account_limits.hpp"
#include "turnpike/storage/database.hpp"

namespace turnpike::limits {

struct WriteOverride final : storage::Operation {
  WriteOverride(std::int64_t whose, Override what) : account(whose), over(std::move(what)) {}
  void run(storage::Connection& connection) override;
  std::int64_t account;
  Override over;
};

std::unordered_map<std::int64_t, Override> load_overrides(storage::Connection& connection);

}  // namespace turnpike::limits
