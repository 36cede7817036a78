#include "eip3009.hpp"

#include "turnpike/base/encoding.hpp"

namespace turnpike::payments {
namespace {

constexpr std::size_t kWord = 32;

std::string keccak(std::string_view bytes) {
  const auto digest = identity::keccak256(bytes);
  return {static_cast<const char*>(static_cast<const void*>(digest.data())), digest.size()};
}

std::string domain_separator(const Network& network) {
  return keccak(keccak("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)") +
                keccak(network.asset_name) + keccak(network.asset_version) + abi_word(network.chain_id) +
                abi_word(network.asset));
}

}  // namespace

std::string abi_word(std::uint64_t number) {
  std::string word(kWord, '\0');
  for (std::size_t i = kWord; number > 0; number >>= 8U) word[--i] = static_cast<char>(number & 0xFFU);
  return word;
}

std::string abi_word(std::string_view address) {
  const std::string bytes = from_hex(address.substr(2)).value();
  return std::string(kWord - bytes.size(), '\0') + bytes;
}

identity::Keccak256 transfer_digest(const Authorization& authorization, const Network& network) {
  const std::string type = keccak(
      "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,"
      "bytes32 nonce)");
  const std::string message =
      keccak(type + abi_word(authorization.from) + abi_word(authorization.to) + abi_word(authorization.value) +
             abi_word(authorization.valid_after) + abi_word(authorization.valid_before) +
             from_hex(std::string_view(authorization.nonce).substr(2)).value());
  return identity::keccak256("\x19\x01" + domain_separator(network) + message);
}

std::string event_topic(std::string_view signature) {
  return "0x" + to_hex(keccak(signature));
}

}  // namespace turnpike::payments
