// IP networks. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace turnpike {

// An IP network; an IPv4 one lies in ::ffff:0:0/96 (RFC 4291, section 2.5.5.2).
class Network {
 public:
  // "192.0.2.0/24", "2001:db8::/32", or an address alone; nullopt when it is neither, or has bits set behind its
  // prefix.
  [[nodiscard]] static std::optional<Network> parse(std::string_view text);
  [[nodiscard]] bool contains(std::string_view address) const;

 private:
  using Bytes = std::array<std::uint8_t, 16>;
  [[nodiscard]] static std::optional<Bytes> bytes_of(std::string_view address);
  [[nodiscard]] Bytes masked(Bytes bytes) const;
  Bytes first_{};
  unsigned prefix_ = 128;
};

}  // namespace turnpike
