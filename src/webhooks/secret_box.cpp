#include "secret_box.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <filesystem>
#include <memory>
#include <span>
#include <stdexcept>
#include <utility>

#include "turnpike/base/encoding.hpp"
#include "turnpike/base/private_file.hpp"
#include "turnpike/base/random.hpp"

namespace turnpike::webhooks {
namespace {

constexpr std::size_t kKeyBytes = 32;
constexpr std::size_t kNonceBytes = 12;
constexpr std::size_t kTagBytes = 16;

using Context = std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)>;

unsigned char* room_of(std::string& text) {
  return reinterpret_cast<unsigned char*>(text.data());
}
const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}
int length_of(std::string_view text) {
  return static_cast<int>(text.size());
}

std::unexpected<Error> unusable(const std::string& file, const std::string& why) {
  return fail(Fault::internal_error, "the key for webhooks' secrets, " + file + ", " + why);
}

}  // namespace

SecretBox::~SecretBox() {
  OPENSSL_cleanse(key_.data(), key_.size());
}

Result<SecretBox> SecretBox::open(const std::string& file) {
  std::error_code failed;
  if (!std::filesystem::exists(std::filesystem::symlink_status(file, failed))) {
    std::string key(kKeyBytes, '\0');
    fill_random(std::as_writable_bytes(std::span(key)));
    if (const auto written = write_private_file(file, to_base64(key) + "\n"); !written) {
      return unusable(file, written.error());
    }
    return SecretBox(std::move(key));
  }
  const auto text = read_private_file(file);
  if (!text) return unusable(file, text.error());
  auto key = from_base64(std::string_view(*text).substr(0, text->find('\n')));
  if (!key || key->size() != kKeyBytes) return unusable(file, "is not the base64 of 32 bytes");
  return SecretBox(*std::move(key));
}

std::string SecretBox::seal(std::string_view secret, std::string_view owner) const {
  std::string sealed(kNonceBytes + secret.size() + kTagBytes, '\0');
  fill_random(std::as_writable_bytes(std::span(sealed).first(kNonceBytes)));
  unsigned char* const nonce = room_of(sealed);
  unsigned char* const text = nonce + kNonceBytes;
  const Context context(EVP_CIPHER_CTX_new(), &EVP_CIPHER_CTX_free);
  int length = 0;
  if (!context || EVP_EncryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, bytes_of(key_), nonce) != 1 ||
      EVP_EncryptUpdate(context.get(), nullptr, &length, bytes_of(owner), length_of(owner)) != 1 ||
      EVP_EncryptUpdate(context.get(), text, &length, bytes_of(secret), length_of(secret)) != 1 ||
      EVP_EncryptFinal_ex(context.get(), text + length, &length) != 1 ||
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, kTagBytes, text + secret.size()) != 1) {
    throw std::runtime_error("OpenSSL cannot seal by AES-256-GCM");
  }
  return sealed;
}

std::optional<std::string> SecretBox::unseal(std::string_view sealed, std::string_view owner) const {
  if (sealed.size() < kNonceBytes + kTagBytes) return std::nullopt;
  const auto nonce = sealed.substr(0, kNonceBytes);
  const auto text = sealed.substr(kNonceBytes, sealed.size() - kNonceBytes - kTagBytes);
  std::string tag(sealed.substr(sealed.size() - kTagBytes));
  std::string secret(text.size(), '\0');
  const Context context(EVP_CIPHER_CTX_new(), &EVP_CIPHER_CTX_free);
  int length = 0;
  if (!context || EVP_DecryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, bytes_of(key_), bytes_of(nonce)) != 1 ||
      EVP_DecryptUpdate(context.get(), nullptr, &length, bytes_of(owner), length_of(owner)) != 1 ||
      EVP_DecryptUpdate(context.get(), room_of(secret), &length, bytes_of(text), length_of(text)) != 1 ||
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_SET_TAG, kTagBytes, tag.data()) != 1 ||
      EVP_DecryptFinal_ex(context.get(), room_of(secret) + length, &length) != 1) {
    return std::nullopt;
  }
  return secret;
}

}  // namespace turnpike::webhooks
