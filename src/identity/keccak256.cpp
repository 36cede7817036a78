#include "keccak256.hpp"

#include <botan/hash.h>

namespace turnpike::identity {

Keccak256 keccak256(std::string_view bytes) {
  const auto hash = Botan::HashFunction::create_or_throw("Keccak-1600(256)");
  hash->update(static_cast<const std::uint8_t*>(static_cast<const void*>(bytes.data())), bytes.size());
  Keccak256 digest{};
  hash->final(digest.data());
  return digest;
}

}  // namespace turnpike::identity
