#include "turnpike/identity/wallet_accounts.hpp"

#include <string>
#include <unordered_map>
#include <utility>

#include "wallet_store.hpp"

namespace turnpike::identity {

struct WalletAccounts::State {
  State(storage::Database& where, const Clock& time) : database(where), clock(time) {}
  storage::Database& database;
  const Clock& clock;
  std::unordered_map<std::string, std::int64_t> account_by_address;
};

WalletAccounts::WalletAccounts(std::unique_ptr<State> state) : state_(std::move(state)) {}
WalletAccounts::~WalletAccounts() = default;

Result<std::unique_ptr<WalletAccounts>> WalletAccounts::open(storage::Database& database, const Clock& clock) {
  std::vector<StoredWallet> stored;
  const auto loaded = database.run_now([&](storage::Connection& connection) { stored = load_wallets(connection); });
  if (!loaded) return std::unexpected(loaded.error());
  auto state = std::make_unique<State>(database, clock);
  for (StoredWallet& wallet : stored) state->account_by_address.emplace(std::move(wallet.address), wallet.account_id);
  return std::unique_ptr<WalletAccounts>(new WalletAccounts(std::move(state)));
}

std::optional<std::int64_t> WalletAccounts::find(const Wallet& wallet) const {
  const auto found = state_->account_by_address.find(wallet.address);
  if (found == state_->account_by_address.end()) return std::nullopt;
  return found->second;
}

Result<void> WalletAccounts::tie(const Wallet& wallet, std::int64_t account_id) {
  if (find(wallet)) return fail(Fault::conflict, "The wallet has an account.");
  auto row = std::make_shared<NewWalletRow>(wallet, account_id, state_->clock.wall());
  // Guaranteed, for the wallet is the account's from here on.
  if (auto queued = state_->database.write(std::move(row), storage::Queueing::guaranteed); !queued) return queued;
  state_->account_by_address.emplace(wallet.address, account_id);
  return {};
}

std::size_t WalletAccounts::size() const {
  return state_->account_by_address.size();
}

}  // namespace turnpike::identity
