#include "turnpike/http/client_tls.hpp"

namespace turnpike::http {

std::unique_ptr<boost::asio::ssl::context> client_tls(const std::string& ca_file) {
  using boost::asio::ssl::context;
  auto tls = std::make_unique<context>(context::tls_client);
  tls->set_options(context::default_workarounds | context::no_tlsv1 | context::no_tlsv1_1);
  tls->set_verify_mode(boost::asio::ssl::verify_peer);
  if (ca_file.empty()) {
    tls->set_default_verify_paths();
  } else {
    tls->load_verify_file(ca_file);
  }
  return tls;
}

}  // namespace turnpike::http
