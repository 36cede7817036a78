// What WalletAccounts asks of the database. All its SQL is in wallet_store.cpp.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "turnpike/base/clock.hpp"
#include "turnpike/identity/wallet.hpp"
#include "turnpike/storage/database.hpp"

namespace turnpike::identity {

struct NewWalletRow final : storage::Operation {
  NewWalletRow(Wallet tied, std::int64_t account, WallTime now)
      : wallet(std::move(tied)), account_id(account), created_at(now) {}
  void run(storage::Connection& connection) override;
  Wallet wallet;
  std::int64_t account_id;
  WallTime created_at;
};

struct StoredWallet {
  std::string address;
  std::int64_t account_id = 0;
};
std::vector<StoredWallet> load_wallets(storage::Connection& connection);

}  // namespace turnpike::identity
