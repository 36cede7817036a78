#include "turnpike/api/preference.hpp"

#include <charconv>
#include <string_view>

namespace turnpike::api {
namespace {

std::string_view trimmed(std::string_view text) {
  const auto begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

// Cuts off the first member of a list; a comma within quotes does not end it.
std::string_view take_member(std::string_view& list) {
  bool quoted = false;
  std::size_t end = 0;
  for (; end < list.size() && (quoted || list[end] != ','); ++end) {
    if (list[end] == '\\' && quoted) ++end;
    if (end < list.size() && list[end] == '"') quoted = !quoted;
  }
  end = std::min(end, list.size());
  const auto member = list.substr(0, end);
  list.remove_prefix(std::min(end + 1, list.size()));
  return member;
}

void read_member(std::string_view member, Preference& preference) {
  member = trimmed(member.substr(0, member.find(';')));  // its parameters say nothing here
  const auto equals = member.find('=');
  const auto name = trimmed(member.substr(0, equals));
  if (http::equals_ignoring_case(name, "respond-async")) preference.respond_async = true;
  if (!http::equals_ignoring_case(name, "wait") || equals == std::string_view::npos || preference.wait) return;
  auto value = trimmed(member.substr(equals + 1));
  if (value.size() >= 2 && value.front() == '"' && value.back() == '"') value = value.substr(1, value.size() - 2);
  std::uint32_t seconds = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), seconds);
  if (error == std::errc{} && end == value.data() + value.size()) preference.wait = std::chrono::seconds(seconds);
}

}  // namespace

Preference read_preference(const http::Fields& fields) {
  Preference preference;
  for (const auto& field : fields.all()) {
    if (!http::equals_ignoring_case(field.name, "prefer")) continue;
    std::string_view list = field.value;
    while (!list.empty()) read_member(take_member(list), preference);
  }
  return preference;
}

}  // namespace turnpike::api
