// A wallet that pays by x402, as a public client would: written apart from the gateway's own code.
#pragma once

#include <cstdint>
#include <ctime>
#include <nlohmann/json.hpp>
#include <string>

#include "common/wallet_keys.hpp"
#include "turnpike/base/encoding.hpp"

namespace turnpike::test {

inline constexpr const char* kPayTo = "0x2222222222222222222222222222222222222222";
inline constexpr const char* kAsset = "0x5FbDB2315678afecb367f032d93F642f64180aa3";

// What is signed. Change a member before sign(): the signature follows; or after, and it does not.
struct Transfer {
  std::string from = {};
  std::string to = kPayTo;
  std::string value = "10000000";
  std::uint64_t valid_after = 0;
  std::uint64_t valid_before = 0;
  std::string nonce = "0x" + std::string(64, '7');
  std::uint64_t chain_id = 84532;
  std::string asset = kAsset;
  std::string asset_name = "USDC";
  std::string asset_version = "2";
};

inline std::string word(std::uint64_t number) {
  std::string out(32, '\0');
  for (int i = 0; i < 8; ++i) out[static_cast<std::size_t>(31 - i)] = static_cast<char>(number >> (8 * i));
  return out;
}
inline std::string word_of_hex(const std::string& hex) {
  const std::string bytes = from_hex(hex.substr(2)).value();
  return std::string(32 - bytes.size(), '\0') + bytes;
}

inline std::string digest_of(const Transfer& transfer) {
  const std::string domain =
      keccak256_of(keccak256_of("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)") +
                   keccak256_of(transfer.asset_name) + keccak256_of(transfer.asset_version) + word(transfer.chain_id) +
                   word_of_hex(transfer.asset));
  const std::string message = keccak256_of(
      keccak256_of("TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 "
                   "validBefore,bytes32 nonce)") +
      word_of_hex(transfer.from) + word_of_hex(transfer.to) + word(std::stoull(transfer.value)) +
      word(transfer.valid_after) + word(transfer.valid_before) + word_of_hex(transfer.nonce));
  return keccak256_of("\x19\x01" + domain + message);
}

class Payer {
 public:
  explicit Payer(char byte = 0x46) : key_(byte) {}
  [[nodiscard]] std::string address() const { return key_.address(); }

  // A transfer of this wallet's that is valid from a minute before `now` (Unix seconds) to five minutes after it.
  [[nodiscard]] Transfer transfer(std::uint64_t now) const {
    Transfer out;
    out.from = address();
    out.valid_after = now - 60;
    out.valid_before = now + 300;
    return out;
  }

  // The JSON of a payment header, version 1.
  [[nodiscard]] nlohmann::json payment(const Transfer& transfer) const {
    return {{"x402Version", 1},
            {"scheme", "exact"},
            {"network", "base-sepolia"},
            {"payload",
             {{"signature", "0x" + to_hex(key_.sign_digest(digest_of(transfer)))},
              {"authorization",
               {{"from", transfer.from},
                {"to", transfer.to},
                {"value", transfer.value},
                {"validAfter", std::to_string(transfer.valid_after)},
                {"validBefore", std::to_string(transfer.valid_before)},
                {"nonce", transfer.nonce}}}}}};
  }
  // The same, version 2.
  [[nodiscard]] nlohmann::json payment_v2(const Transfer& transfer) const {
    return {{"x402Version", 2},
            {"payload", payment(transfer)["payload"]},
            {"accepted",
             {{"scheme", "exact"},
              {"network", "eip155:84532"},
              {"amount", transfer.value},
              {"asset", transfer.asset},
              {"payTo", transfer.to},
              {"maxTimeoutSeconds", 300},
              {"extra", {{"name", transfer.asset_name}, {"version", transfer.asset_version}}}}}};
  }

 private:
  EthereumKey key_;
};

inline std::string header_of(const nlohmann::json& payment) {
  return to_base64(payment.dump());
}

}  // namespace turnpike::test
