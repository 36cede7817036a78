#include "turnpike/identity/signing_key.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <array>
#include <cstddef>
#include <filesystem>
#include <span>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "turnpike/base/encoding.hpp"
#include "turnpike/base/private_file.hpp"
#include "turnpike/base/random.hpp"
#include "verify.hpp"

namespace turnpike::identity {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kSeedBytes = 32;
constexpr std::size_t kSignatureBytes = 64;
// All of a PKCS#8 structure but the seed at its end (RFC 8410, section 10.3): version 0, id-Ed25519, an octet string in
// an octet string.
constexpr std::string_view kPkcs8Head("\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20", 16);
constexpr std::string_view kPemHead = "-----BEGIN PRIVATE KEY-----\n";
constexpr std::string_view kPemFoot = "\n-----END PRIVATE KEY-----\n";

unsigned char* room_of(std::string& text) {
  return static_cast<unsigned char*>(static_cast<void*>(text.data()));
}

// Where a key is, and what it is for.
struct Place {
  const std::string& file;
  std::string_view purpose;
};

std::unexpected<Error> unusable(const Place& place, const std::string& why) {
  return fail(Fault::internal_error, std::string(place.purpose) + ", " + place.file + ", " + why);
}

Result<std::string> make_seed(const Place& place) {
  std::string seed(kSeedBytes, '\0');
  fill_random(std::as_writable_bytes(std::span(seed)));
  const std::string text = std::string(kPemHead) + to_base64(std::string(kPkcs8Head) + seed) + std::string(kPemFoot);
  if (const auto written = write_private_file(place.file, text); !written) {
    return unusable(place, written.error());
  }
  return seed;
}

Result<std::string> read_seed(const Place& place) {
  const auto read = read_private_file(place.file);
  if (!read) return unusable(place, read.error());
  const std::string_view text = *read;
  if (text.size() > kPemHead.size() + kPemFoot.size() && text.starts_with(kPemHead) && text.ends_with(kPemFoot)) {
    const auto base64 = text.substr(kPemHead.size(), text.size() - kPemHead.size() - kPemFoot.size());
    const auto der = from_base64(base64);
    if (der && der->size() == kPkcs8Head.size() + kSeedBytes && der->starts_with(kPkcs8Head)) {
      return der->substr(kPkcs8Head.size());
    }
  }
  return unusable(place, "is no Ed25519 key in PKCS#8");
}

}  // namespace

struct SigningKey::Pair {
  EvpKey key;
};

SigningKey::SigningKey(std::string seed) : seed_(std::move(seed)) {}
SigningKey::~SigningKey() {
  OPENSSL_cleanse(seed_.data(), seed_.size());
}
SigningKey::SigningKey(SigningKey&&) noexcept = default;
SigningKey& SigningKey::operator=(SigningKey&&) noexcept = default;

Result<SigningKey> SigningKey::open(const std::string& file, std::string_view purpose) {
  const Place place{.file = file, .purpose = purpose};
  std::error_code failed;
  const bool there = fs::exists(fs::symlink_status(file, failed));
  auto seed = there ? read_seed(place) : make_seed(place);
  if (!seed) return std::unexpected(std::move(seed).error());
  return SigningKey(*std::move(seed));
}

const SigningKey::Pair& SigningKey::pair() const {
  if (!pair_) {
    EvpKey key(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, bytes_of(seed_), seed_.size()), &EVP_PKEY_free);
    if (!key) throw std::runtime_error("OpenSSL takes no Ed25519 key");
    pair_ = std::make_unique<Pair>(std::move(key));
  }
  return *pair_;
}

std::string SigningKey::sign(std::string_view message) const {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  std::string signature(kSignatureBytes, '\0');
  std::size_t size = signature.size();
  if (!context || EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, pair().key.get()) != 1 ||
      EVP_DigestSign(context.get(), room_of(signature), &size, bytes_of(message), message.size()) != 1 ||
      size != kSignatureBytes) {
    throw std::runtime_error("OpenSSL cannot sign by Ed25519");
  }
  return signature;
}

bool SigningKey::verifies(std::string_view message, std::string_view signature) const {
  return identity::verifies(pair().key.get(), nullptr, message, signature);
}

std::string SigningKey::public_key() const {
  std::string key(kSeedBytes, '\0');
  std::size_t size = key.size();
  if (EVP_PKEY_get_raw_public_key(pair().key.get(), room_of(key), &size) != 1 || size != key.size()) {
    throw std::runtime_error("OpenSSL gives no public key");
  }
  return key;
}

}  // namespace turnpike::identity
