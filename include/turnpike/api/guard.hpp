// Who asks, and may they: the key, its scope, its limits. And how they are told that something is wrong.
#pragma once

#include <map>
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
#include "turnpike/limits/rate_limiter.hpp"

namespace turnpike::api {

struct Caller {
  const identity::KeyInfo* key = nullptr;
  identity::Grant grant;  // the key's, or what its token has of it
  const dialect::Dialect* dialect = nullptr;
  ledger::AccountId account = 0;
  limits::Admission admission;  // the request counts until this goes
};

// The tiers by name. Replaced as a whole on reload.
using Tiers = std::map<std::string, limits::Tier, std::less<>>;

// Loop thread only.
class Guard {
 public:
  Guard(const dialect::Dialects& dialects, const identity::KeyRing& keys, limits::RateLimiter& limiter,
        const Tiers& tiers, const Clock& clock, const identity::AccessTokens& tokens,
        identity::RequestSignatures& signatures)
      : dialects_(dialects),
        keys_(keys),
        limiter_(limiter),
        tiers_(tiers),
        clock_(clock),
        tokens_(tokens),
        signatures_(signatures) {}

  // The caller of a route that needs a key, or an access token in its place. A signature's nonce is used by the call.
  // Errors: invalid_api_key, insufficient_scope, RequestSignatures::check's.
  [[nodiscard]] Result<Caller> identify(const http::Request& request, identity::Scope scope) const;

  // Whether a request that bears the key in its body is signed as the key demands. Errors: RequestSignatures::check's.
  [[nodiscard]] Result<void> check_signature(const identity::KeyInfo& key, const http::Request& request) const;

  // Counts a request against the caller's tier. Error: rate_limit_exceeded.
  [[nodiscard]] Result<void> admit(Caller& caller) const;

  // What a limit says to a client that is over it.
  [[nodiscard]] static std::unexpected<Error> too_many(const limits::Verdict& verdict);

  // The `x-ratelimit-*` fields of a verdict; empty where there is no limit.
  [[nodiscard]] static std::vector<std::pair<std::string, std::string>> limit_fields(const limits::Verdict& verdict);
  // The same as lines of a head.
  static void append_limit_lines(std::string& head, const limits::Verdict& verdict);

  // The error as the request's owner understands it: in the dialect of the key that was sent, usable or not.
  [[nodiscard]] http::Response refuse(const http::Request* request, const Error& error) const;
  // The same where the key, which may be any text, was not sent in the head.
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
  [[nodiscard]] Result<Caller> identify_token(std::string_view token) const;
  [[nodiscard]] const dialect::Dialect& dialect_named(const std::string& id) const;
  [[nodiscard]] const dialect::Dialect& dialect_of(std::string_view presented, const Error& error) const;
  const dialect::Dialects& dialects_;
  const identity::KeyRing& keys_;
  limits::RateLimiter& limiter_;
  const Tiers& tiers_;
  const Clock& clock_;
  const identity::AccessTokens& tokens_;
  identity::RequestSignatures& signatures_;
};

}  // namespace turnpike::api
