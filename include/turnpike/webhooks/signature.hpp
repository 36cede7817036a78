// Signatures of Standard Webhooks (https://www.standardwebhooks.com), scheme v1. Pure but for make_secret().
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace turnpike::webhooks {

// "whsec_" and the base64 of 24 to 64 bytes: those bytes. nullopt when malformed.
[[nodiscard]] std::optional<std::string> read_secret(std::string_view text);
[[nodiscard]] std::string secret_text(std::string_view secret);
[[nodiscard]] std::string make_secret();  // 32 random bytes

// "v1," and the base64 of HMAC-SHA256 over "{id}.{timestamp}.{body}". `timestamp`: Unix seconds.
[[nodiscard]] std::string sign(std::string_view secret, std::string_view id, std::int64_t timestamp,
                               std::string_view body);

}  // namespace turnpike::webhooks
