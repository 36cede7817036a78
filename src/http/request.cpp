#include "turnpike/http/request.hpp"

#include "turnpike/base/text.hpp"

namespace turnpike::http {
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
