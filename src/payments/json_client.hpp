// JSON to a server and back, by POST.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <expected>
#include <stop_token>
#include <string>
#include <string_view>

#include "turnpike/base/deadlines.hpp"
#include "turnpike/http/poster.hpp"

namespace turnpike::payments {

struct JsonServer {
  std::string url = {};      // http:// or https://, without a slash at the end
  std::string bearer = {};   // empty: none
  std::string ca_file = {};  // empty: the system's authorities
  std::size_t max_answer_bytes = 0;
};

// Loop thread only.
class JsonClient {
 public:
  // Throws std::exception when the URL is none or the authorities cannot be used.
  JsonClient(boost::asio::any_io_executor executor, Deadlines& deadlines, const JsonServer& server);

  // Posts `body` to the URL and `path`, as http::Poster does.
  [[nodiscard]] boost::asio::awaitable<std::expected<http::PostAnswer, std::string>> post(
      std::string_view path, std::string_view body, std::chrono::milliseconds timeout, std::stop_token stop) const;

 private:
  http::Poster poster_;
  http::Place place_;
  std::string head_lines_;
  std::size_t max_answer_bytes_;
};

}  // namespace turnpike::payments
