// Checking a signature by OpenSSL.
#pragma once

#include <openssl/evp.h>

#include <memory>
#include <string_view>

namespace turnpike::identity {

using EvpKey = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

inline const unsigned char* bytes_of(std::string_view text) {
  return static_cast<const unsigned char*>(static_cast<const void*>(text.data()));
}

// `digest`: what the algorithm hashes the message by; nullptr: as Ed25519 does, by itself.
inline bool verifies(EVP_PKEY* key, const EVP_MD* digest, std::string_view message, std::string_view signature) {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  return context && EVP_DigestVerifyInit(context.get(), nullptr, digest, nullptr, key) == 1 &&
         EVP_DigestVerify(context.get(), bytes_of(signature), signature.size(), bytes_of(message), message.size()) == 1;
}

}  // namespace turnpike::identity
