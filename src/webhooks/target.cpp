#include "turnpike/webhooks/target.hpp"

#include <algorithm>
#include <array>
#include <boost/asio/ip/address_v4.hpp>
#include <boost/asio/ip/address_v6.hpp>
#include <string>
#include <vector>

#include "turnpike/base/network.hpp"

namespace turnpike::webhooks {
namespace {

namespace ip = boost::asio::ip;

std::vector<Network> networks(std::initializer_list<std::string_view> texts) {
  std::vector<Network> parsed;
  for (const auto text : texts) parsed.push_back(Network::parse(text).value());
  return parsed;
}

bool is_in(const std::vector<Network>& list, const std::string& address) {
  return std::ranges::any_of(list, [&](const Network& network) { return network.contains(address); });
}

bool is_public_v4(const ip::address_v4& address) {
  static const auto kSpecial = networks({
      "0.0.0.0/8",        // this network
      "10.0.0.0/8",       // private
      "100.64.0.0/10",    // shared, behind a carrier's NAT
      "127.0.0.0/8",      // loopback
      "169.254.0.0/16",   // link-local, and the metadata of clouds
      "172.16.0.0/12",    // private
      "192.0.0.0/24",     // protocol assignments
      "192.0.2.0/24",     // documentation
      "192.88.99.0/24",   // 6to4 relays
      "192.168.0.0/16",   // private
      "198.18.0.0/15",    // benchmarks
      "198.51.100.0/24",  // documentation
      "203.0.113.0/24",   // documentation
      "224.0.0.0/3",      // multicast, reserved, broadcast
  });
  return !is_in(kSpecial, address.to_string());
}

bool is_public_v6(const ip::address_v6& address) {
  static const auto kGlobal = networks({"2000::/3"});
  static const auto kSpecial = networks({
      "2001::/23",      // protocol assignments, Teredo and benchmarks among them
      "2001:db8::/32",  // documentation
      "2002::/16",      // 6to4
      "3fff::/20",      // documentation
  });
  static const auto kNat64 = networks({"64:ff9b::/96"});
  const auto bytes = address.to_bytes();
  const std::string text = ip::address_v6(bytes).to_string();  // without a zone
  if (is_in(kNat64, text)) return is_public_v4(ip::address_v4({bytes[12], bytes[13], bytes[14], bytes[15]}));
  return is_in(kGlobal, text) && !is_in(kSpecial, text);
}

// What a resolver may take for an IPv4 address, as URLs of browsers have it: the last label is a number.
bool ends_in_number(std::string_view host) {
  if (host.ends_with('.')) host.remove_suffix(1);
  std::string_view last = host.substr(host.rfind('.') + 1);
  if (last.starts_with("0x") || last.starts_with("0X")) {
    return last.find_first_not_of("0123456789abcdefABCDEF", 2) == std::string_view::npos;
  }
  return !last.empty() && last.find_first_not_of("0123456789") == std::string_view::npos;
}

std::unexpected<Error> refused(std::string message) {
  return fail(Fault::invalid_request, std::move(message), "url");
}

}  // namespace

bool is_public(const ip::address& address) {
  return address.is_v4() ? is_public_v4(address.to_v4()) : is_public_v6(address.to_v6());
}

Result<http::Place> read_target(std::string_view url, std::size_t max_bytes, bool allow_private) {
  if (url.size() > max_bytes) {
    return refused("url may have " + std::to_string(max_bytes) + " bytes: webhooks.max_url_bytes");
  }
  auto place = http::parse_place(url);
  if (!place) return refused("url must be an absolute http or https URL");
  if (place->has_userinfo) return refused("url must not hold a user or a password");
  boost::system::error_code not_an_address;
  const auto address = ip::make_address(place->host, not_an_address);
  if (not_an_address) {
    if (ends_in_number(place->host)) return refused("the host of url must be a name, or an address in its usual form");
  } else if (!allow_private && !is_public(address)) {
    return refused("the host of url is not an address of the public Internet");
  }
  return *std::move(place);
}

}  // namespace turnpike::webhooks
