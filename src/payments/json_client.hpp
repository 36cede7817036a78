// JSON to a server and back, by HTTP/1.1 POST on a connection of its own: payments are rare.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <expected>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>

#include "turnpike/base/deadlines.hpp"

namespace turnpike::payments {

struct JsonServer {
  std::string url = {};      // http:// or https://, without a slash at the end
  std::string bearer = {};   // empty: none
  std::string ca_file = {};  // empty: the system's authorities
  std::size_t max_answer_bytes = 0;
};

struct JsonAnswer {
  int status = 0;
  std::string body;
};

// Loop thread only.
class JsonClient {
 public:
  // Throws std::invalid_argument when the URL is none.
  JsonClient(boost::asio::any_io_executor executor, Deadlines& deadlines, JsonServer server);
  ~JsonClient();
  JsonClient(const JsonClient&) = delete;
  JsonClient& operator=(const JsonClient&) = delete;

  // Posts `body` to the URL and `path`. Ends within `timeout` (connection and TLS included), or soon after `stop`.
  // Redirects are not followed. Otherwise: what was wrong, in words for the log. Whether the server got the request is
  // then unknown.
  [[nodiscard]] boost::asio::awaitable<std::expected<JsonAnswer, std::string>> post(std::string_view path,
                                                                                    std::string_view body,
                                                                                    std::chrono::milliseconds timeout,
                                                                                    std::stop_token stop) const;

 private:
  struct Tls;
  class Call;
  boost::asio::any_io_executor executor_;
  Deadlines& deadlines_;
  JsonServer server_;
  std::string host_;
  std::string port_;
  std::string path_;
  std::string head_lines_;  // Host, and the key
  std::unique_ptr<Tls> tls_;
};

}  // namespace turnpike::payments
