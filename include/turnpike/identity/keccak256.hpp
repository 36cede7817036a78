// Keccak-256 as Ethereum uses it: with Keccak's first padding, not that of SHA-3 (FIPS 202). The work is Botan's.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace turnpike::identity {

using Keccak256 = std::array<std::uint8_t, 32>;

[[nodiscard]] Keccak256 keccak256(std::string_view bytes);

}  // namespace turnpike::identity
