// Wallets: how their addresses are written, and whether a signature is theirs. Pure: no I/O, no clock.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "turnpike/identity/keccak256.hpp"

namespace turnpike::identity {

// The chains that a wallet can be of, by their namespace in CAIP-2. A wallet is the same on every chain of its
// namespace.
enum class ChainNamespace : std::uint8_t { eip155, solana };
[[nodiscard]] std::string_view to_string(ChainNamespace chain);     // "eip155", "solana"
[[nodiscard]] std::string_view account_kind(ChainNamespace chain);  // "Ethereum", "Solana": as messages call it

struct Wallet {
  ChainNamespace chain = ChainNamespace::eip155;
  // eip155: "0x" and 40 hex digits in the case of EIP-55. solana: base58 of 32 bytes. One text a wallet; no text is of
  // both kinds.
  std::string address = {};
  bool operator==(const Wallet&) const = default;
};

// The address of 20 bytes as EIP-55 writes it.
[[nodiscard]] std::string eip55_address(std::string_view bytes);

// The wallet with this address; nullopt when it is none. An Ethereum address is taken in one case throughout, or in
// mixed case with the right checksum (EIP-55).
[[nodiscard]] std::optional<Wallet> parse_wallet(ChainNamespace chain, std::string_view address);

// The bytes of a signature as a client writes it; nullopt when malformed.
// eip155: "0x" and 130 hex digits: r, s and v of secp256k1.
// solana: 64 bytes of Ed25519 in base58 (what wallets show), in padded base64, or as 128 hex digits with or without
// "0x".
[[nodiscard]] std::optional<std::string> parse_signature(ChainNamespace chain, std::string_view text);

// True when `signature` (bytes, see parse_signature) is the wallet's over `message`.
// eip155: ERC-191 personal_sign (version byte 0x45); v is 0, 1, 27 or 28, and s is low, as EIP-2 asks of every signer,
// so that a message has one signature. Contract wallets (EIP-1271) have no key and are refused. solana: Ed25519 (RFC
// 8032) over the message itself.
[[nodiscard]] bool is_signed_by(const Wallet& wallet, std::string_view message, std::string_view signature);

// The address whose key made a signature of secp256k1 (65 bytes: r, s and v, under the rules above) over a digest;
// empty when none did. What is signed in other ways than a message (EIP-712) is hashed by whoever knows its form.
[[nodiscard]] std::string signer_of(const Keccak256& digest, std::string_view signature);

}  // namespace turnpike::identity
