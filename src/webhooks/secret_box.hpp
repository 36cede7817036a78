// Secrets as the database keeps them: sealed by AES-256-GCM under a key that is not in the database.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "turnpike/base/error.hpp"

namespace turnpike::webhooks {

// Loop thread only.
class SecretBox {
 public:
  // Reads the key from the file (base64 of 32 bytes, mode 0600), or makes it. Blocks. Error: internal_error with what
  // is wrong with the file.
  [[nodiscard]] static Result<SecretBox> open(const std::string& file);
  ~SecretBox();
  SecretBox(SecretBox&&) noexcept = default;
  SecretBox& operator=(SecretBox&&) noexcept = default;

  // `owner`: whose secret it is; it opens for no other.
  [[nodiscard]] std::string seal(std::string_view secret, std::string_view owner) const;
  // nullopt when it was sealed under another key or for another owner, or was changed.
  [[nodiscard]] std::optional<std::string> unseal(std::string_view sealed, std::string_view owner) const;

 private:
  explicit SecretBox(std::string key) : key_(std::move(key)) {}
  std::string key_;
};

}  // namespace turnpike::webhooks
