// EIP-3009 as EIP-712 hashes it, and the words of the contract's ABI.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "turnpike/identity/keccak256.hpp"
#include "turnpike/payments/x402.hpp"

namespace turnpike::payments {

// 32 bytes: a number, large end first, and an address with zeros before it.
[[nodiscard]] std::string abi_word(std::uint64_t number);
[[nodiscard]] std::string abi_word(std::string_view address);

// What the payer's key signs: TransferWithAuthorization in the domain of the network's token.
[[nodiscard]] identity::Keccak256 transfer_digest(const Authorization& authorization, const Network& network);

// The first topic of an event, as "0x" and hex digits: event_topic("Transfer(address,address,uint256)").
[[nodiscard]] std::string event_topic(std::string_view signature);

}  // namespace turnpike::payments
