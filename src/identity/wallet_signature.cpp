// Whether a signature is a wallet's: libsecp256k1 for Ethereum, OpenSSL for Solana.
#include <openssl/evp.h>
#include <secp256k1.h>
#include <secp256k1_recovery.h>

#include <array>

#include "turnpike/base/encoding.hpp"
#include "turnpike/identity/keccak256.hpp"
#include "turnpike/identity/wallet.hpp"
#include "verify.hpp"

namespace turnpike::identity {
namespace {

constexpr std::size_t kCompactBytes = 64;  // r and s

// ERC-191, version 0x45.
Keccak256 personal_message_digest(std::string_view message) {
  std::string text =
      "\x19"
      "Ethereum Signed Message:\n";
  text.append(std::to_string(message.size())).append(message);
  return keccak256(text);
}

// The parity of the curve point from v, the signature's last byte.
std::optional<int> recovery_id(unsigned char v) {
  constexpr unsigned char kOffset = 27;  // what Bitcoin added, and signers of messages still do
  const int id = v >= kOffset ? v - kOffset : v;
  if (id > 1) return std::nullopt;  // 2 and 3: r beyond the group's order, which nobody ever meets
  return id;
}

// The signature when it is well-formed and its s is in the lower half of the order (EIP-2).
std::optional<secp256k1_ecdsa_recoverable_signature> read_signature(std::string_view bytes) {
  const auto id = recovery_id(static_cast<unsigned char>(bytes[kCompactBytes]));
  secp256k1_ecdsa_recoverable_signature signature;
  if (!id || secp256k1_ecdsa_recoverable_signature_parse_compact(secp256k1_context_static, &signature, bytes_of(bytes),
                                                                 *id) != 1) {
    return std::nullopt;
  }
  secp256k1_ecdsa_signature plain;
  secp256k1_ecdsa_recoverable_signature_convert(secp256k1_context_static, &plain, &signature);
  const bool high = secp256k1_ecdsa_signature_normalize(secp256k1_context_static, nullptr, &plain) == 1;
  if (high) return std::nullopt;
  return signature;
}

bool ed25519_verifies(std::string_view key_bytes, std::string_view message, std::string_view signature) {
  const EvpKey key(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, bytes_of(key_bytes), key_bytes.size()),
                   &EVP_PKEY_free);
  return key && verifies(key.get(), nullptr, message, signature);
}

}  // namespace

std::string signer_of(const Keccak256& digest, std::string_view bytes) {
  if (bytes.size() != kCompactBytes + 1) return {};
  const auto signature = read_signature(bytes);
  if (!signature) return {};
  secp256k1_pubkey key;
  if (secp256k1_ecdsa_recover(secp256k1_context_static, &key, &*signature, digest.data()) != 1) return {};
  std::array<unsigned char, 65> point{};
  std::size_t size = point.size();
  secp256k1_ec_pubkey_serialize(secp256k1_context_static, point.data(), &size, &key, SECP256K1_EC_UNCOMPRESSED);
  // An address is the last 20 bytes of the digest of the point without its first byte, which tells the format.
  const auto* coordinates = static_cast<const char*>(static_cast<const void*>(point.data() + 1));
  const Keccak256 hash = keccak256({coordinates, point.size() - 1});
  constexpr std::size_t kAddressAt = 12;
  const auto* tail = static_cast<const char*>(static_cast<const void*>(hash.data() + kAddressAt));
  return eip55_address({tail, hash.size() - kAddressAt});
}

bool is_signed_by(const Wallet& wallet, std::string_view message, std::string_view signature) {
  if (wallet.chain == ChainNamespace::solana) {
    const auto key = from_base58(wallet.address);
    return key && ed25519_verifies(*key, message, signature);
  }
  return signer_of(personal_message_digest(message), signature) == wallet.address;
}

}  // namespace turnpike::identity
