// Whose request it is, for limits by address.
#pragma once

#include <string_view>

#include "turnpike/http/request.hpp"

namespace turnpike::api {

// The address of the client, as good as the request. It is the connection's peer: what a proxy says of its client
// (Forwarded, RFC 7239) is believed nowhere, and would be believed here.
[[nodiscard]] inline std::string_view client_address(const http::Request& request) {
  return request.peer;
}

}  // namespace turnpike::api
