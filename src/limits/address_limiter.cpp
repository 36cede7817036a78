#include "turnpike/limits/address_limiter.hpp"

#include <arpa/inet.h>

#include <array>

namespace turnpike::limits {
namespace {

// A full table is looked through at most this often: else each refused stranger would cost a walk over all of it.
constexpr std::chrono::seconds kSweepInterval{1};

constexpr std::string_view kMappedPrefix("\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);  // ::ffff:0:0/96 (RFC 4291, 2.5.5.2)
constexpr std::size_t kNetworkBytes = 8;

}  // namespace

std::string client_of(std::string_view address) {
  std::string text(address.substr(0, address.find('%')));  // a link-local address may name its interface
  std::array<char, 16> bytes{};
  if (::inet_pton(AF_INET, text.c_str(), bytes.data()) == 1) return {bytes.data(), 4};
  if (::inet_pton(AF_INET6, text.c_str(), bytes.data()) != 1) return text;
  const std::string_view v6(bytes.data(), bytes.size());
  if (v6.starts_with(kMappedPrefix)) return std::string(v6.substr(kMappedPrefix.size()));
  return std::string(v6.substr(0, kNetworkBytes));
}

bool AddressLimiter::has_room(Instant now) {
  if (clients_.size() < max_clients_) return true;
  if (now < next_sweep_) return false;
  next_sweep_ = now + kSweepInterval;
  std::erase_if(clients_, [now](const auto& entry) { return entry.second.full(now); });
  return clients_.size() < max_clients_;
}

Verdict AddressLimiter::admit(std::string_view address, Instant now) {
  const std::string client = client_of(address);
  auto known = clients_.find(client);
  if (known == clients_.end()) {
    if (!has_room(now)) {
      return {.allowed = false,
              .reason = "too many clients at once",
              .wait = kSweepInterval,
              .limit = per_minute_,
              .remaining = 0,
              .reset = kSweepInterval};
    }
    known = clients_.emplace(client, Bucket(per_minute_, now)).first;
  }
  return known->second.take(now);
}

}  // namespace turnpike::limits
