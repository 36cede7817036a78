// Access tokens: JWTs (RFC 7519) that stand for a key for a while. Signed by Ed25519 (RFC 8037), shaped by RFC 9068.
// They are good at the gateway that made them, and for anybody who asks for its public key.
//
// Thread: the loop's. Nothing blocks but AccessTokens::open.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <string_view>

#include "turnpike/base/clock.hpp"
#include "turnpike/base/error.hpp"
#include "turnpike/identity/key_ring.hpp"

namespace turnpike::identity {

// What every JSON object with a first member of one letter or more begins with in base64url, and so every JWT: `{"`.
inline constexpr std::string_view kTokenPrefix = "eyJ";

inline constexpr std::chrono::hours kLongestToken{24};

struct TokenTerms {
  std::string key_file = {};   // SigningKey::open
  std::string issuer = {};     // network.public_url: the `iss` and the `aud` of every token
  std::size_t remembered = 0;  // tokens whose signature need not be checked again
};

// What a token is for.
struct TokenWish {
  std::string_view subject = {};  // the account's public id
  std::string_view key_id = {};
  Scopes scopes = {};
  std::chrono::seconds lifetime{0};                  // at most kLongestToken
  std::optional<WallTime> not_after = std::nullopt;  // the key's own end
};

struct IssuedToken {
  std::string token;
  std::chrono::seconds lifetime{0};
};

struct TokenClaims {
  std::string key_id;
  Grant grant;  // the token's own: the key must be looked at besides
  WallTime not_before{};
};

enum class TokenRefusal : std::uint8_t {
  malformed,      // not a token that this gateway could have made: size, form, `alg`, `kid`, `typ` or claims
  forged,         // a signature that is not this gateway's
  not_yet_valid,  // `iat` or `nbf` is to come
  expired,
};
[[nodiscard]] std::string_view to_string(TokenRefusal refusal);

class AccessTokens {
 public:
  // Errors: SigningKey::open's, and invalid_request when the issuer is too long.
  [[nodiscard]] static Result<AccessTokens> open(TokenTerms terms);
  ~AccessTokens();
  AccessTokens(AccessTokens&&) noexcept;
  AccessTokens& operator=(AccessTokens&&) noexcept;

  // A token from `now` on. Times in tokens are whole seconds, rounded down. Error: invalid_api_key when the key's end
  // is less than a second away.
  [[nodiscard]] Result<IssuedToken> issue(const TokenWish& wish, WallTime now) const;

  // What a token says, or why it is refused. The key that it names may be dead: KeyRing::find_live. The pointer is good
  // until the next call.
  [[nodiscard]] std::expected<const TokenClaims*, TokenRefusal> verify(std::string_view token, WallTime now) const;

  // The public key as a JWK Set (RFC 7517): {"keys":[…]}.
  [[nodiscard]] const std::string& jwk_set() const;

 private:
  struct State;
  explicit AccessTokens(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace turnpike::identity
