#include "walk.hpp"

#include <cstring>
#include <utility>

namespace turnpike::scan {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_hex(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

std::size_t skip_digits(std::string_view text, std::size_t at) {
  while (at < text.size() && is_digit(text[at])) ++at;
  return at;
}

bool walk_object(od::value value, int depth) {
  od::object object;
  if (value.get_object().get(object)) return false;
  for (auto item : object) {
    std::string_view key;
    od::value inner;
    if (!open_member(item, key, inner)) return false;
    if (!walk(inner, depth + 1)) return false;
  }
  return true;
}

bool walk_array(od::value value, int depth) {
  od::array array;
  if (value.get_array().get(array)) return false;
  for (auto element : array) {
    od::value item;
    if (std::move(element).get(item) || !walk(item, depth + 1)) return false;
  }
  return true;
}

}  // namespace

std::string_view trimmed(std::string_view token) {
  const auto last = token.find_last_not_of(" \t\r\n");
  return token.substr(0, last == std::string_view::npos ? 0 : last + 1);
}

bool is_number(std::string_view token) {
  std::size_t at = token.starts_with('-') ? 1 : 0;
  if (at >= token.size() || !is_digit(token[at])) return false;
  at = token[at] == '0' ? at + 1 : skip_digits(token, at);
  if (at < token.size() && token[at] == '.') {
    const auto from = at + 1;
    at = skip_digits(token, from);
    if (at == from) return false;
  }
  if (at < token.size() && (token[at] == 'e' || token[at] == 'E')) {
    ++at;
    if (at < token.size() && (token[at] == '+' || token[at] == '-')) ++at;
    const auto from = at;
    at = skip_digits(token, from);
    if (at == from) return false;
  }
  return at == token.size();
}

bool is_string(std::string_view token) {
  return token.size() >= 2 && token.front() == '"' && token.back() == '"' &&
         escapes_are_valid(token.substr(1, token.size() - 2));
}

bool is_scalar(std::string_view token) {
  return is_string(token) || token == "true" || token == "false" || token == "null" || is_number(token);
}

std::string_view token_of(od::value& value) {
  const std::string_view raw = value.raw_json_token();
  // A value that a colon follows is a key where none may be; the cursor would pass over both without a word. The raw
  // token ends where the next one begins, which at the very end is in the padding.
  if (raw.data()[raw.size()] == ':') return raw.substr(0, 0);
  return trimmed(raw);
}

bool open_member(simdjson::simdjson_result<od::field> item, std::string_view& key, od::value& value) {
  od::field field;
  if (std::move(item).get(field) || field.unescaped_key().get(key)) return false;
  value = field.value();
  return true;
}

bool at_end(od::document& document) {
  const char* rest = nullptr;
  return document.current_location().get(rest) == simdjson::OUT_OF_BOUNDS;
}

bool walk(od::value value, int depth) {
  if (depth > kMostDepth) return false;
  od::json_type type{};
  if (value.type().get(type)) return false;
  if (type == od::json_type::object) return walk_object(value, depth);
  if (type == od::json_type::array) return walk_array(value, depth);
  return is_scalar(token_of(value));
}

std::size_t end_of_container(std::string_view json, std::size_t begin) {
  int depth = 0;
  for (std::size_t at = begin; at < json.size(); ++at) {
    const char c = json[at];
    if (c == '"') {
      for (++at; at < json.size() && json[at] != '"'; ++at) {
        if (json[at] == '\\') ++at;
      }
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if (c == '}' || c == ']') {
      if (--depth == 0) return at + 1;
    }
  }
  return json.size();
}

bool escapes_are_valid(std::string_view text) {
  while (true) {
    const auto* slash = static_cast<const char*>(std::memchr(text.data(), '\\', text.size()));
    if (slash == nullptr) return true;
    text.remove_prefix(static_cast<std::size_t>(slash - text.data()) + 1);
    if (text.empty()) return false;
    if (text[0] == 'u') {
      if (text.size() < 5) return false;
      for (std::size_t i = 1; i < 5; ++i) {
        if (!is_hex(text[i])) return false;
      }
      text.remove_prefix(5);
    } else {
      if (std::string_view("\"\\/bfnrt").find(text[0]) == std::string_view::npos) return false;
      text.remove_prefix(1);
    }
  }
}

std::size_t unescaped_bytes(std::string_view text) {
  std::size_t bytes = text.size();
  while (true) {
    const auto* slash = static_cast<const char*>(std::memchr(text.data(), '\\', text.size()));
    if (slash == nullptr) return bytes;
    text.remove_prefix(static_cast<std::size_t>(slash - text.data()) + 1);
    if (text.starts_with('u') && text.size() >= 5) {
      unsigned code = 0;
      for (std::size_t i = 1; i < 5; ++i) {
        const char c = text[i];
        code = code * 16 + static_cast<unsigned>(is_digit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
      }
      // Six characters stand for one to three bytes; each half of a surrogate pair for two of the pair's four.
      const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
      bytes -= 6 - (surrogate || (code >= 0x80 && code < 0x800) ? 2U : code < 0x80 ? 1U : 3U);
      text.remove_prefix(5);
    } else {
      bytes -= 1;
      if (!text.empty()) text.remove_prefix(1);
    }
  }
}

}  // namespace turnpike::scan
