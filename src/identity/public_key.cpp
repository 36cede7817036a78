#include "turnpike/identity/public_key.hpp"

#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <algorithm>
#include <cstddef>
#include <utility>

#include "turnpike/base/encoding.hpp"
#include "verify.hpp"

namespace turnpike::identity {
namespace {

constexpr std::size_t kMostPemBytes = 1024;
constexpr std::size_t kPemLine = 64;
constexpr std::size_t kSignatureBytes = 64;
constexpr std::string_view kPemHead = "-----BEGIN PUBLIC KEY-----";
constexpr std::string_view kPemFoot = "-----END PUBLIC KEY-----";

// All of the structure but the key at its end, whose length it tells. Being compared, it leaves no room for other
// algorithms, curves or curve parameters.
constexpr std::string_view kEd25519Head("\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00", 12);
constexpr std::size_t kEd25519Bytes = 32;
constexpr std::string_view kP256Head(
    "\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00\x04", 27);
constexpr std::size_t kP256Bytes = 64;

std::unexpected<Error> no_key() {
  return fail(Fault::invalid_request,
              "public_key must be an Ed25519 or ECDSA P-256 public key in PEM (-----BEGIN PUBLIC KEY-----)",
              "public_key");
}

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

// What the PEM holds; empty when it is none.
std::string der_of(std::string_view pem) {
  pem = trim(pem);
  if (pem.size() > kMostPemBytes || pem.size() < kPemHead.size() + kPemFoot.size() || !pem.starts_with(kPemHead) ||
      !pem.ends_with(kPemFoot)) {
    return {};
  }
  std::string base64(pem.substr(kPemHead.size(), pem.size() - kPemHead.size() - kPemFoot.size()));
  std::erase_if(base64, is_blank);
  return from_base64(base64).value_or("");
}

std::string pem_of(std::string_view der) {
  const std::string base64 = to_base64(der);
  std::string pem = std::string(kPemHead) + "\n";
  for (std::size_t at = 0; at < base64.size(); at += kPemLine) pem.append(base64, at, kPemLine).append("\n");
  return pem.append(kPemFoot).append("\n");
}

// The DER form, which OpenSSL reads, of an ECDSA signature; empty when it is none.
std::string der_signature(std::string_view raw) {
  const std::unique_ptr<ECDSA_SIG, decltype(&ECDSA_SIG_free)> signature(ECDSA_SIG_new(), &ECDSA_SIG_free);
  constexpr int kHalf = kSignatureBytes / 2;
  BIGNUM* r = BN_bin2bn(bytes_of(raw), kHalf, nullptr);
  BIGNUM* s = BN_bin2bn(bytes_of(raw) + kHalf, kHalf, nullptr);
  if (!signature || ECDSA_SIG_set0(signature.get(), r, s) != 1) {
    BN_free(r);
    BN_free(s);
    return {};
  }
  std::string der(static_cast<std::size_t>(std::max(i2d_ECDSA_SIG(signature.get(), nullptr), 0)), '\0');
  auto* out = static_cast<unsigned char*>(static_cast<void*>(der.data()));
  if (i2d_ECDSA_SIG(signature.get(), &out) != static_cast<int>(der.size())) return {};
  return der;
}

}  // namespace

std::string_view to_string(SignatureAlgorithm algorithm) {
  return algorithm == SignatureAlgorithm::ed25519 ? "ed25519" : "ecdsa-p256-sha256";
}

struct PublicKey::Evp {
  EvpKey key;  // null: the point is not on the curve
};

PublicKey::PublicKey(SignatureAlgorithm algorithm, std::string der)
    : algorithm_(algorithm), der_(std::move(der)), pem_(pem_of(der_)) {}
PublicKey::~PublicKey() = default;

Result<std::shared_ptr<const PublicKey>> PublicKey::parse(std::string_view pem) {
  const std::string der = der_of(pem);
  if (der.starts_with(kEd25519Head) && der.size() == kEd25519Head.size() + kEd25519Bytes) {
    return std::shared_ptr<const PublicKey>(new PublicKey(SignatureAlgorithm::ed25519, der));
  }
  if (der.starts_with(kP256Head) && der.size() == kP256Head.size() + kP256Bytes) {
    std::shared_ptr<const PublicKey> key(new PublicKey(SignatureAlgorithm::ecdsa_p256_sha256, der));
    const bool on_curve = key->evp().key != nullptr;
    key->evp_.reset();
    if (on_curve) return key;
  }
  return no_key();
}

const PublicKey::Evp& PublicKey::evp() const {
  if (!evp_) {
    const unsigned char* at = bytes_of(der_);
    evp_ = std::make_unique<Evp>(Evp{EvpKey(d2i_PUBKEY(nullptr, &at, static_cast<long>(der_.size())), &EVP_PKEY_free)});
  }
  return *evp_;
}

bool PublicKey::verifies(std::string_view message, std::string_view signature) const {
  if (signature.size() != kSignatureBytes || !evp().key) return false;
  if (algorithm_ == SignatureAlgorithm::ed25519) {
    return identity::verifies(evp().key.get(), nullptr, message, signature);
  }
  return identity::verifies(evp().key.get(), EVP_sha256(), message, der_signature(signature));
}

}  // namespace turnpike::identity
