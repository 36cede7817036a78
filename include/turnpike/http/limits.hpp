// What a connection may use. Every number comes from the configuration table (`http.*`).
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include "turnpike/http/trusted_proxies.hpp"

namespace turnpike::http {

struct Limits {
  std::size_t max_connections = 4096;
  std::size_t max_head_bytes = 16 * 1024;
  std::size_t max_body_bytes = 20 * 1024 * 1024;
  std::size_t max_body_memory_bytes = 256 * 1024 * 1024;  // all connections together
  std::chrono::milliseconds head_timeout{10'000};         // from a request's first byte to the end of its head
  std::chrono::milliseconds body_timeout{60'000};         // from the end of the head to the end of the body
  std::chrono::milliseconds idle_timeout{75'000};         // between requests
  std::chrono::milliseconds write_timeout{30'000};        // for a client that takes no bytes
  std::vector<std::string> cors_allowed_origins = {"*"};
  TrustedProxies trusted_proxies = {};
};

}  // namespace turnpike::http
