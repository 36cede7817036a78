// An Ed25519 key of the gateway's: made at its first use, kept in a file that is nobody else's.
//
// Thread: the loop's. Nothing blocks but SigningKey::open.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "turnpike/base/error.hpp"

namespace turnpike::identity {

class SigningKey {
 public:
  // Reads the key from `file`, or makes one there, mode 0600. The file is PKCS#8 in PEM (RFC 8410, section 7), as
  // `openssl genpkey -algorithm ed25519` writes it. Errors: internal_error with what is wrong: it cannot be read or
  // written, others may read it, or it holds something else. `purpose` is what it calls the key there.
  [[nodiscard]] static Result<SigningKey> open(const std::string& file,
                                               std::string_view purpose = "the key for access tokens");
  ~SigningKey();
  SigningKey(SigningKey&&) noexcept;
  SigningKey& operator=(SigningKey&&) noexcept;

  // 64 bytes (RFC 8032). OpenSSL's part of the key is made by the first use of any of these: most gateways never sign.
  [[nodiscard]] std::string sign(std::string_view message) const;
  [[nodiscard]] bool verifies(std::string_view message, std::string_view signature) const;
  [[nodiscard]] std::string public_key() const;  // 32 bytes

 private:
  struct Pair;
  explicit SigningKey(std::string seed);
  [[nodiscard]] const Pair& pair() const;
  std::string seed_;
  mutable std::unique_ptr<Pair> pair_;
};

}  // namespace turnpike::identity
