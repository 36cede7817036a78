#include "turnpike/identity/access_tokens.hpp"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "turnpike/base/encoding.hpp"
#include "turnpike/base/random.hpp"
#include "turnpike/identity/signing_key.hpp"

namespace turnpike::identity {
namespace {

using nlohmann::json;

constexpr std::size_t kMostTokenBytes = 4096;
constexpr std::size_t kMostIssuerBytes = 512;
constexpr std::size_t kSignatureBase64 = 86;  // 64 bytes
constexpr std::size_t kTokenIdLength = 22;    // of base62: 131 bits

WallTime from_unix(std::int64_t seconds) {
  return WallTime(std::chrono::seconds(seconds));
}

// A NumericDate of whole seconds (RFC 7519, section 2) that a WallTime can hold.
std::optional<std::int64_t> numeric_date(const json& claims, const char* name) {
  constexpr std::int64_t kYear10000 = 253'402'300'800;
  const auto found = claims.find(name);
  if (found == claims.end() || !found->is_number_unsigned()) return std::nullopt;
  const auto value = found->get<std::uint64_t>();
  if (value >= static_cast<std::uint64_t>(kYear10000)) return std::nullopt;
  return static_cast<std::int64_t>(value);
}

std::optional<std::string> text(const json& claims, const char* name) {
  const auto found = claims.find(name);
  if (found == claims.end() || !found->is_string()) return std::nullopt;
  return found->get<std::string>();
}

// What a payload claims; nullopt where this gateway would not have written it.
std::optional<TokenClaims> read_claims(std::string_view payload, const std::string& issuer) {
  const json claims = json::parse(payload, nullptr, false);
  if (!claims.is_object()) return std::nullopt;
  const auto issued = numeric_date(claims, "iat");
  const auto not_before = numeric_date(claims, "nbf");
  const auto expires = numeric_date(claims, "exp");
  const auto key_id = text(claims, "client_id");
  const auto scope = text(claims, "scope");
  if (!issued || !not_before || !expires || !key_id || !scope) return std::nullopt;
  if (text(claims, "iss") != issuer || text(claims, "aud") != issuer) return std::nullopt;
  if (*expires <= *issued || *expires - *issued > std::chrono::seconds(kLongestToken).count()) return std::nullopt;
  const auto scopes = Scopes::parse(*scope);
  if (!scopes) return std::nullopt;
  return TokenClaims{.key_id = *key_id,
                     .grant = {.scopes = *scopes, .expires_at = from_unix(*expires)},
                     .not_before = from_unix(std::max(*issued, *not_before))};
}

// Of the header all bytes are known: it is compared, and never read. So `alg` and `kid` are pinned, and there is no
// `crit`, `jwk` or second `alg` to be wrong about (RFC 8725, sections 2.1 and 3.1).
struct PublicParts {
  std::string head;  // base64url, with the dot behind it
  std::string jwk_set;
};

PublicParts public_parts(const SigningKey& key) {
  const std::string x = to_base64url(key.public_key());
  // RFC 7638: the members that are required, in their order, without white space (RFC 8037, section 2).
  const Sha256 digest = sha256(R"({"crv":"Ed25519","kty":"OKP","x":")" + x + R"("})");
  const std::string kid =
      to_base64url({static_cast<const char*>(static_cast<const void*>(digest.data())), digest.size()});
  const json header = {{"alg", "EdDSA"}, {"kid", kid}, {"typ", "at+jwt"}};
  const json jwk = {{"kty", "OKP"}, {"crv", "Ed25519"}, {"x", x}, {"kid", kid}, {"use", "sig"}, {"alg", "EdDSA"}};
  return {.head = to_base64url(header.dump()) + ".", .jwk_set = json{{"keys", json::array({jwk})}}.dump()};
}

}  // namespace

std::string_view to_string(TokenRefusal refusal) {
  switch (refusal) {
    case TokenRefusal::forged:
      return "not signed by this gateway";
    case TokenRefusal::not_yet_valid:
      return "not valid yet";
    case TokenRefusal::expired:
      return "expired";
    case TokenRefusal::malformed:
      break;
  }
  return "not one of this gateway";
}

struct AccessTokens::State {
  State(SigningKey signing_key, TokenTerms agreed) : key(std::move(signing_key)), terms(std::move(agreed)) {}

  // Made by the first use, as the key's own.
  const PublicParts& known() {
    if (!parts) parts = public_parts(key);
    return *parts;
  }
  // Where a token is remembered that was checked.
  struct Checked {
    Sha256 digest{};
    TokenClaims claims;
  };
  Checked& place_of(const Sha256& digest) {
    if (checked.empty()) checked.resize(std::max<std::size_t>(terms.remembered, 1));
    std::uint64_t slot = 0;
    std::memcpy(&slot, digest.data(), sizeof slot);
    return checked[slot % checked.size()];
  }

  SigningKey key;
  TokenTerms terms;
  std::optional<PublicParts> parts;
  std::vector<Checked> checked;  // by digest; a newer token of the same place takes it
};

AccessTokens::AccessTokens(std::unique_ptr<State> state) : state_(std::move(state)) {}
AccessTokens::~AccessTokens() = default;
AccessTokens::AccessTokens(AccessTokens&&) noexcept = default;
AccessTokens& AccessTokens::operator=(AccessTokens&&) noexcept = default;

Result<AccessTokens> AccessTokens::open(TokenTerms terms) {
  if (terms.issuer.size() > kMostIssuerBytes) {
    return fail(Fault::invalid_request, "network.public_url is too long for access tokens");
  }
  auto key = SigningKey::open(terms.key_file);
  if (!key) return std::unexpected(std::move(key).error());
  return AccessTokens(std::make_unique<State>(*std::move(key), std::move(terms)));
}

Result<IssuedToken> AccessTokens::issue(const TokenWish& wish, WallTime now) const {
  const std::int64_t issued = unix_seconds(now);
  const auto lifetime = std::min<std::chrono::seconds>(wish.lifetime, kLongestToken);
  std::int64_t expires = issued + lifetime.count();
  if (wish.not_after) expires = std::min(expires, unix_seconds(*wish.not_after));
  if (expires <= issued) return fail(Fault::invalid_api_key, "the API key is expired");
  const json claims = {{"iss", state_->terms.issuer},
                       {"aud", state_->terms.issuer},
                       {"sub", wish.subject},
                       {"client_id", wish.key_id},
                       {"scope", wish.scopes.to_string()},
                       {"jti", random_base62(kTokenIdLength)},
                       {"iat", issued},
                       {"nbf", issued},
                       {"exp", expires}};
  std::string token = state_->known().head + to_base64url(claims.dump());
  const std::string signature = state_->key.sign(token);
  token.append(".").append(to_base64url(signature));
  return IssuedToken{.token = std::move(token), .lifetime = std::chrono::seconds(expires - issued)};
}

std::expected<const TokenClaims*, TokenRefusal> AccessTokens::verify(std::string_view token, WallTime now) const {
  const std::string& head = state_->known().head;
  if (token.size() > kMostTokenBytes || !token.starts_with(head)) return std::unexpected(TokenRefusal::malformed);
  const Sha256 digest = sha256(token);
  State::Checked& place = state_->place_of(digest);
  if (place.digest != digest) {
    const auto dot = token.rfind('.');  // the head's own, when there is no other
    if (dot < head.size() || token.size() - dot - 1 != kSignatureBase64) {
      return std::unexpected(TokenRefusal::malformed);
    }
    const auto signature = from_base64url(token.substr(dot + 1));
    const auto payload = from_base64url(token.substr(head.size(), dot - head.size()));
    if (!signature || !payload) return std::unexpected(TokenRefusal::malformed);
    if (!state_->key.verifies(token.substr(0, dot), *signature)) return std::unexpected(TokenRefusal::forged);
    auto claims = read_claims(*payload, state_->terms.issuer);
    if (!claims) return std::unexpected(TokenRefusal::malformed);
    place = {.digest = digest, .claims = *std::move(claims)};
  }
  if (now < place.claims.not_before) return std::unexpected(TokenRefusal::not_yet_valid);
  if (now >= *place.claims.grant.expires_at) return std::unexpected(TokenRefusal::expired);
  return &place.claims;
}

const std::string& AccessTokens::jwk_set() const {
  return state_->known().jwk_set;
}

}  // namespace turnpike::identity
