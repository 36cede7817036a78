#include "connection.hpp"

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/error.hpp>
#include <utility>

namespace turnpike::simnode {
namespace {

namespace http = boost::beast::http;
constexpr auto as_values = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t inbox_limit_bytes = 64U << 20;
constexpr std::uint64_t body_limit_bytes = 64U << 20;

}  // namespace

std::int64_t steady_us() {
  return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

Connection::Connection(asio::ip::tcp::socket socket) : socket_(std::move(socket)), wake_(socket_.get_executor()) {
  boost::system::error_code ignored;
  socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
}

asio::awaitable<void> Connection::read_loop(std::function<void()> on_gone) {
  std::array<char, 16384> bytes{};
  while (open_) {
    const auto [error, count] = co_await socket_.async_read_some(asio::buffer(bytes), as_values);
    if (!open_) co_return;
    if (error || inbox_.size() + count > inbox_limit_bytes) {
      on_gone();
      close(false);
      co_return;
    }
    inbox_.append(bytes.data(), count);
    wake_.cancel();
  }
}

asio::awaitable<Connection::Read> Connection::next_request(RequestParser& parser) {
  parser.eager(true);
  parser.body_limit(body_limit_bytes);
  bool continued = false;
  while (open_) {
    boost::system::error_code error;
    if (!inbox_.empty()) {
      inbox_.erase(0, parser.put(asio::buffer(inbox_), error));
      if (error && error != http::error::need_more) co_return Read::malformed;
      if (parser.is_done()) co_return Read::request;
    }
    if (parser.is_header_done() && !continued && parser.get()[http::field::expect] == "100-continue") {
      continued = true;
      if (!co_await write("HTTP/1.1 100 Continue\r\n\r\n")) break;
    }
    wake_.expires_at(std::chrono::steady_clock::time_point::max());
    (void)co_await wake_.async_wait(as_values);
  }
  co_return Read::closed;
}

asio::awaitable<bool> Connection::send(std::string_view bytes) {
  if (piece_bytes_ <= 0) co_return co_await write(bytes);
  while (!bytes.empty()) {
    const std::string_view piece = bytes.substr(0, static_cast<std::size_t>(piece_bytes_));
    if (!co_await write(piece)) co_return false;
    bytes.remove_prefix(piece.size());
    const auto pause = std::chrono::microseconds(piece_delay_us_);
    if (!co_await sleep_until(std::chrono::steady_clock::now() + pause)) co_return false;
  }
  co_return open_;
}

asio::awaitable<bool> Connection::write(std::string_view bytes) {
  if (!open_) co_return false;
  const auto [error, count] = co_await asio::async_write(socket_, asio::buffer(bytes), as_values);
  // After a failed write the read that is pending ends too, and says that the client is gone.
  if (error && open_) (void)co_await stall();
  co_return open_;
}

asio::awaitable<bool> Connection::sleep_until(std::chrono::steady_clock::time_point until) {
  // Bytes that arrive (a pipelined request) wake the timer early.
  while (open_ && std::chrono::steady_clock::now() < until) {
    wake_.expires_at(until);
    (void)co_await wake_.async_wait(as_values);
  }
  co_return open_;
}

asio::awaitable<bool> Connection::stall() {
  co_return co_await sleep_until(std::chrono::steady_clock::time_point::max());
}

void Connection::shape_writes(std::int64_t piece_bytes, std::int64_t delay_us) {
  piece_bytes_ = piece_bytes;
  piece_delay_us_ = delay_us;
}

void Connection::close(bool reset) {
  if (!open_) return;
  open_ = false;
  boost::system::error_code ignored;
  if (reset) socket_.set_option(asio::socket_base::linger(true, 0), ignored);
  socket_.close(ignored);
  wake_.cancel();
}

}  // namespace turnpike::simnode
