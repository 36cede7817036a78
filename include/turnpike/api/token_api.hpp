// POST /v1/auth/token, GET /.well-known/jwks.json: access tokens in exchange for keys, and the key to check them by.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "turnpike/api/guard.hpp"
#include "turnpike/http/router.hpp"
#include "turnpike/identity/access_tokens.hpp"
#include "turnpike/identity/key_ring.hpp"
#include "turnpike/ledger/ledger.hpp"
#include "turnpike/limits/address_limiter.hpp"

namespace turnpike::api {

struct TokenLimits {
  std::uint64_t tokens_per_minute = 0;  // by client address, failed requests too
  std::size_t max_clients = 0;          // addresses that are remembered
  std::size_t max_body_bytes = 0;
  std::chrono::seconds lifetime{0};  // of a token that is asked for without `expires_in`
};

// Loop thread only.
class TokenApi {
 public:
  TokenApi(const Guard& guard, const identity::KeyRing& keys, const identity::AccessTokens& tokens,
           const ledger::Ledger& ledger, const Clock& clock, TokenLimits limits);
  void add_routes(http::Router& router);

  // {api_key, expires_in?, scope?} → 200 {access_token, token_type, expires_in, scope}. `expires_in` in seconds, at
  // most 86,400; the answer's is less when the key ends before. `scope`: some of the key's, all otherwise.
  [[nodiscard]] http::Response exchange(const http::Request& request);
  [[nodiscard]] http::Response jwk_set() const;

 private:
  Result<nlohmann::json> make_token(const http::Request& request, const nlohmann::json& body,
                                    const std::string& api_key) const;

  const Guard& guard_;
  const identity::KeyRing& keys_;
  const identity::AccessTokens& tokens_;
  const ledger::Ledger& ledger_;
  const Clock& clock_;
  TokenLimits limits_;
  limits::AddressLimiter asked_;
};

}  // namespace turnpike::api
