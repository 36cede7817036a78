#include "turnpike/base/network.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <string>

namespace turnpike {
namespace {

constexpr std::size_t kMappedAt = 12;  // of an IPv4 address, in ::ffff:0:0/96
constexpr unsigned kMappedBits = 96;

}  // namespace

std::optional<Network::Bytes> Network::bytes_of(std::string_view address) {
  const std::string text(address);
  Bytes bytes{};
  if (::inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1) return bytes;
  bytes.fill(0);
  bytes[kMappedAt - 2] = bytes[kMappedAt - 1] = 0xff;
  if (::inet_pton(AF_INET, text.c_str(), &bytes[kMappedAt]) == 1) return bytes;
  return std::nullopt;
}

Network::Bytes Network::masked(Bytes bytes) const {
  for (unsigned i = 0; i < bytes.size(); ++i) {
    const auto kept = std::clamp<int>(static_cast<int>(prefix_) - static_cast<int>(8 * i), 0, 8);
    bytes.at(i) &= static_cast<std::uint8_t>(0xff00U >> static_cast<unsigned>(kept));
  }
  return bytes;
}

std::optional<Network> Network::parse(std::string_view text) {
  const auto slash = text.find('/');
  const auto address = text.substr(0, slash);
  const auto first = bytes_of(address);
  if (!first) return std::nullopt;
  Network network;
  network.first_ = *first;
  if (slash != std::string_view::npos) {
    const bool v6 = address.find(':') != std::string_view::npos;
    const auto digits = text.substr(slash + 1);
    unsigned bits = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), bits);
    if (error != std::errc{} || end != digits.data() + digits.size() || bits > (v6 ? 128U : 32U)) return std::nullopt;
    network.prefix_ = v6 ? bits : kMappedBits + bits;
  }
  if (network.masked(*first) != *first) return std::nullopt;
  return network;
}

bool Network::contains(std::string_view address) const {
  const auto bytes = bytes_of(address);
  return bytes && masked(*bytes) == first_;
}

}  // namespace turnpike
