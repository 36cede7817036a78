#include "turnpike/base/encoding.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#ifdef __x86_64__
#include <nmmintrin.h>
#endif

#include <algorithm>
#include <boost/crc.hpp>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <stdexcept>

#include "turnpike/base/running_digest.hpp"

namespace turnpike {
namespace {

const unsigned char* bytes_of(std::string_view text) {
  return static_cast<const unsigned char*>(static_cast<const void*>(text.data()));
}

std::optional<unsigned> hex_digit(char c) {
  if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a' + 10);
  if (c >= 'A' && c <= 'F') return static_cast<unsigned>(c - 'A' + 10);
  return std::nullopt;
}

constexpr std::string_view kBase58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

// The digits of a number in one base as digits in another, the largest first, without zeros at the front.
std::string change_base(std::string_view digits, unsigned from, unsigned to) {
  std::string out;  // the smallest first
  for (const char digit : digits) {
    unsigned carry = static_cast<unsigned char>(digit);
    for (char& place : out) {
      carry += static_cast<unsigned char>(place) * from;
      place = static_cast<char>(carry % to);
      carry /= to;
    }
    for (; carry > 0; carry /= to) out += static_cast<char>(carry % to);
  }
  std::ranges::reverse(out);
  return out;
}

// A number of exactly `width` digits at the front of `text`, which loses them.
std::optional<int> take_number(std::string_view& text, std::size_t width) {
  if (text.size() < width) return std::nullopt;
  int value = 0;
  for (const char c : text.substr(0, width)) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + (c - '0');
  }
  text.remove_prefix(width);
  return value;
}

// One of `wanted` at the front of `text`, which loses it.
std::optional<char> take_one_of(std::string_view& text, std::string_view wanted) {
  if (text.empty() || !wanted.contains(text.front())) return std::nullopt;
  const char taken = text.front();
  text.remove_prefix(1);
  return taken;
}

// What follows the seconds of a time: the fraction, if any.
std::optional<std::chrono::microseconds> take_fraction(std::string_view& text) {
  std::chrono::microseconds fraction(0);
  if (!take_one_of(text, ".")) return fraction;
  if (text.empty() || text.front() < '0' || text.front() > '9') return std::nullopt;
  std::chrono::microseconds place(100'000);
  while (const auto digit = take_number(text, 1)) {
    fraction += place * *digit;
    place /= 10;
  }
  return fraction;
}

// How far a local time is ahead of UTC: "Z", "+02:00".
std::optional<std::chrono::minutes> take_offset(std::string_view& text) {
  const auto sign = take_one_of(text, "Zz+-");
  if (!sign) return std::nullopt;
  if (*sign == 'Z' || *sign == 'z') return std::chrono::minutes(0);
  const auto hours = take_number(text, 2);
  const bool colon = take_one_of(text, ":").has_value();
  const auto minutes = take_number(text, 2);
  if (!hours || !colon || !minutes || *hours > 23 || *minutes > 59) return std::nullopt;
  const std::chrono::minutes ahead = std::chrono::hours(*hours) + std::chrono::minutes(*minutes);
  return *sign == '+' ? ahead : -ahead;
}

#ifdef __x86_64__
[[gnu::target("sse4.2")]] std::uint32_t crc32c_in_hardware(std::string_view bytes) {
  std::uint64_t crc = 0xFFFFFFFF;
  for (; bytes.size() >= sizeof crc; bytes.remove_prefix(sizeof crc)) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data(), sizeof word);
    crc = _mm_crc32_u64(crc, word);
  }
  auto rest = static_cast<std::uint32_t>(crc);
  for (const char byte : bytes) rest = _mm_crc32_u8(rest, static_cast<unsigned char>(byte));
  return ~rest;
}
#endif

}  // namespace

Sha256 sha256(std::string_view bytes) {
  RunningSha256 digest;
  digest.add(bytes);
  return digest.finish();
}

Sha512 sha512(std::string_view bytes) {
  Sha512 digest{};
  if (EVP_Digest(bytes.data(), bytes.size(), digest.data(), nullptr, EVP_sha512(), nullptr) != 1) {
    throw std::runtime_error("SHA-512 failed");
  }
  return digest;
}

std::uint32_t crc32c_portable(std::string_view bytes) {
  boost::crc_optimal<32, 0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, true, true> crc;
  crc.process_bytes(bytes.data(), bytes.size());
  return crc.checksum();
}

std::uint32_t crc32c(std::string_view bytes) {
#ifdef __x86_64__
  static const bool in_hardware = __builtin_cpu_supports("sse4.2") != 0;
  if (in_hardware) return crc32c_in_hardware(bytes);
#endif
  return crc32c_portable(bytes);
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

std::optional<std::string> from_hex(std::string_view text) {
  if (text.size() % 2 != 0) return std::nullopt;
  std::string out;
  out.reserve(text.size() / 2);
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const auto high = hex_digit(text[i]);
    const auto low = hex_digit(text[i + 1]);
    if (!high || !low) return std::nullopt;
    out += static_cast<char>(*high << 4 | *low);
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

std::string to_base64url(std::string_view bytes) {
  std::string text = to_base64(bytes);
  text.resize(text.find_last_not_of('=') + 1);
  std::ranges::replace(text, '+', '-');
  std::ranges::replace(text, '/', '_');
  return text;
}

std::optional<std::string> from_base64url(std::string_view text) {
  if (text.find_first_of("+/=") != std::string_view::npos) return std::nullopt;
  std::string padded(text);
  std::ranges::replace(padded, '-', '+');
  std::ranges::replace(padded, '_', '/');
  padded.append((4 - padded.size() % 4) % 4, '=');
  return from_base64(padded);
}

std::string to_base58(std::string_view bytes) {
  const std::size_t zeros = std::min(bytes.find_first_not_of('\0'), bytes.size());
  std::string out = change_base(bytes, 256, 58);
  for (char& digit : out) digit = kBase58[static_cast<unsigned char>(digit)];
  return out.insert(0, zeros, kBase58.front());
}

std::optional<std::string> from_base58(std::string_view text) {
  std::string digits;
  digits.reserve(text.size());
  for (const char c : text) {
    const auto value = kBase58.find(c);
    if (value == std::string_view::npos) return std::nullopt;
    digits += static_cast<char>(value);
  }
  const std::size_t zeros = std::min(text.find_first_not_of(kBase58.front()), text.size());
  return change_base(digits, 58, 256).insert(0, zeros, '\0');
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

std::optional<std::int64_t> parse_rfc3339(std::string_view text) {
  using namespace std::chrono;
  struct Part {
    std::size_t width;
    std::string_view ends_in;
  };
  constexpr Part kParts[] = {{4, "-"}, {2, "-"}, {2, "Tt"}, {2, ":"}, {2, ":"}, {2, ""}};
  std::array<int, std::size(kParts)> numbers{};
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const auto number = take_number(text, kParts[i].width);
    if (!number || (!kParts[i].ends_in.empty() && !take_one_of(text, kParts[i].ends_in))) return std::nullopt;
    numbers[i] = *number;
  }
  const auto [years, months, days_of_month, hour, minute, second] = numbers;
  const year_month_day date{year(years), month(static_cast<unsigned>(months)),
                            day(static_cast<unsigned>(days_of_month))};
  // A leap second is taken for the one after it: Unix time has none.
  if (!date.ok() || hour > 23 || minute > 59 || second > 60) return std::nullopt;
  const auto fraction = take_fraction(text);
  if (!fraction) return std::nullopt;
  const auto ahead = take_offset(text);
  if (!ahead || !text.empty()) return std::nullopt;
  const sys_time<microseconds> at =
      sys_days(date) + hours(hour) + minutes(minute) + seconds(second) + *fraction - *ahead;
  return at.time_since_epoch().count();
}

}  // namespace turnpike
