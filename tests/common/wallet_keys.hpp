// Wallets of a test's own, that sign as a wallet's owner would.
#pragma once

#include <botan/keccak.h>
#include <openssl/evp.h>
#include <secp256k1_recovery.h>

#include <array>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

#include "turnpike/base/encoding.hpp"
#include "turnpike/identity/wallet.hpp"

namespace turnpike::test {

inline unsigned char* bytes_in(std::string& text) {
  return static_cast<unsigned char*>(static_cast<void*>(text.data()));
}
inline const unsigned char* bytes_in(std::string_view text) {
  return static_cast<const unsigned char*>(static_cast<const void*>(text.data()));
}

inline std::string keccak256_of(std::string_view text) {
  Botan::Keccak_1600 hash(256);
  hash.update(bytes_in(text), text.size());
  std::string digest(32, '\0');
  hash.final(bytes_in(digest));
  return digest;
}

class EthereumKey {
 public:
  // A private key of this byte 32 times.
  explicit EthereumKey(char byte) : secret_(32, byte) {}

  [[nodiscard]] std::string address() const {
    secp256k1_pubkey key;
    if (secp256k1_ec_pubkey_create(context_.get(), &key, bytes_in(std::string_view(secret_))) != 1)
      throw std::logic_error("no key");
    std::string point(65, '\0');
    std::size_t size = point.size();
    secp256k1_ec_pubkey_serialize(context_.get(), bytes_in(point), &size, &key, SECP256K1_EC_UNCOMPRESSED);
    return identity::eip55_address(keccak256_of(point.substr(1)).substr(12));
  }

  // ERC-191 personal_sign: r, s and 27 or 28.
  [[nodiscard]] std::string sign(std::string_view message) const {
    const std::string text =
        std::string("\x19").append("Ethereum Signed Message:\n").append(std::to_string(message.size())).append(message);
    return sign_digest(keccak256_of(text));
  }

  // r, s and 27 or 28 over 32 bytes.
  [[nodiscard]] std::string sign_digest(const std::string& digest) const {
    secp256k1_ecdsa_recoverable_signature signature;
    if (secp256k1_ecdsa_sign_recoverable(context_.get(), &signature, bytes_in(std::string_view(digest)),
                                         bytes_in(std::string_view(secret_)), nullptr, nullptr) != 1) {
      throw std::logic_error("not signed");
    }
    std::string out(65, '\0');
    int id = 0;
    secp256k1_ecdsa_recoverable_signature_serialize_compact(context_.get(), bytes_in(out), &id, &signature);
    out.back() = static_cast<char>(27 + id);
    return out;
  }
  [[nodiscard]] std::string sign_as_text(std::string_view message) const { return "0x" + to_hex(sign(message)); }

 private:
  std::string secret_;
  std::shared_ptr<secp256k1_context> context_{secp256k1_context_create(SECP256K1_CONTEXT_SIGN),
                                              secp256k1_context_destroy};
};

class SolanaKey {
 public:
  // A seed of this byte 32 times.
  explicit SolanaKey(char byte) {
    const std::string seed(32, byte);
    key_.reset(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, bytes_in(std::string_view(seed)), seed.size()),
               EVP_PKEY_free);
  }

  [[nodiscard]] std::string address() const {
    std::string bytes(32, '\0');
    std::size_t size = bytes.size();
    EVP_PKEY_get_raw_public_key(key_.get(), bytes_in(bytes), &size);
    return to_base58(bytes);
  }

  [[nodiscard]] std::string sign(std::string_view message) const {
    const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
    std::string out(64, '\0');
    std::size_t size = out.size();
    if (EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key_.get()) != 1 ||
        EVP_DigestSign(context.get(), bytes_in(out), &size, bytes_in(message), message.size()) != 1) {
      throw std::logic_error("not signed");
    }
    return out;
  }
  [[nodiscard]] std::string sign_as_text(std::string_view message) const { return to_base58(sign(message)); }

 private:
  std::shared_ptr<EVP_PKEY> key_;
};

}  // namespace turnpike::test
