#include "turnpike/http/trusted_proxies.hpp"

#include <algorithm>
#include <ranges>

namespace turnpike::http {
namespace {

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ') || text.starts_with('\t')) text.remove_prefix(1);
  while (text.ends_with(' ') || text.ends_with('\t')) text.remove_suffix(1);
  return text;
}

// Some proxies add the port: 192.0.2.1:4711, [2001:db8::1]:4711.
std::string_view without_port(std::string_view text) {
  if (text.starts_with('[')) {
    const auto end = text.find(']');
    return end == std::string_view::npos ? std::string_view() : text.substr(1, end - 1);
  }
  const auto colon = text.find(':');
  return text.find(':', colon + 1) == std::string_view::npos ? text.substr(0, colon) : text;
}

}  // namespace

bool TrustedProxies::trusts(std::string_view address) const {
  return std::ranges::any_of(networks_, [&](const Network& network) { return network.contains(address); });
}

std::string TrustedProxies::client(std::string_view peer, const Fields& fields) const {
  std::string_view client = peer;
  static const Network any = *Network::parse("::/0");
  for (const auto& field : std::views::reverse(fields.all())) {
    if (!equals_ignoring_case(field.name, "x-forwarded-for")) continue;
    auto left = field.value;
    while (!left.empty()) {
      if (!trusts(client)) return std::string(client);
      const auto comma = left.rfind(',');
      const auto last = without_port(trimmed(comma == std::string_view::npos ? left : left.substr(comma + 1)));
      if (!any.contains(last)) return std::string(client);
      client = last;
      left = comma == std::string_view::npos ? std::string_view() : left.substr(0, comma);
    }
  }
  return std::string(client);
}

}  // namespace turnpike::http
