#include "turnpike/identity/wallet_login.hpp"

#include <algorithm>
#include <utility>

#include "turnpike/base/random.hpp"

namespace turnpike::identity {
namespace {

constexpr std::size_t kNonceLength = 22;        // 131 bits
constexpr std::size_t kMostChainIdDigits = 20;  // of 64 bits
constexpr std::string_view kEip155 = "eip155:";
constexpr std::string_view kSolana = "solana";
constexpr std::string_view kSolanaChainId = "mainnet";

struct Chain {
  ChainNamespace name_space = ChainNamespace::eip155;
  std::string id;
};

std::optional<Chain> parse_chain(std::string_view text) {
  if (text == kSolana) return Chain{.name_space = ChainNamespace::solana, .id = std::string(kSolanaChainId)};
  if (!text.starts_with(kEip155)) return std::nullopt;
  const std::string_view id = text.substr(kEip155.size());
  const bool digits = std::ranges::all_of(id, [](char c) { return c >= '0' && c <= '9'; });
  if (id.empty() || id.size() > kMostChainIdDigits || !digits || id.front() == '0') return std::nullopt;
  return Chain{.name_space = ChainNamespace::eip155, .id = std::string(id)};
}

// What a URI is written in (RFC 3986, section 2).
bool has_only_uri_characters(std::string_view text) {
  return std::ranges::all_of(
      text, [](char c) { return c > ' ' && c < '\x7f' && !std::string_view("\"<>\\^`{|}").contains(c); });
}

std::unexpected<Error> no_such_url(Fault fault) {
  return fail(fault, "network.public_url is no URL that a wallet can be asked to sign in to.");
}

std::unexpected<Error> refused(std::string reason) {
  return fail(Fault::invalid_api_key, std::move(reason));
}

}  // namespace

WalletLogin::WalletLogin(LoginTerms terms, const Clock& clock)
    : uri_(std::move(terms.public_url)),
      statement_("Sign in to " + terms.network_name + " to get an API key."),
      lifetime_(terms.nonce_lifetime),
      nonces_(terms.max_nonces, terms.nonce_lifetime),
      clock_(&clock) {
  const auto authority = uri_.find("://");
  if (authority == std::string::npos) return;
  scheme_ = uri_.substr(0, authority);
  domain_ = uri_.substr(authority + 3);
  domain_.resize(std::min(domain_.find_first_of("/?#"), domain_.size()));
}

Result<WalletLogin> WalletLogin::open(LoginTerms terms, const Clock& clock) {
  WalletLogin login(std::move(terms), clock);
  // The whole grammar is left to the first challenge: its parser would take its memory at every start.
  if (login.domain_.empty() || !has_only_uri_characters(login.uri_)) return no_such_url(Fault::invalid_request);
  return login;
}

Result<Challenge> WalletLogin::challenge(std::string_view address, std::string_view chain_name) {
  auto chain = parse_chain(chain_name);
  if (!chain) {
    return fail(Fault::invalid_request, "chain must be eip155: and a chain id, as eip155:8453, or solana", "chain");
  }
  const auto wallet = parse_wallet(chain->name_space, address);
  if (!wallet) {
    return fail(Fault::invalid_request, "address must be an address of that chain, with its checksum if it has one",
                "address");
  }
  if (!is_domain(domain_) || !is_uri(uri_)) return no_such_url(Fault::internal_error);
  const Instant now = clock_->now();
  Challenge challenge{.message = {}, .nonce = random_base62(kNonceLength), .expires_at = {}};
  if (!nonces_.add(challenge.nonce, {.wallet = *wallet, .chain_id = chain->id}, now)) {
    Error full{.fault = Fault::service_unavailable, .message = "too many logins are under way"};
    full.retry_after = std::chrono::ceil<std::chrono::seconds>(nonces_.until_room(now));
    return std::unexpected(std::move(full));
  }
  const WallTime issued_at = std::chrono::floor<std::chrono::milliseconds>(clock_->wall());
  challenge.expires_at = issued_at + lifetime_;
  challenge.message = to_text({.domain = domain_,
                               .wallet = *wallet,
                               .statement = statement_,
                               .uri = uri_,
                               .chain_id = std::move(chain->id),
                               .nonce = challenge.nonce,
                               .issued_at = issued_at,
                               .expiration_time = challenge.expires_at});
  return challenge;
}

// What can be checked before the nonce is looked up.
Result<void> WalletLogin::check_terms(const SignInMessage& message) const {
  const bool other_scheme = !message.scheme.empty() && message.scheme != scheme_;
  if (message.domain != domain_ || other_scheme) return refused("the message is for another domain");
  if (message.uri != uri_) return refused("the message is for another URI");
  const WallTime now = clock_->wall();
  if (message.expiration_time && *message.expiration_time <= now) return refused("the message has expired");
  if (message.not_before && *message.not_before > now) return refused("the message is not valid yet");
  // A client that wrote it may have another clock, but not by more than a nonce lives.
  if (message.issued_at > now + lifetime_) return refused("the message was issued in the future");
  return {};
}

Result<Wallet> WalletLogin::verify(std::string_view text, std::string_view signature_text) {
  auto message = parse_sign_in_message(text);
  if (!message) {
    // A message with a changed byte is one that was not signed; any other text is a mistake of the caller.
    if (resembles_sign_in_message(text)) {
      return refused("the message is not as EIP-4361 has it: " + std::string(message.error()));
    }
    return fail(Fault::invalid_request, "message must be the text of a challenge", "message");
  }
  const auto signature = parse_signature(message->wallet.chain, signature_text);
  if (!signature) {
    const bool ethereum = message->wallet.chain == ChainNamespace::eip155;
    return fail(Fault::invalid_request,
                ethereum ? "signature must be 65 bytes as 0x and hex digits"
                         : "signature must be 64 bytes in base58, base64 or hex",
                "signature");
  }
  if (auto met = check_terms(*message); !met) return std::unexpected(std::move(met).error());
  const Instant now = clock_->now();
  const NonceOwner* owner = nonces_.find(message->nonce, now);
  if (owner == nullptr) return refused("the nonce is unknown, used or expired");
  if (*owner != NonceOwner{.wallet = message->wallet, .chain_id = message->chain_id}) {
    return refused("the nonce was given to another wallet or chain");
  }
  if (!is_signed_by(message->wallet, text, *signature)) return refused("the signature is not this wallet's");
  nonces_.spend(message->nonce, now);
  return std::move(message->wallet);
}

}  // namespace turnpike::identity
