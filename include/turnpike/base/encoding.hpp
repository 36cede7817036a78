// Bytes as text, and digests. The work is OpenSSL's and Boost's.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace turnpike {

using Sha256 = std::array<std::uint8_t, 32>;
using Sha512 = std::array<std::uint8_t, 64>;

[[nodiscard]] Sha256 sha256(std::string_view bytes);
[[nodiscard]] Sha512 sha512(std::string_view bytes);
[[nodiscard]] std::string to_hex(std::string_view bytes);                     // lower case
[[nodiscard]] std::optional<std::string> from_hex(std::string_view text);     // either case; nullopt when malformed
[[nodiscard]] std::string to_base64(std::string_view bytes);                  // RFC 4648, section 4, padded
[[nodiscard]] std::optional<std::string> from_base64(std::string_view text);  // strict; nullopt when malformed

// RFC 4648, section 5, without padding, as RFC 7515 has it; a reader accepts only what it would have written. nullopt
// when malformed.
[[nodiscard]] std::string to_base64url(std::string_view bytes);
[[nodiscard]] std::optional<std::string> from_base64url(std::string_view text);

// Base58 as Bitcoin and Solana write it: no 0, O, I and l; a zero byte at the front is a 1. The time grows with the
// square of the length: bound it. nullopt when malformed.
[[nodiscard]] std::string to_base58(std::string_view bytes);
[[nodiscard]] std::optional<std::string> from_base58(std::string_view text);

// CRC-32C (RFC 3720, appendix B.4), by the processor's own instruction where it has one: tells what was changed by
// mistake, not by intent.
[[nodiscard]] std::uint32_t crc32c(std::string_view bytes);
// The same on any processor.
[[nodiscard]] std::uint32_t crc32c_portable(std::string_view bytes);

// True when both are equal; takes the same time wherever they differ.
[[nodiscard]] bool equal_in_constant_time(std::string_view a, std::string_view b);

// The time as RFC 3339 in UTC with milliseconds: 2026-03-13T12:00:00.000Z.
[[nodiscard]] std::string rfc3339(std::int64_t unix_micros);

// Any date-time of RFC 3339 (section 5.6) as microseconds of Unix time; what is finer is cut. nullopt when malformed.
[[nodiscard]] std::optional<std::int64_t> parse_rfc3339(std::string_view text);

}  // namespace turnpike
