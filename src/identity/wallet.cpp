#include "turnpike/identity/wallet.hpp"

#include <algorithm>

#include "turnpike/base/encoding.hpp"
#include "turnpike/identity/keccak256.hpp"

namespace turnpike::identity {
namespace {

constexpr std::string_view kHexPrefix = "0x";
constexpr std::size_t kEthereumAddressBytes = 20;
constexpr std::size_t kEthereumSignatureBytes = 65;
constexpr std::size_t kSolanaAddressBytes = 32;
constexpr std::size_t kSolanaSignatureBytes = 64;

// The longest base58 of that many bytes: reading takes the square of the length.
constexpr std::size_t kSolanaAddressLength = 44;
constexpr std::size_t kSolanaSignatureLength = 88;

std::optional<std::string> hex_of_size(std::string_view text, std::size_t bytes) {
  if (text.size() != 2 * bytes) return std::nullopt;
  return from_hex(text);
}

std::optional<std::string> base58_of_size(std::string_view text, std::size_t most, std::size_t bytes) {
  if (text.size() > most) return std::nullopt;
  auto decoded = from_base58(text);
  if (!decoded || decoded->size() != bytes) return std::nullopt;
  return decoded;
}

bool has_one_case(std::string_view hex) {
  const auto within = [hex](char first, char last) {
    return std::ranges::any_of(hex, [=](char c) { return c >= first && c <= last; });
  };
  return !(within('a', 'f') && within('A', 'F'));
}

std::optional<std::string> solana_signature(std::string_view text) {
  if (text.starts_with(kHexPrefix)) return hex_of_size(text.substr(kHexPrefix.size()), kSolanaSignatureBytes);
  if (text.size() == 2 * kSolanaSignatureBytes) return hex_of_size(text, kSolanaSignatureBytes);
  // The base64 of 64 bytes always ends in padding, which base58 does not have.
  if (!text.ends_with('=')) return base58_of_size(text, kSolanaSignatureLength, kSolanaSignatureBytes);
  auto decoded = from_base64(text);
  if (!decoded || decoded->size() != kSolanaSignatureBytes) return std::nullopt;
  return decoded;
}

}  // namespace

std::string_view to_string(ChainNamespace chain) {
  return chain == ChainNamespace::eip155 ? "eip155" : "solana";
}

std::string_view account_kind(ChainNamespace chain) {
  return chain == ChainNamespace::eip155 ? "Ethereum" : "Solana";
}

std::string eip55_address(std::string_view bytes) {
  std::string hex = to_hex(bytes);
  const Keccak256 digest = keccak256(hex);
  for (std::size_t i = 0; i < hex.size(); ++i) {
    const unsigned nibble = i % 2 == 0 ? digest.at(i / 2) >> 4U : digest.at(i / 2) & 0xFU;
    if (nibble >= 8 && hex[i] >= 'a') hex[i] = static_cast<char>(hex[i] - 'a' + 'A');
  }
  return std::string(kHexPrefix) + hex;
}

std::optional<Wallet> parse_wallet(ChainNamespace chain, std::string_view address) {
  if (chain == ChainNamespace::solana) {
    if (!base58_of_size(address, kSolanaAddressLength, kSolanaAddressBytes)) return std::nullopt;
    return Wallet{.chain = chain, .address = std::string(address)};
  }
  if (!address.starts_with(kHexPrefix)) return std::nullopt;
  const std::string_view hex = address.substr(kHexPrefix.size());
  const auto bytes = hex_of_size(hex, kEthereumAddressBytes);
  if (!bytes) return std::nullopt;
  Wallet wallet{.chain = chain, .address = eip55_address(*bytes)};
  if (!has_one_case(hex) && wallet.address != address) return std::nullopt;
  return wallet;
}

std::optional<std::string> parse_signature(ChainNamespace chain, std::string_view text) {
  if (chain == ChainNamespace::solana) return solana_signature(text);
  if (!text.starts_with(kHexPrefix)) return std::nullopt;
  return hex_of_size(text.substr(kHexPrefix.size()), kEthereumSignatureBytes);
}

}  // namespace turnpike::identity
