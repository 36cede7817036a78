#include "turnpike/proof/canonical_json.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <charconv>
#include <cmath>
#include <concepts>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>
#include <vector>

namespace turnpike::proof {
namespace {

using nlohmann::json;
__extension__ using Wide = __int128;

constexpr std::int64_t kMostExact = std::int64_t{1} << 53;
constexpr int kMostDigitsBeforePoint = 21;
constexpr int kMostZerosBehindPoint = 6;
constexpr int kMostDepth = 256;

// The code point at the head of `text`, which is UTF-8 and loses it.
char32_t take_code_point(std::string_view& text) {
  const auto first = static_cast<unsigned char>(text.front());
  const std::size_t length = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  char32_t point = length == 1 ? first : first & (0xFFU >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) point = point << 6U | (static_cast<unsigned char>(text[i]) & 0x3FU);
  text.remove_prefix(length);
  return point;
}

// As UTF-16 orders them: what takes two units begins with one of D800 to DBFF, and so comes before E000 to FFFF.
char32_t rank(char32_t point) {
  if (point >= 0x10000) return point - 0x10000 + 0xD800;
  return point >= 0xE000 ? point + 0x200000 : point;
}

bool utf16_before(std::string_view a, std::string_view b) {
  while (!a.empty() && !b.empty()) {
    const char32_t of_a = take_code_point(a);
    const char32_t of_b = take_code_point(b);
    if (of_a != of_b) return rank(of_a) < rank(of_b);
  }
  return a.empty() && !b.empty();
}

// Thrown inside this file alone.
struct NoCanonicalForm {
  std::string why;
};

bool is_utf8(const std::string& text) {
  try {
    std::ignore = json(text).dump();
    return true;
  } catch (const json::exception&) {
    return false;
  }
}

// Every number is a double to RFC 8785. One that is neither a double nor what a double is written as has no form that
// says the same.
template <std::integral Whole>
void append_whole(std::string& out, Whole number) {
  if (std::cmp_less_equal(-kMostExact, number) && std::cmp_less_equal(number, kMostExact)) {
    append_number(out, static_cast<std::int64_t>(number));
    return;
  }
  const auto nearest = static_cast<double>(number);
  std::string digits;
  append_number(digits, nearest);
  if (static_cast<Wide>(nearest) != number && digits != std::to_string(number)) {
    throw NoCanonicalForm{"a whole number that no double is"};
  }
  out += digits;
}

void append(std::string& out, const json& value);

void append_object(std::string& out, const json& object) {
  std::vector<json::const_iterator> members;
  members.reserve(object.size());
  for (auto member = object.begin(); member != object.end(); ++member) {
    if (!is_utf8(member.key())) throw NoCanonicalForm{"a name that is not UTF-8"};
    members.push_back(member);
  }
  std::ranges::sort(members, [](const auto& a, const auto& b) { return utf16_before(a.key(), b.key()); });
  out += '{';
  bool first = true;
  for (const auto& member : members) {
    if (!std::exchange(first, false)) out += ',';
    append_string(out, member.key());
    out += ':';
    append(out, member.value());
  }
  out += '}';
}

void append(std::string& out, const json& value) {
  switch (value.type()) {
    case json::value_t::object:
      append_object(out, value);
      break;
    case json::value_t::array: {
      out += '[';
      bool first = true;
      for (const auto& element : value) {
        if (!std::exchange(first, false)) out += ',';
        append(out, element);
      }
      out += ']';
      break;
    }
    case json::value_t::string:
      if (!is_utf8(value.get_ref<const std::string&>())) throw NoCanonicalForm{"text that is not UTF-8"};
      append_string(out, value.get_ref<const std::string&>());
      break;
    case json::value_t::number_integer:
      append_whole(out, value.get<std::int64_t>());
      break;
    case json::value_t::number_unsigned:
      append_whole(out, value.get<std::uint64_t>());
      break;
    case json::value_t::number_float:
      if (!std::isfinite(value.get<double>())) throw NoCanonicalForm{"a number that JSON has not"};
      append_number(out, value.get<double>());
      break;
    case json::value_t::boolean:
      out += value.get<bool>() ? "true" : "false";
      break;
    case json::value_t::null:
      out += "null";
      break;
    default:
      throw NoCanonicalForm{"a value that JSON has not"};
  }
}

}  // namespace

std::expected<std::string, std::string> canonical_json(const json& document) {
  try {
    std::string out;
    append(out, document);
    return out;
  } catch (const NoCanonicalForm& found) {
    return std::unexpected(found.why);
  }
}

std::expected<json, std::string> parse_strictly(std::string_view text) {
  std::vector<std::set<std::string>> open;  // the names so far of each object that is not closed
  std::string twice;
  const json::parser_callback_t watch = [&](int depth, json::parse_event_t event, json& parsed) {
    if (depth > kMostDepth) throw NoCanonicalForm{"it is nested too deep"};
    if (event == json::parse_event_t::object_start) open.emplace_back();
    if (event == json::parse_event_t::object_end) open.pop_back();
    if (event == json::parse_event_t::key && !open.back().insert(parsed.get<std::string>()).second) {
      twice = parsed.get<std::string>();
    }
    return true;
  };
  try {
    auto document = json::parse(text, watch);
    if (!twice.empty()) return std::unexpected("the name \"" + twice + "\" stands twice in an object");
    return document;
  } catch (const json::exception&) {
    return std::unexpected("it is no JSON");
  } catch (const NoCanonicalForm& found) {
    return std::unexpected(found.why);
  }
}

void append_number(std::string& out, std::int64_t number) {
  std::array<char, 24> text{};
  out.append(text.data(), std::to_chars(text.data(), text.data() + text.size(), number).ptr);
}

// ECMA-262, section 6.1.6.1.20: the shortest digits that read back as the same double, laid out by where the point is.
void append_number(std::string& out, double number) {
  assert(std::isfinite(number));
  if (number == 0) {
    out += '0';
    return;
  }
  std::array<char, 32> text{};
  const char* end = std::to_chars(text.data(), text.data() + text.size(), number, std::chars_format::scientific).ptr;
  std::string_view scientific(text.data(), end);
  if (scientific.starts_with('-')) {
    out += '-';
    scientific.remove_prefix(1);
  }
  const auto e = scientific.find('e');
  std::string digits(1, scientific.front());
  if (e > 2) digits += scientific.substr(2, e - 2);
  auto exponent = scientific.substr(e + 1);
  if (exponent.starts_with('+')) exponent.remove_prefix(1);
  int power = 0;
  std::from_chars(exponent.data(), exponent.data() + exponent.size(), power);
  const int length = static_cast<int>(digits.size());
  const int point = power + 1;  // digits before the point
  const auto zeros = [](int count) { return std::string(static_cast<std::size_t>(count), '0'); };
  if (length <= point && point <= kMostDigitsBeforePoint) {
    out.append(digits).append(zeros(point - length));
  } else if (0 < point && point <= kMostDigitsBeforePoint) {
    out.append(digits, 0, static_cast<std::size_t>(point)).append(".").append(digits, static_cast<std::size_t>(point));
  } else if (-kMostZerosBehindPoint < point && point <= 0) {
    out.append("0.").append(zeros(-point)).append(digits);
  } else {
    out += digits.front();
    if (length > 1) out.append(".").append(digits, 1);
    out.append(power < 0 ? "e-" : "e+").append(std::to_string(std::abs(power)));
  }
}

namespace {

// Whether nothing in it needs an escape, as is so of nearly every text. Eight bytes at a time: a byte below 0x20, or
// one that is zero once it is compared with a quote or a backslash, borrows into its highest bit.
bool is_plain(std::string_view text) {
  constexpr std::uint64_t kOnes = 0x0101010101010101;
  constexpr std::uint64_t kHighs = kOnes << 7U;
  const auto zeros = [](std::uint64_t word) { return (word - kOnes) & ~word; };
  std::uint64_t found = 0;
  while (!text.empty()) {
    std::uint64_t word = kOnes * ' ';
    const auto size = std::min(text.size(), sizeof word);
    std::memcpy(&word, text.data(), size);
    text.remove_prefix(size);
    found |= ((word - kOnes * 0x20) & ~word) | zeros(word ^ (kOnes * '"')) | zeros(word ^ (kOnes * '\\'));
  }
  return (found & kHighs) == 0;
}

}  // namespace

char* put_string(char* at, std::string_view text) {
  *at++ = '"';
  if (is_plain(text)) {
    std::memcpy(at, text.data(), text.size());
    at += text.size();
    *at++ = '"';
    return at;
  }
  for (const char c : text) {
    if (static_cast<unsigned char>(c) >= 0x20 && c != '"' && c != '\\') {
      *at++ = c;
      continue;
    }
    *at++ = '\\';
    // In the order of their characters: the short escapes of RFC 8259, section 7, that are control characters.
    constexpr std::string_view kShort = "\b\t\n\f\r\"\\";
    constexpr std::string_view kLetters = "btnfr\"\\";
    if (const auto place = kShort.find(c); place != std::string_view::npos) {
      *at++ = kLetters[place];
      continue;
    }
    for (const char each : {'u', '0', '0', "01"[c >> 4], "0123456789abcdef"[c & 0xF]}) *at++ = each;
  }
  *at++ = '"';
  return at;
}

void append_string(std::string& out, std::string_view text) {
  const auto before = out.size();
  out.resize_and_overwrite(before + most_string_bytes(text), [&](char* bytes, std::size_t /*room*/) {
    return static_cast<std::size_t>(put_string(bytes + before, text) - bytes);
  });
}

}  // namespace turnpike::proof
