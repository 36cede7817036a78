// Talks to the admin listener of a running gateway. Blocks; for commands.
#pragma once

#include <expected>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace turnpike::app {

// Where to find it: what `--config` and `--data-dir` said.
struct GatewayPlace {
  std::string config_file;
  std::string data_dir;  // over the file's, when not empty
};

class AdminClient {
 public:
  // The address is DATA_DIR/listening.json's, where a running gateway writes it, or else the configuration's; the token
  // is in DATA_DIR/admin.token. The error is what to tell the operator, a line for each fault.
  static std::expected<AdminClient, std::string> find(const GatewayPlace& place);

  // One request and its answer. The error is the gateway's own message, or why it was not reached. `body` may be empty.
  [[nodiscard]] std::expected<nlohmann::json, std::string> request(std::string_view method, const std::string& target,
                                                                   const std::string& body = {}) const;

 private:
  AdminClient(std::string host, std::string port, std::string token);
  std::string host_;
  std::string port_;
  std::string token_;
};

// `text` as a segment of a path or a value of a query.
[[nodiscard]] std::string url_encoded(std::string_view text);

}  // namespace turnpike::app
