// x402 on the wire (https://github.com/coinbase/x402), versions 1 and 2, scheme `exact` on EVM by EIP-3009: what a
// gateway asks for, what a client sends, and every check that needs neither a chain nor a facilitator. Pure: no I/O, no
// clock.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "turnpike/base/error.hpp"

namespace turnpike::payments {

enum class Version : std::uint8_t { v1 = 1, v2 = 2 };
[[nodiscard]] std::string_view request_header(Version version);   // "X-PAYMENT", "PAYMENT-SIGNATURE"
[[nodiscard]] std::string_view response_header(Version version);  // "X-PAYMENT-RESPONSE", "PAYMENT-RESPONSE"

// An amount of a token of 6 decimals in its least units: a millionth of a dollar.
using Units = std::uint64_t;

// A chain and the token that is taken there. Addresses are as EIP-55 writes them.
struct Network {
  std::string name;  // as version 1 calls it: "base"
  std::uint64_t chain_id = 0;
  std::string asset;
  std::string asset_name;                                    // in the token's EIP-712 domain
  std::string asset_version;                                 // there
  [[nodiscard]] std::string caip2() const;                   // as version 2 does: "eip155:8453"
  [[nodiscard]] std::string name_in(Version version) const;  // as that version calls it
};

// What a payment must be like.
struct Terms {
  std::vector<Network> networks = {};
  std::string pay_to = {};              // EIP-55
  std::string resource = {};            // the URL that is paid for
  std::chrono::seconds max_timeout{};   // as clients are asked for
  std::chrono::seconds max_validity{};  // a payment that is valid for longer is refused
};

// `address` as EIP-55 has it; nullopt when it is none, or its checksum is wrong.
[[nodiscard]] std::optional<std::string> parse_address(std::string_view address);

// TransferWithAuthorization of EIP-3009. Times are Unix seconds.
struct Authorization {
  std::string from;  // EIP-55
  std::string to;    // EIP-55
  Units value = 0;
  std::uint64_t valid_after = 0;
  std::uint64_t valid_before = 0;
  std::string nonce;  // "0x" and 64 hex digits in lower case
  bool operator==(const Authorization&) const = default;
};

// What a client says it accepted (version 2).
struct AcceptedTerms {
  std::string amount;
  std::string asset;
  std::string pay_to;
};

struct Payment {
  Version version = Version::v1;
  std::uint64_t claimed_version = 0;  // x402Version
  std::string scheme;
  std::string network;  // as the client calls it
  Authorization authorization;
  std::string signature;  // "0x" and hex digits; 65 bytes, or more for a wallet that is a contract
  std::optional<AcceptedTerms> accepted = {};
};

// Reads the value of a payment header: base64 (RFC 4648, padded) of a JSON object. Error: invalid_request, with the
// header as `param`; nothing of the payment is in the message.
[[nodiscard]] Result<Payment> read_payment(Version version, std::string_view header, std::size_t max_bytes);

// The network that a payment of `units` is good on, by everything that can be told from here: version, scheme, network,
// what was accepted, recipient, amount, time window, and the signature where it is a key's (65 bytes; a longer one is a
// contract's to judge, EIP-1271 and EIP-6492). Otherwise the reason, in the words that x402 has for it.
[[nodiscard]] std::expected<const Network*, std::string_view> check_payment(const Payment& payment, const Terms& terms,
                                                                            Units units, std::uint64_t now);

// What a facilitator is asked with, for /verify and /settle alike: JSON, made anew from what was read and checked.
// Requires that the payment was checked.
[[nodiscard]] std::string facilitator_request(const Payment& payment, const Terms& terms, const Network& network);

// 402: the body of version 1, and the value of version 2's PAYMENT-REQUIRED header. `error` says what is wrong; empty:
// that there is no payment yet.
[[nodiscard]] std::string payment_required_body(const Terms& terms, Units units, std::string_view error);
[[nodiscard]] std::string payment_required_header(const Terms& terms, Units units, std::string_view error);

// The value of X-PAYMENT-RESPONSE or PAYMENT-RESPONSE for a payment that was settled by `transaction`.
[[nodiscard]] std::string payment_response(std::string_view network, std::string_view payer,
                                           std::string_view transaction);

// "0x" and 64 hex digits.
[[nodiscard]] bool is_transaction(std::string_view text);

}  // namespace turnpike::payments
