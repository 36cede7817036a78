#include "turnpike/identity/keccak256.hpp"

#include <botan/keccak.h>

namespace turnpike::identity {

Keccak256 keccak256(std::string_view bytes) {
  // By its class, not by name: a look-up by name brings every other hash with it, and their tables.
  Botan::Keccak_1600 hash(256);
  hash.update(static_cast<const std::uint8_t*>(static_cast<const void*>(bytes.data())), bytes.size());
  Keccak256 digest{};
  hash.final(digest.data());
  return digest;
}

}  // namespace turnpike::identity
