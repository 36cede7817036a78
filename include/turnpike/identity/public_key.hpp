// The public key that an API key may carry: whoever has its other half signs requests.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "turnpike/base/error.hpp"

namespace turnpike::identity {

// Named as in the registry of RFC 9421, section 6.2.2.
enum class SignatureAlgorithm : std::uint8_t { ed25519, ecdsa_p256_sha256 };
[[nodiscard]] std::string_view to_string(SignatureAlgorithm algorithm);  // "ed25519", "ecdsa-p256-sha256"

// Loop thread only, but for pem().
class PublicKey {
 public:
  // Reads a SubjectPublicKeyInfo in PEM (RFC 7468, section 13), as `openssl pkey -pubout` and every library write it:
  // of Ed25519 (RFC 8410), or of a point of P-256 that is not compressed (RFC 5480). Error: invalid_request with the
  // param `public_key`.
  [[nodiscard]] static Result<std::shared_ptr<const PublicKey>> parse(std::string_view pem);
  ~PublicKey();
  PublicKey(const PublicKey&) = delete;
  PublicKey& operator=(const PublicKey&) = delete;

  // The one form in which this class writes it.
  [[nodiscard]] const std::string& pem() const { return pem_; }
  [[nodiscard]] SignatureAlgorithm algorithm() const { return algorithm_; }

  // True when `signature` is the key's over `message`: 64 bytes, for ECDSA r and s side by side (RFC 9421, section
  // 3.3.4).
  [[nodiscard]] bool verifies(std::string_view message, std::string_view signature) const;

 private:
  struct Evp;
  PublicKey(SignatureAlgorithm algorithm, std::string der);
  [[nodiscard]] const Evp& evp() const;
  SignatureAlgorithm algorithm_;
  std::string der_;
  std::string pem_;
  mutable std::unique_ptr<Evp> evp_;  // made by the first use: of many keys few sign
};

}  // namespace turnpike::identity
