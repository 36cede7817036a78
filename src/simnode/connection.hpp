// One client connection of the simulated node. A read is always pending on it, so the node notices at once when the
// client goes away, whatever it is doing for it.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace turnpike::simnode {

namespace asio = boost::asio;
using RequestParser = boost::beast::http::request_parser<boost::beast::http::string_body>;

std::int64_t steady_us();  // CLOCK_MONOTONIC

class Connection {
 public:
  explicit Connection(asio::ip::tcp::socket socket);

  // Reads until the client goes away, then calls `on_gone` once; not called when this side closed first.
  asio::awaitable<void> read_loop(std::function<void()> on_gone);

  enum class Read { request, malformed, closed };
  asio::awaitable<Read> next_request(RequestParser& parser);

  // Each is false when the connection has ended.
  asio::awaitable<bool> send(std::string_view bytes);
  asio::awaitable<bool> sleep_until(std::chrono::steady_clock::time_point until);
  asio::awaitable<bool> stall();  // until the connection ends: always false

  void shape_writes(std::int64_t piece_bytes, std::int64_t delay_us);
  void close(bool reset);
  [[nodiscard]] bool open() const { return open_; }

 private:
  asio::awaitable<bool> write(std::string_view bytes);

  asio::ip::tcp::socket socket_;
  asio::steady_timer wake_;  // what the serving coroutine waits on
  std::string inbox_;
  bool open_ = true;
  std::int64_t piece_bytes_ = 0;
  std::int64_t piece_delay_us_ = 0;
};

}  // namespace turnpike::simnode
