// Which account a wallet logs in to: one, for as long as the ledger lasts. All of them are in memory.
//
// Thread: the loop's. Nothing blocks but WalletAccounts::open.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "turnpike/base/clock.hpp"
#include "turnpike/base/error.hpp"
#include "turnpike/identity/wallet.hpp"

namespace turnpike::storage {
class Database;
}

namespace turnpike::identity {

class WalletAccounts {
 public:
  // Loads every wallet; blocks, so call it at start only. Errors: internal_error when the database cannot be read.
  [[nodiscard]] static Result<std::unique_ptr<WalletAccounts>> open(storage::Database& database, const Clock& clock);
  ~WalletAccounts();
  WalletAccounts(const WalletAccounts&) = delete;
  WalletAccounts& operator=(const WalletAccounts&) = delete;

  // The account of a wallet (ledger::AccountId); nullopt when it never logged in.
  [[nodiscard]] std::optional<std::int64_t> find(const Wallet& wallet) const;

  // Ties a wallet that has no account to one: by the call, and durable with the next write that is waited for, since
  // writes take effect in their order. Wallets are bounded by the accounts. Errors: conflict when it has one,
  // service_unavailable when nothing can be written.
  [[nodiscard]] Result<void> tie(const Wallet& wallet, std::int64_t account_id);

  [[nodiscard]] std::size_t size() const;

 private:
  struct State;
  explicit WalletAccounts(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace turnpike::identity
