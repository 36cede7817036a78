// TLS towards servers: nodes, targets of webhooks, facilitators.
#pragma once

#include <boost/asio/ssl/context.hpp>
#include <memory>
#include <string>

namespace turnpike::http {

// TLS 1.2 and up; certificates are checked against the system's authorities, or against those of `ca_file` (PEM) alone
// where it is named. Throws boost::system::system_error where that cannot be read.
[[nodiscard]] std::unique_ptr<boost::asio::ssl::context> client_tls(const std::string& ca_file = {});

}  // namespace turnpike::http
