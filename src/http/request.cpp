#include "turnpike/http/request.hpp"

namespace turnpike::http {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::optional<std::string> percent_decode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    const int high = hex_digit(text[i + 1]);
    const int low = hex_digit(text[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return out;
}

void Request::rebase(std::ptrdiff_t by) {
  for (auto* view : {&method, &target, &path, &query}) {
    if (view->data() != nullptr) *view = {view->data() + by, view->size()};
  }
  fields.rebase(by);
}

std::optional<std::string> Request::query_value(std::string_view name) const {
  std::string_view rest = query;
  while (!rest.empty()) {
    const auto end = rest.find('&');
    const auto member = rest.substr(0, end);
    const auto equals = member.find('=');
    if (member.substr(0, equals) == name) {
      return percent_decode(equals == std::string_view::npos ? std::string_view{} : member.substr(equals + 1));
    }
    if (end == std::string_view::npos) break;
    rest.remove_prefix(end + 1);
  }
  return std::nullopt;
}

bool Request::accepts_by_name(std::string_view media_type) const {
  const auto accept = fields.find(Field::accept);
  return accept && has_token(*accept, media_type);
}

}  // namespace turnpike::http
