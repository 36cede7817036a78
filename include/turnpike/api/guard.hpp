// Who asks, and may they: the key, its scope, its limits. And how they are told that something is wrong.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "turnpike/base/clock.hpp"
#include "turnpike/dialect/dialect.hpp"
#include "turnpike/dialect/error_body.hpp"
#include "turnpike/http/request.hpp"
#include "turnpike/identity/access_tokens.hpp"
#include "turnpike/identity/key_ring.hpp"
#include "turnpike/identity/request_signatures.hpp"
#include "turnpike/ledger/ledger.hpp"
#include "turnpike/limits/account_limits.hpp"
#include "turnpike/limits/address_limiter.hpp"
#include "turnpike/limits/rate_limiter.hpp"

namespace turnpike::api {

struct Caller {
  const identity::KeyInfo* key = nullptr;
  identity::Grant grant;  // the key's, or what its token has of it
  const dialect::Dialect* dialect = nullptr;
  ledger::AccountId account = 0;
  limits::Admission admission;  // the request counts until this goes
};

struct LimitNames {
  std::string_view limit;
  std::string_view remaining;
  std::string_view reset;
};
inline constexpr LimitNames kRequestLimits{.limit = "x-ratelimit-limit-requests",
                                           .remaining = "x-ratelimit-remaining-requests",
                                           .reset = "x-ratelimit-reset-requests"};
inline constexpr LimitNames kTokenLimits{.limit = "x-ratelimit-limit-tokens",
                                         .remaining = "x-ratelimit-remaining-tokens",
                                         .reset = "x-ratelimit-reset-tokens"};

// The tiers by name. Replaced as a whole on reload.
using Tiers = std::map<std::string, limits::Tier, std::less<>>;

// What callers are measured by.
struct Limiting {
  limits::RateLimiter& accounts;
  const Tiers& tiers;
  const limits::AccountLimits& overrides;
  limits::AddressLimiter& strangers;  // whoever shows no key that is known
};

// Loop thread only.
class Guard {
 public:
  Guard(const dialect::Dialects& dialects, const identity::KeyRing& keys, const identity::AccessTokens& tokens,
        identity::RequestSignatures& signatures, Limiting limiting, const Clock& clock)
      : dialects_(dialects),
        keys_(keys),
        tokens_(tokens),
        signatures_(signatures),
        limiting_(limiting),
        clock_(clock) {}

  // The caller of a route that needs a key, or an access token in its place. A signature's nonce is used by the call.
  // Errors: invalid_api_key, insufficient_scope, RequestSignatures::check's; rate_limit_exceeded where too many from
  // its address showed no good key.
  [[nodiscard]] Result<Caller> identify(const http::Request& request, identity::Scope scope) const;

  // Whether a request that bears the key in its body is signed as the key demands. Errors: RequestSignatures::check's.
  [[nodiscard]] Result<void> check_signature(const identity::KeyInfo& key, const http::Request& request) const;

  // Counts a request against the caller's tier. Error: rate_limit_exceeded.
  [[nodiscard]] Result<void> admit(Caller& caller) const;

  // What an account may do, by the tier of its key and what an operator has set; nullopt: nothing is limited.
  [[nodiscard]] std::optional<limits::Tier> tier_of(ledger::AccountId account, const std::string& tier) const;

  // Counts a request to a route that needs no key against its client's address. Error: rate_limit_exceeded.
  [[nodiscard]] Result<void> admit_stranger(const http::Request& request) const;

  // The `x-ratelimit-*` fields of a verdict, in OpenAI's units; empty where there is no limit.
  [[nodiscard]] static std::vector<std::pair<std::string, std::string>> limit_fields(const limits::Verdict& verdict,
                                                                                     LimitNames names = kRequestLimits);
  // All of an admission's, as lines of a head.
  static void append_limit_lines(std::string& head, const limits::Admission& admission);
  static void append_limit_lines(std::string& head, const limits::Verdict& requests, const limits::Verdict& tokens);

  // The error as the request's owner understands it: in the dialect of the key that was sent, usable or not.
  [[nodiscard]] http::Response refuse(const http::Request* request, const Error& error) const;
  // The same with the `x-ratelimit-*` fields.
  [[nodiscard]] http::Response refuse(const http::Request& request, const Error& error,
                                      const limits::Admission& admission) const;
  // Where the key, which may be any text, was not sent in the head.
  [[nodiscard]] http::Response refuse(const http::Request* request, const Error& error,
                                      std::string_view presented) const;

 private:
  struct Presented {
    std::string_view key;    // or a token; empty: none
    std::string_view field;  // that bore it, in lower case
  };
  [[nodiscard]] static Presented presented_key(const http::Request& request);
  [[nodiscard]] Result<void> check_signature(const identity::KeyInfo& key, const http::Request& request,
                                             std::string_view key_field) const;
  [[nodiscard]] Result<Caller> authenticate(const http::Request& request) const;
  [[nodiscard]] Result<Caller> identify_token(std::string_view token) const;
  [[nodiscard]] const dialect::Dialect& dialect_named(const std::string& id) const;
  [[nodiscard]] const dialect::Dialect& dialect_of(std::string_view presented, const Error& error) const;
  const dialect::Dialects& dialects_;
  const identity::KeyRing& keys_;
  const identity::AccessTokens& tokens_;
  identity::RequestSignatures& signatures_;
  Limiting limiting_;
  const Clock& clock_;
};

}  // namespace turnpike::api
