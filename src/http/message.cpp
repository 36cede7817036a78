#include "turnpike/http/message.hpp"

#include <algorithm>

namespace turnpike::http {
namespace {

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

std::string_view trim(std::string_view text) {
  while (text.starts_with(' ') || text.starts_with('\t')) text.remove_prefix(1);
  while (text.ends_with(' ') || text.ends_with('\t')) text.remove_suffix(1);
  return text;
}

void move(HeaderField& field, std::ptrdiff_t by) {
  field.name = {field.name.data() + by, field.name.size()};
  if (field.value.data() != nullptr) field.value = {field.value.data() + by, field.value.size()};
}

}  // namespace

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, {}, lower, lower);
}

bool has_token(std::string_view list, std::string_view token) {
  if (list == token) return true;  // nearly always
  while (!list.empty()) {
    const auto comma = list.find(',');
    auto item = list.substr(0, comma);
    item = trim(item.substr(0, item.find(';')));
    if (equals_ignoring_case(item, token)) return true;
    if (comma == std::string_view::npos) break;
    list.remove_prefix(comma + 1);
  }
  return false;
}

std::optional<std::string_view> Fields::find(Field id) const {
  for (const auto& field : fields_) {
    if (field.id == id) return field.value;
  }
  return std::nullopt;
}

std::optional<std::string_view> Fields::find(std::string_view name) const {
  for (const auto& field : fields_) {
    if (equals_ignoring_case(field.name, name)) return field.value;
  }
  return std::nullopt;
}

void Fields::rebase(std::ptrdiff_t by) {
  for (auto& field : fields_) move(field, by);
}

void Fields::resize_value(Field id, std::size_t size) {
  auto field = std::ranges::find(fields_, id, &HeaderField::id);
  if (field == fields_.end() || field->value.size() == size) return;
  const auto by = static_cast<std::ptrdiff_t>(size) - static_cast<std::ptrdiff_t>(field->value.size());
  const char* const begin = field->value.data();
  field->value = {begin, size};
  while (++field != fields_.end()) move(*field, by);
}

}  // namespace turnpike::http
