// Which URLs may be called: the gateway stands where its customers do not, and shall not knock on doors for them.
// Pure.
#pragma once

#include <boost/asio/ip/address.hpp>
#include <cstddef>
#include <string_view>

#include "turnpike/base/error.hpp"
#include "turnpike/http/poster.hpp"

namespace turnpike::webhooks {

// True for an address of the public Internet: none that the registries of special-purpose addresses (RFC 6890, IANA)
// list as private, shared (RFC 6598), loopback, link-local, multicast, reserved, for documentation or for benchmarks;
// of IPv6 only global unicast (2000::/3), without what embeds an IPv4 address (mapped, 6to4, Teredo) but NAT64's
// well-known prefix (RFC 6052), which is as public as the address in it.
[[nodiscard]] bool is_public(const boost::asio::ip::address& address);

// A URL that somebody wants to be called at. A name is not resolved here: its addresses are looked at by each delivery.
// Errors: invalid_request with param `url` when it is not http or https, has userinfo, is longer than `max_bytes`, or
// names its host by a number in another form than an address has, or, unless `allow_private`, by an address that is not
// public.
[[nodiscard]] Result<http::Place> read_target(std::string_view url, std::size_t max_bytes, bool allow_private);

}  // namespace turnpike::webhooks
