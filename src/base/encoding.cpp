#include "turnpike/base/encoding.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <chrono>
#include <cstdio>
#include <stdexcept>

namespace turnpike {
namespace {

const unsigned char* bytes_of(std::string_view text) {
  return static_cast<const unsigned char*>(static_cast<const void*>(text.data()));
}

}  // namespace

Sha256 sha256(std::string_view bytes) {
  // OpenSSL's one-shot call looks the algorithm up each time, which costs several times the digest of a key.
  struct Context {
    EVP_MD* algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
    EVP_MD_CTX* state = EVP_MD_CTX_new();
    Context() = default;
    Context(const Context&) = delete;
    Context& operator=(const Context&) = delete;
    ~Context() {
      EVP_MD_CTX_free(state);
      EVP_MD_free(algorithm);
    }
  };
  thread_local const Context context;
  Sha256 digest{};
  if (EVP_DigestInit_ex2(context.state, context.algorithm, nullptr) != 1 ||
      EVP_DigestUpdate(context.state, bytes.data(), bytes.size()) != 1 ||
      EVP_DigestFinal_ex(context.state, digest.data(), nullptr) != 1) {
    throw std::runtime_error("SHA-256 failed");
  }
  return digest;
}

std::string to_hex(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    out += "0123456789abcdef"[byte >> 4];
    out += "0123456789abcdef"[byte & 0xF];
  }
  return out;
}

std::string to_base64(std::string_view bytes) {
  std::string out((bytes.size() + 2) / 3 * 4 + 1, '\0');
  const int length = EVP_EncodeBlock(static_cast<unsigned char*>(static_cast<void*>(out.data())), bytes_of(bytes),
                                     static_cast<int>(bytes.size()));
  out.resize(static_cast<std::size_t>(length));
  return out;
}

std::optional<std::string> from_base64(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  std::size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;
  std::string out(text.size() / 4 * 3, '\0');
  const int length = EVP_DecodeBlock(static_cast<unsigned char*>(static_cast<void*>(out.data())), bytes_of(text),
                                     static_cast<int>(text.size()));
  if (length < 0 || static_cast<std::size_t>(length) != out.size()) return std::nullopt;
  out.resize(out.size() - padding);
  // EVP_DecodeBlock skips white space and stray bits; a strict reader accepts only what it would have written.
  if (to_base64(out) != text) return std::nullopt;
  return out;
}

bool equal_in_constant_time(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::string rfc3339(std::int64_t unix_micros) {
  using namespace std::chrono;
  const sys_time<milliseconds> at = floor<milliseconds>(sys_time<microseconds>(microseconds(unix_micros)));
  const auto day = floor<days>(at);
  const year_month_day date(day);
  const hh_mm_ss time(at - day);
  std::array<char, 40> out{};
  const int length =
      std::snprintf(out.data(), out.size(), "%04d-%02u-%02uT%02d:%02d:%02d.%03dZ", static_cast<int>(date.year()),
                    static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                    static_cast<int>(time.hours().count()), static_cast<int>(time.minutes().count()),
                    static_cast<int>(time.seconds().count()), static_cast<int>(time.subseconds().count()));
  return {out.data(), static_cast<std::size_t>(length)};
}

}  // namespace turnpike
