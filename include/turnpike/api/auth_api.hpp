// POST /v1/auth/challenge, POST /v1/auth/wallet: an account and a key for whoever has a wallet.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>

#include "turnpike/api/guard.hpp"
#include "turnpike/http/router.hpp"
#include "turnpike/identity/wallet_accounts.hpp"
#include "turnpike/identity/wallet_login.hpp"
#include "turnpike/limits/address_limiter.hpp"

namespace turnpike::api {

struct AuthLimits {
  std::uint64_t challenges_per_minute = 0;  // by client address
  std::uint64_t logins_per_minute = 0;      // by client address, failed ones too
  std::size_t max_clients = 0;              // addresses that are remembered
  std::size_t max_body_bytes = 0;
};

// Loop thread only.
class AuthApi {
 public:
  AuthApi(const Guard& guard, identity::WalletLogin& login, identity::WalletAccounts& wallets, identity::KeyRing& keys,
          ledger::Ledger& ledger, const dialect::Dialects& dialects, const Clock& clock, AuthLimits limits);
  void add_routes(http::Router& router);

  // {address, chain} → 200 {message, nonce, expires_at}
  [[nodiscard]] http::Response challenge(const http::Request& request);
  // {message, signature, dialect?} → 201 {api_key, address, account_id, created_at}: a new key for the wallet's
  // account, which is opened when it has none. `request` must stay valid until the answer is there.
  [[nodiscard]] boost::asio::awaitable<http::Response> log_in(const http::Request& request);

 private:
  Result<nlohmann::json> make_challenge(const http::Request& request);
  boost::asio::awaitable<Result<nlohmann::json>> make_key(const http::Request& request);
  [[nodiscard]] Result<nlohmann::json> read_body(const http::Request& request) const;
  Result<ledger::AccountId> account_of(const identity::Wallet& wallet);
  [[nodiscard]] http::Response render(const http::Request& request, int status, const Result<nlohmann::json>& result,
                                      const limits::Verdict& verdict) const;

  const Guard& guard_;
  identity::WalletLogin& login_;
  identity::WalletAccounts& wallets_;
  identity::KeyRing& keys_;
  ledger::Ledger& ledger_;
  const dialect::Dialects& dialects_;
  const Clock& clock_;
  std::size_t max_body_bytes_;
  limits::AddressLimiter challenges_;
  limits::AddressLimiter logins_;
};

}  // namespace turnpike::api
