#include "turnpike/base/random.hpp"

#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <limits>
#include <stdexcept>
#include <string_view>

namespace turnpike {
namespace {

constexpr std::string_view kBase62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

void append_hex(std::string& out, std::uint64_t value, int digits) {
  for (int shift = (digits - 1) * 4; shift >= 0; shift -= 4) out += "0123456789abcdef"[(value >> shift) & 0xF];
}

void append_uuid_of(std::string& out, std::uint64_t high, std::uint64_t low) {
  high = (high & ~0xF000ULL) | 0x4000ULL;
  low = (low & ~(0xC0ULL << 56)) | (0x80ULL << 56);
  append_hex(out, high >> 32, 8);
  out += '-';
  append_hex(out, high >> 16 & 0xFFFF, 4);
  out += '-';
  append_hex(out, high & 0xFFFF, 4);
  out += '-';
  append_hex(out, low >> 48, 4);
  out += '-';
  append_hex(out, low & 0xFFFF'FFFF'FFFFULL, 12);
}

}  // namespace

void fill_random(std::span<std::byte> out) {
  if (out.size() > static_cast<std::size_t>(std::numeric_limits<int>::max()) ||
      RAND_bytes(static_cast<unsigned char*>(static_cast<void*>(out.data())), static_cast<int>(out.size())) != 1) {
    throw std::runtime_error("the operating system's random source failed");
  }
}

std::string random_base62(std::size_t length) {
  std::string out;
  out.reserve(length);
  std::array<std::byte, 64> bytes{};
  while (out.size() < length) {
    fill_random(bytes);
    for (auto byte : bytes) {
      // 248 is the largest multiple of 62 in a byte: above it the choice would not be uniform.
      auto value = std::to_integer<unsigned>(byte);
      if (value < 248 && out.size() < length) out += kBase62[value % 62];
    }
  }
  return out;
}

std::string random_uuid() {
  std::array<std::uint64_t, 2> bits{};
  fill_random(std::as_writable_bytes(std::span(bits)));
  std::string out;
  append_uuid_of(out, bits[0], bits[1]);
  return out;
}

std::uint64_t IdSource::next() {
  if (left_ == 0) {
    fill_random(std::as_writable_bytes(std::span(block_)));
    left_ = std::size(block_);
  }
  return block_[--left_];
}

void IdSource::append_base62(std::string& out, std::size_t length) {
  while (length > 0) {
    auto bits = next();
    // Ten characters take 59.5 of the 64 bits; the bias left is below 2^-4 of one character in 2^59.
    std::array<char, 10> text{};
    for (char& c : text) {
      c = kBase62[bits % 62];
      bits /= 62;
    }
    const auto taken = std::min(length, text.size());
    out.append(text.data(), taken);
    length -= taken;
  }
}

void IdSource::append_uuid(std::string& out) {
  const auto high = next();
  append_uuid_of(out, high, next());
}

}  // namespace turnpike
