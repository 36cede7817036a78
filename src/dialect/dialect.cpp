#include "turnpike/dialect/dialect.hpp"

#include <array>
#include <chrono>

namespace turnpike::dialect {
namespace {

constexpr std::string_view kBase62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
constexpr std::size_t kTimeLength = 7;  // milliseconds in base62 fit until the year 2081
constexpr std::size_t kRandomLength = 17;

std::uint64_t unix_millis(WallTime now) {
  return static_cast<std::uint64_t>(std::chrono::floor<std::chrono::milliseconds>(now).time_since_epoch().count());
}

void append_sortable_base62(std::string& out, IdSource& ids, WallTime now) {
  std::array<char, kTimeLength> digits{};
  std::uint64_t left = unix_millis(now);
  for (auto digit = digits.rbegin(); digit != digits.rend(); ++digit, left /= 62) *digit = kBase62[left % 62];
  out.append(digits.data(), digits.size());
  ids.append_base62(out, kRandomLength);
}

// A version 4 UUID with its first 48 bits and its version written over is one of version 7.
void append_sortable_uuid(std::string& out, IdSource& ids, WallTime now) {
  const std::size_t begin = out.size();
  ids.append_uuid(out);
  std::uint64_t left = unix_millis(now);
  for (std::size_t at = begin + 13; at-- > begin;) {
    if (out[at] == '-') continue;
    out[at] = "0123456789abcdef"[left % 16];
    left /= 16;
  }
  out[begin + 14] = '7';
}

}  // namespace

void append_id(const Dialect& dialect, IdSource& ids, WallTime now, std::string& out) {
  out.reserve(out.size() + dialect.id_prefix.size() + 40);
  out += dialect.id_prefix;
  if (dialect.id_form == IdForm::uuid) {
    append_sortable_uuid(out, ids, now);
  } else {
    append_sortable_base62(out, ids, now);
  }
}

const Dialect& Dialects::by_key_prefix(std::string_view presented) const {
  for (const Dialect& dialect : all_) {
    for (const std::string& prefix : dialect.key_prefixes) {
      if (presented.starts_with(prefix)) return dialect;
    }
  }
  return fallback();
}

const Dialect* Dialects::by_id(std::string_view id) const {
  for (const Dialect& dialect : all_) {
    if (dialect.id == id) return &dialect;
  }
  return nullptr;
}

}  // namespace turnpike::dialect
