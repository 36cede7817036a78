// The text that a wallet signs to log in: EIP-4361 (Sign-In with Ethereum), and the same text for Solana, as CAIP-122
// has it: another account kind, a base58 address, a name for the chain's id. Pure: no I/O, no clock.
#pragma once

#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "turnpike/base/clock.hpp"
#include "turnpike/identity/wallet.hpp"

namespace turnpike::identity {

// The terms of a message, named as in the EIP's grammar. `version` is always 1.
struct SignInMessage {
  std::string scheme = {};  // of the origin that asks; empty: not named
  std::string domain = {};  // an authority of RFC 3986
  Wallet wallet = {};
  std::optional<std::string> statement = {};
  std::string uri = {};
  std::string chain_id = {};  // eip155: decimal digits (EIP-155); solana: "mainnet"
  std::string nonce = {};     // at least 8 letters and digits
  WallTime issued_at{};
  std::optional<WallTime> expiration_time = {};
  std::optional<WallTime> not_before = {};
  std::optional<std::string> request_id = {};
  std::vector<std::string> resources = {};
};

// The text of a message, with times in UTC to the millisecond. It parses when every term is well-formed.
[[nodiscard]] std::string to_text(const SignInMessage& message);

// Reads a text strictly by the EIP's grammar (its ABNF, with the EIP-55 checksum in the address). Error: the term that
// is not well-formed, as the grammar names it ("chain-id"), or "end" when something follows the last one.
[[nodiscard]] std::expected<SignInMessage, std::string_view> parse_sign_in_message(std::string_view text);

// True when the text is at least meant for a sign-in message, well-formed or not.
[[nodiscard]] bool resembles_sign_in_message(std::string_view text);

// True when the text is an authority with a host, as a message's domain must be.
[[nodiscard]] bool is_domain(std::string_view text);
// True when the text is a URI with a scheme (RFC 3986), as a message's URI must be.
[[nodiscard]] bool is_uri(std::string_view text);

}  // namespace turnpike::identity
