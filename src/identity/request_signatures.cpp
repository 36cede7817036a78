#include "turnpike/identity/request_signatures.hpp"

#include <utility>

#include "nonce_store.hpp"
#include "turnpike/identity/public_key.hpp"
#include "turnpike/identity/used_nonces.hpp"

namespace turnpike::identity {
namespace {

constexpr std::string_view kDigestField = "content-digest";

std::unexpected<Error> refuse(std::string message, std::string_view param) {
  return fail(Fault::invalid_signature, std::move(message), std::string(param));
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  return out;
}

// As RFC 9110, section 4.2.3, writes it: lower case, without the scheme's default port.
std::string normal_authority(std::string_view scheme, std::string_view authority) {
  const std::string_view port = scheme == "https" ? ":443" : ":80";
  if (authority.ends_with(port)) authority.remove_suffix(port.size());
  return lower(authority);
}

// What stands before a request's target in a URL.
struct Origin {
  std::string scheme;
  std::string authority;
  std::string path;  // empty, or from a slash to no slash
};

std::optional<Origin> origin_of(std::string_view url) {
  const auto colon = url.find("://");
  if (colon == std::string_view::npos) return std::nullopt;
  Origin origin{.scheme = lower(url.substr(0, colon)), .authority = {}, .path = {}};
  const auto rest = url.substr(colon + 3);
  const auto slash = std::min(rest.find('/'), rest.size());
  origin.authority = normal_authority(origin.scheme, rest.substr(0, slash));
  origin.path = rest.substr(slash);
  while (origin.path.ends_with('/')) origin.path.pop_back();
  return origin;
}

// Content-Digest where nothing is signed: whoever sends one is told when it is wrong.
Result<void> check_unsigned_digest(const SignedRequest& request) {
  const auto digest = check_content_digest(request.fields, request.body);
  if (digest != DigestCheck::wrong && digest != DigestCheck::malformed) return {};
  return fail(Fault::invalid_request, "Content-Digest is not the digest of this body", std::string(kDigestField));
}

Result<void> check_signed_digest(const SignedRequest& request) {
  switch (check_content_digest(request.fields, request.body)) {
    case DigestCheck::right:
      return {};
    case DigestCheck::absent:
      if (request.body.empty()) return {};
      return refuse("a signed request with a body must have Content-Digest", kDigestField);
    case DigestCheck::unknown:
      return refuse("Content-Digest must have a digest by sha-256 or sha-512", kDigestField);
    case DigestCheck::malformed:
      return refuse("Content-Digest is malformed", kDigestField);
    case DigestCheck::wrong:
      break;
  }
  return refuse("Content-Digest is not the digest of this body", kDigestField);
}

Result<void> check_coverage(const MessageSignature& signature, const SignedRequest& request) {
  for (const std::string_view needed : {std::string_view("@method"), std::string_view("@target-uri"), request.key_field,
                                        request.body.empty() ? std::string_view() : kDigestField}) {
    if (needed.empty() || signature.covers(needed)) continue;
    return refuse("the signature must cover " + std::string(needed), needed);
  }
  return {};
}

Result<void> check_times(const MessageSignature& signature, std::int64_t now, std::int64_t window) {
  if (signature.created < now - window) return refuse("the signature was created too long ago", "created");
  if (signature.created > now + window) return refuse("the signature was created in the future", "created");
  if (signature.expires && *signature.expires <= now) return refuse("the signature has expired", "expires");
  return {};
}

}  // namespace

struct RequestSignatures::State {
  State(storage::Database& where, const Clock& time, SignatureTerms agreed, Origin url)
      : database(where),
        clock(time),
        terms(std::move(agreed)),
        public_origin(std::move(url)),
        nonces(terms.max_nonces, terms.max_nonces_per_key) {}

  // The signature against what the client may have seen: what Host says, or, behind a proxy, the public URL. The one
  // that is likelier comes first.
  [[nodiscard]] Result<void> verify(const PublicKey& key, const MessageSignature& signature,
                                    const SignedRequest& request) const;
  Result<void> use_nonce(const MessageSignature& signature, const std::string& key_id, std::int64_t now);

  storage::Database& database;
  const Clock& clock;
  const SignatureTerms terms;
  const Origin public_origin;
  UsedNonces nonces;
};

Result<void> RequestSignatures::State::verify(const PublicKey& key, const MessageSignature& signature,
                                              const SignedRequest& request) const {
  const Origin direct{
      .scheme = std::string(terms.scheme), .authority = normal_authority(terms.scheme, request.host), .path = {}};
  const bool is_public = normal_authority(public_origin.scheme, request.host) == public_origin.authority;
  for (const Origin* origin : {is_public ? &public_origin : &direct, is_public ? &direct : &public_origin}) {
    const std::string target = origin->path + std::string(request.target);
    const auto base = signature_base({.method = request.method,
                                      .scheme = origin->scheme,
                                      .authority = origin->authority,
                                      .target = target,
                                      .fields = request.fields},
                                     signature.covered);
    if (!base) return std::unexpected(base.error());
    if (key.verifies(*base, signature.signature)) return {};
  }
  return refuse("the signature is not the key's over this request, seen as " + public_origin.scheme + "://" +
                    public_origin.authority + public_origin.path + " or as Host says",
                "signature");
}

Result<void> RequestSignatures::State::use_nonce(const MessageSignature& signature, const std::string& key_id,
                                                 std::int64_t now) {
  UsedNonce used{.digest = UsedNonces::digest_of(key_id, signature.nonce),
                 .key_id = key_id,
                 .ends_at = signature.created + terms.window.count() + 1};
  const auto full = [&](Fault fault, std::string message) {
    Error error{.fault = fault, .message = std::move(message)};
    error.retry_after = std::chrono::seconds(std::max<std::int64_t>(nonces.until_next_end(now), 1));
    return std::unexpected(std::move(error));
  };
  switch (nonces.take(used.digest, key_id, used.ends_at, now)) {
    case UsedNonces::Taken::before:
      return refuse("the signature's nonce was used before", "nonce");
    case UsedNonces::Taken::key_full:
      return full(Fault::rate_limit_exceeded,
                  "the key has signed as many requests as signatures.max_nonces_per_key allows for a while");
    case UsedNonces::Taken::full:
      return full(Fault::service_unavailable, "there are too many signed requests");
    case UsedNonces::Taken::now:
      break;
  }
  return database.write(std::make_shared<UsedNonceRow>(std::move(used), now), storage::Queueing::bounded);
}

RequestSignatures::RequestSignatures(std::unique_ptr<State> state) : state_(std::move(state)) {}
RequestSignatures::~RequestSignatures() = default;

Result<std::unique_ptr<RequestSignatures>> RequestSignatures::open(storage::Database& database, const Clock& clock,
                                                                   SignatureTerms terms) {
  auto origin = origin_of(terms.public_url);
  if (!origin) return fail(Fault::invalid_request, "network.public_url is no URL");
  const std::int64_t now = unix_seconds(clock.wall());
  std::vector<UsedNonce> used;
  const auto loaded =
      database.run_now([&](storage::Connection& connection) { used = load_used_nonces(connection, now); });
  if (!loaded) return std::unexpected(loaded.error());
  auto state = std::make_unique<State>(database, clock, std::move(terms), *std::move(origin));
  for (const UsedNonce& nonce : used) state->nonces.restore(nonce.digest, nonce.key_id, nonce.ends_at);
  return std::unique_ptr<RequestSignatures>(new RequestSignatures(std::move(state)));
}

Result<void> RequestSignatures::check(const KeyInfo& key, const SignedRequest& request) {
  if (!key.signing.public_key) return check_unsigned_digest(request);
  const bool is_signed = field_value(request.fields, "signature-input") || field_value(request.fields, "signature");
  if (!is_signed && !key.signing.required) return check_unsigned_digest(request);
  const auto signature = read_signature(request.fields);
  if (!signature) return std::unexpected(signature.error());
  if (signature->alg && *signature->alg != to_string(key.signing.public_key->algorithm())) {
    return refuse("the key signs by " + std::string(to_string(key.signing.public_key->algorithm())), "alg");
  }
  const std::int64_t now = unix_seconds(state_->clock.wall());
  if (auto covered = check_coverage(*signature, request); !covered) return covered;
  if (auto timely = check_times(*signature, now, state_->terms.window.count()); !timely) return timely;
  if (auto digest = check_signed_digest(request); !digest) return digest;
  if (auto verified = state_->verify(*key.signing.public_key, *signature, request); !verified) return verified;
  return state_->use_nonce(*signature, key.id, now);
}

}  // namespace turnpike::identity
