#include "turnpike/identity/structured_fields.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

#include "turnpike/base/encoding.hpp"

namespace turnpike::identity {
namespace {

constexpr std::size_t kMostDigits = 15;

bool is_lower(char c) {
  return c >= 'a' && c <= 'z';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_letter(char c) {
  return is_lower(c) || (c >= 'A' && c <= 'Z');
}
bool is_key_character(char c) {
  return is_lower(c) || is_digit(c) || std::string_view("_-.*").contains(c);
}
bool is_token_character(char c) {
  return is_letter(c) || is_digit(c) || std::string_view("!#$%&'*+-.^_`|~:/").contains(c);
}

// Reads from the front of a text. Every function takes what it returns; nullopt: malformed.
class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}

  std::optional<Dictionary> dictionary() {
    Dictionary members;
    skip(" ");
    while (!rest_.empty()) {
      auto read = member();
      if (!read || find(members, read->key) != nullptr || members.size() == kMostMembers) return std::nullopt;
      members.push_back(*std::move(read));
      skip(" \t");
      if (rest_.empty()) break;
      if (!take(',')) return std::nullopt;
      skip(" \t");
      if (rest_.empty()) return std::nullopt;  // a comma is between two
    }
    return members;
  }

 private:
  bool take(char wanted) {
    if (!rest_.starts_with(wanted)) return false;
    rest_.remove_prefix(1);
    return true;
  }
  void skip(std::string_view blanks) { rest_.remove_prefix(std::min(rest_.find_first_not_of(blanks), rest_.size())); }
  // As many as fit.
  std::string_view take_all(bool (*fits)(char)) {
    const auto end = std::ranges::find_if_not(rest_, fits);
    const auto taken = rest_.substr(0, static_cast<std::size_t>(end - rest_.begin()));
    rest_.remove_prefix(taken.size());
    return taken;
  }

  std::optional<Member> member() {
    auto name = key();
    if (!name) return std::nullopt;
    Member read{.key = *std::move(name), .value = Item{.value = true, .parameters = {}}};
    const bool has_value = take('=');
    if (has_value && rest_.starts_with('(')) {
      auto list = inner_list();
      if (!list) return std::nullopt;
      read.value = *std::move(list);
      return read;
    }
    auto value = has_value ? bare_item() : std::optional<BareItem>(true);
    auto more = value ? parameters() : std::nullopt;
    if (!more) return std::nullopt;
    read.value = Item{.value = *std::move(value), .parameters = *std::move(more)};
    return read;
  }

  std::optional<InnerList> inner_list() {
    InnerList list;
    take('(');
    while (true) {
      skip(" ");
      if (take(')')) break;
      auto value = bare_item();
      auto more = value ? parameters() : std::nullopt;
      if (!more || list.items.size() == kMostItems) return std::nullopt;
      list.items.push_back({.value = *std::move(value), .parameters = *std::move(more)});
      if (!rest_.starts_with(' ') && !rest_.starts_with(')')) return std::nullopt;
    }
    auto more = parameters();
    if (!more) return std::nullopt;
    list.parameters = *std::move(more);
    return list;
  }

  std::optional<Parameters> parameters() {
    Parameters read;
    while (take(';')) {
      skip(" ");
      auto name = key();
      if (!name || find(read, *name) != nullptr || read.size() == kMostParameters) return std::nullopt;
      auto value = take('=') ? bare_item() : std::optional<BareItem>(true);
      if (!value) return std::nullopt;
      read.push_back({.key = *std::move(name), .value = *std::move(value)});
    }
    return read;
  }

  std::optional<std::string> key() {
    if (rest_.empty() || (!is_lower(rest_.front()) && rest_.front() != '*')) return std::nullopt;
    return std::string(take_all(is_key_character));
  }

  std::optional<BareItem> bare_item() {
    if (rest_.empty()) return std::nullopt;
    const char first = rest_.front();
    if (first == '"') return string();
    if (first == ':') return bytes();
    if (first == '?') return boolean();
    if (first == '-' || is_digit(first)) return integer();
    if (is_letter(first) || first == '*') return FieldToken{std::string(take_all(is_token_character))};
    return std::nullopt;
  }

  std::optional<BareItem> string() {
    std::string text;
    take('"');
    while (!rest_.empty()) {
      if (take('"')) return text;
      if (take('\\') && !rest_.starts_with('"') && !rest_.starts_with('\\')) return std::nullopt;
      if (rest_.empty() || rest_.front() < ' ' || rest_.front() > '~') return std::nullopt;
      text += rest_.front();
      rest_.remove_prefix(1);
    }
    return std::nullopt;
  }

  std::optional<BareItem> bytes() {
    take(':');
    const auto end = rest_.find(':');
    if (end == std::string_view::npos) return std::nullopt;
    auto decoded = from_base64(rest_.substr(0, end));
    if (!decoded) return std::nullopt;
    rest_.remove_prefix(end + 1);
    return FieldBytes{*std::move(decoded)};
  }

  std::optional<BareItem> boolean() {
    take('?');
    if (take('1')) return true;
    if (take('0')) return false;
    return std::nullopt;
  }

  std::optional<BareItem> integer() {
    const bool negative = take('-');
    const auto digits = take_all(is_digit);
    if (digits.empty() || digits.size() > kMostDigits || rest_.starts_with('.')) return std::nullopt;
    std::int64_t value = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return negative ? -value : value;
  }

  std::string_view rest_;
};

void append(std::string& out, const BareItem& item) {
  if (const auto* number = std::get_if<std::int64_t>(&item)) {
    out += std::to_string(*number);
  } else if (const auto* text = std::get_if<std::string>(&item)) {
    out += '"';
    for (const char c : *text) {
      if (c == '"' || c == '\\') out += '\\';
      out += c;
    }
    out += '"';
  } else if (const auto* token = std::get_if<FieldToken>(&item)) {
    out += token->text;
  } else if (const auto* bytes = std::get_if<FieldBytes>(&item)) {
    out.append(":").append(to_base64(bytes->bytes)).append(":");
  } else {
    out += std::get<bool>(item) ? "?1" : "?0";
  }
}

void append(std::string& out, const Parameters& parameters) {
  for (const auto& [key, value] : parameters) {
    out.append(";").append(key);
    if (value == BareItem(true)) continue;
    out += '=';
    append(out, value);
  }
}

void append(std::string& out, const Item& item) {
  append(out, item.value);
  append(out, item.parameters);
}

}  // namespace

std::optional<Dictionary> parse_dictionary(std::string_view text) {
  if (text.size() > kMostFieldBytes) return std::nullopt;
  while (text.ends_with(' ')) text.remove_suffix(1);
  return Reader(text).dictionary();
}

std::string serialize(const Item& item) {
  std::string out;
  append(out, item);
  return out;
}

std::string serialize(const InnerList& list) {
  std::string out = "(";
  for (const Item& item : list.items) {
    if (out.size() > 1) out += ' ';
    append(out, item);
  }
  out += ')';
  append(out, list.parameters);
  return out;
}

const BareItem* find(const Parameters& parameters, std::string_view key) {
  const auto found = std::ranges::find(parameters, key, &Parameter::key);
  return found == parameters.end() ? nullptr : &found->value;
}

const Member* find(const Dictionary& dictionary, std::string_view key) {
  const auto found = std::ranges::find(dictionary, key, &Member::key);
  return found == dictionary.end() ? nullptr : &*found;
}

}  // namespace turnpike::identity
