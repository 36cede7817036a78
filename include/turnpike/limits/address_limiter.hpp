// Requests a minute by client address, for routes that need no key. Pure: `now` comes in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

#include "turnpike/base/clock.hpp"
#include "turnpike/limits/rate_limiter.hpp"

namespace turnpike::limits {

// Who counts as one client: an IPv4 address, or the /64 of an IPv6 address, for that is what one line gets (RFC 6177).
// An IPv4 address mapped into IPv6 counts as the IPv4 address. Any other text counts as itself.
[[nodiscard]] std::string client_of(std::string_view address);

// Loop thread only.
class AddressLimiter {
 public:
  // `max_clients`: how many clients are remembered at once. Past it those whose bucket is full are forgotten; when none
  // is, a client that is not known is refused.
  AddressLimiter(std::uint64_t per_minute, std::size_t max_clients)
      : per_minute_(per_minute), max_clients_(max_clients) {}

  // Counts a request from `address`. The verdict is a bucket's (Bucket::take).
  [[nodiscard]] Verdict admit(std::string_view address, Instant now);

  [[nodiscard]] std::size_t clients() const { return clients_.size(); }

 private:
  [[nodiscard]] bool has_room(Instant now);
  std::uint64_t per_minute_;
  std::size_t max_clients_;
  std::unordered_map<std::string, Bucket> clients_;
  Instant next_sweep_{};
};

}  // namespace turnpike::limits
