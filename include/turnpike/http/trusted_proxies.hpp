// Whose word on the address of their client is taken. Pure.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "turnpike/base/network.hpp"
#include "turnpike/http/message.hpp"

namespace turnpike::http {

class TrustedProxies {
 public:
  TrustedProxies() = default;
  explicit TrustedProxies(std::vector<Network> networks) : networks_(std::move(networks)) {}

  [[nodiscard]] bool empty() const { return networks_.empty(); }

  // The client behind a connection from `peer`: of the addresses in X-Forwarded-For, from the last, the first that is
  // not a trusted proxy's, for each proxy adds whom it was asked by. What is before it could be the client's own
  // invention. What is no address ends the search at the proxy that said it.
  [[nodiscard]] std::string client(std::string_view peer, const Fields& fields) const;

 private:
  [[nodiscard]] bool trusts(std::string_view address) const;
  std::vector<Network> networks_;
};

}  // namespace turnpike::http
