#include "wallet_store.hpp"

#include "turnpike/storage/connection.hpp"

namespace turnpike::identity {

void NewWalletRow::run(storage::Connection& connection) {
  connection.prepare("INSERT INTO wallets (address, chain, account_id, created_at) VALUES (?,?,?,?)")
      .bind(std::string_view(wallet.address))
      .bind(to_string(wallet.chain))
      .bind(account_id)
      .bind(std::int64_t{created_at.time_since_epoch().count()})
      .run();
}

std::vector<StoredWallet> load_wallets(storage::Connection& connection) {
  std::vector<StoredWallet> wallets;
  auto query = connection.prepare("SELECT address, account_id FROM wallets");
  while (query.step()) {
    wallets.push_back({.address = std::string(query.text(0)), .account_id = query.integer(1)});
  }
  return wallets;
}

}  // namespace turnpike::identity
