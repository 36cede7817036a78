#include "turnpike/webhooks/signature.hpp"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>
#include <span>
#include <stdexcept>

#include "turnpike/base/encoding.hpp"
#include "turnpike/base/random.hpp"

namespace turnpike::webhooks {
namespace {

constexpr std::string_view kPrefix = "whsec_";
constexpr std::size_t kLeastBytes = 24;
constexpr std::size_t kMostBytes = 64;
constexpr std::size_t kMadeBytes = 32;
constexpr std::size_t kDigestBytes = 32;

}  // namespace

std::optional<std::string> read_secret(std::string_view text) {
  if (!text.starts_with(kPrefix)) return std::nullopt;
  auto secret = from_base64(text.substr(kPrefix.size()));
  if (!secret || secret->size() < kLeastBytes || secret->size() > kMostBytes) return std::nullopt;
  return secret;
}

std::string secret_text(std::string_view secret) {
  return std::string(kPrefix) + to_base64(secret);
}

std::string make_secret() {
  std::string secret(kMadeBytes, '\0');
  fill_random(std::as_writable_bytes(std::span(secret)));
  return secret;
}

std::string sign(std::string_view secret, std::string_view id, std::int64_t timestamp, std::string_view body) {
  std::string signed_text(id);
  signed_text.append(".").append(std::to_string(timestamp)).append(".").append(body);
  std::array<unsigned char, kDigestBytes> digest{};
  unsigned length = 0;
  const auto* bytes = reinterpret_cast<const unsigned char*>(signed_text.data());
  if (HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()), bytes, signed_text.size(), digest.data(),
           &length) == nullptr) {
    throw std::runtime_error("HMAC failed");
  }
  return "v1," + to_base64({reinterpret_cast<const char*>(digest.data()), length});
}

}  // namespace turnpike::webhooks
