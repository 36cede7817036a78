#include "turnpike/http/known_head.hpp"

#include <algorithm>

namespace turnpike::http {
namespace {

constexpr std::size_t kMostBytes = 2048;
constexpr std::size_t kMostDigits = 9;
constexpr std::uint64_t kMostUnproved = 16;  // learned, beyond what was recognised

}  // namespace

std::optional<KnownHead::Match> KnownHead::match(std::string_view bytes) {
  if (before_.empty() || !bytes.starts_with(before_)) return std::nullopt;
  Match match{.bytes = before_.size(), .content_length = std::nullopt};
  if (has_length_) {
    bytes.remove_prefix(before_.size());
    std::uint64_t length = 0;
    while (match.digits < std::min(bytes.size(), kMostDigits)) {
      const char c = bytes[match.digits];
      if (c < '0' || c > '9') break;
      length = length * 10 + static_cast<std::uint64_t>(c - '0');
      ++match.digits;
    }
    // One way to write each number: any other is the parser's to judge.
    const bool plain = match.digits == 1 || (match.digits > 1 && bytes.front() != '0');
    if (!plain || !bytes.substr(match.digits).starts_with(behind_)) return std::nullopt;
    match.content_length = length;
    match.bytes += match.digits + behind_.size();
  }
  ++matched_;
  return match;
}

void KnownHead::learn(std::string_view head, const Fields& fields) {
  forget();
  if (head.size() > kMostBytes || learned_ > matched_ + kMostUnproved) return;
  const auto is_length = [](const HeaderField& field) { return field.id == Field::content_length; };
  const auto lengths = std::ranges::count_if(fields.all(), is_length);
  if (lengths > 1) return;
  ++learned_;
  has_length_ = lengths == 1;
  if (!has_length_) {
    before_ = head;
    return;
  }
  const auto value = std::ranges::find_if(fields.all(), is_length)->value;
  const auto at = static_cast<std::size_t>(value.data() - head.data());
  before_ = head.substr(0, at);
  behind_ = head.substr(at + value.size());
}

void KnownHead::forget() {
  before_.clear();
  behind_.clear();
}

}  // namespace turnpike::http
