#include "turnpike/http/router.hpp"

#include <optional>
#include <utility>

#include "turnpike/base/text.hpp"

namespace turnpike::http {
namespace {

bool is_parameter(std::string_view segment) {
  return segment.starts_with('{') && segment.ends_with('}');
}

std::vector<std::string> split_path(std::string_view path) {
  std::vector<std::string> segments;
  if (path.starts_with('/')) path.remove_prefix(1);
  while (true) {
    const auto slash = path.find('/');
    segments.emplace_back(path.substr(0, slash));
    if (slash == std::string_view::npos) return segments;
    path.remove_prefix(slash + 1);
  }
}

// The parameters when `path` fits, nullopt when not.
std::optional<std::vector<std::string>> fit(const std::vector<std::string>& segments, std::string_view path) {
  std::vector<std::string> parameters;
  if (!path.starts_with('/')) return std::nullopt;
  path.remove_prefix(1);
  for (std::size_t i = 0; i < segments.size(); ++i) {
    const bool last = i + 1 == segments.size();
    const auto slash = last ? std::string_view::npos : path.find('/');
    if (!last && slash == std::string_view::npos) return std::nullopt;
    const auto part = path.substr(0, slash);
    if (is_parameter(segments[i])) {
      auto decoded = percent_decode(part);
      if (part.empty() || !decoded) return std::nullopt;
      parameters.push_back(std::move(*decoded));
    } else if (part != segments[i]) {
      return std::nullopt;
    }
    if (!last) path.remove_prefix(slash + 1);
  }
  return parameters;
}

}  // namespace

void Router::add(Verb verb, std::string_view pattern, Handler handler) {
  Route route{.verb = verb, .pattern = std::string(pattern), .segments = {}, .handler = std::move(handler)};
  if (pattern.contains('{')) route.segments = split_path(pattern);
  routes_.push_back(std::move(route));
}

Router::Match Router::match(Verb verb, std::string_view path) const {
  Match match;
  const Verb wanted = verb == Verb::head ? Verb::get : verb;
  for (const auto& route : routes_) {
    // Most have no parameters, and are passed over by their length.
    const bool fixed = route.segments.empty();
    if (fixed && path != route.pattern) continue;
    auto parameters = fixed ? std::vector<std::string>() : fit(route.segments, path);
    if (!parameters) continue;
    if (route.verb == wanted) {
      match.handler = &route.handler;
      match.parameters = std::move(*parameters);
      return match;
    }
    if (!match.allow.empty()) match.allow += ", ";
    match.allow += boost::beast::http::to_string(route.verb);
    if (route.verb == Verb::get) match.allow += ", HEAD";
  }
  return match;
}

}  // namespace turnpike::http
