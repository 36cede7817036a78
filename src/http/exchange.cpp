#include "turnpike/http/exchange.hpp"

#include <array>
#include <boost/beast/http/status.hpp>
#include <cassert>
#include <charconv>

#include "session.hpp"

namespace turnpike::http {

namespace asio = boost::asio;
using asio::awaitable;

namespace {

// Room for what every head has, an origin of CORS but not a long one among it.
constexpr std::size_t kMostOwnLines = 384;

void append_number(std::string& out, std::uint64_t value, int base = 10) {
  std::array<char, 24> text{};
  const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), value, base);
  assert(error == std::errc{});
  out.append(text.data(), end);
}

bool has_no_body(int status) {
  return status == 204 || status == 304;
}

}  // namespace

std::stop_token Exchange::client_gone() const {
  return session_.client_gone_.get_token();
}

void Exchange::append_head(int status, std::string_view content_type, std::string_view extra_head) {
  assert(!answered_ && "one answer a request");
  answered_ = true;
  session_.status_ = status;
  head_.reserve(kMostOwnLines + content_type.size() + extra_head.size());
  head_.assign("HTTP/1.1 ");
  append_number(head_, static_cast<std::uint64_t>(status));
  const auto reason =
      boost::beast::http::obsolete_reason(boost::beast::http::int_to_status(static_cast<unsigned>(status)));
  head_.append(" ").append(reason.data(), reason.size()).append("\r\n");
  head_.append(session_.host_.date());
  if (!content_type.empty()) head_.append("Content-Type: ").append(content_type).append("\r\n");
  head_.append("x-request-id: ").append(request_.id).append("\r\n");
  head_.append(extra_head);
  session_.append_cors(head_);
  if (session_.close_after_) request_.keep_alive = false;
}

awaitable<bool> Exchange::send(int status, std::string_view content_type, std::string_view extra_head,
                               std::span<const std::string_view> body) {
  append_head(status, content_type, extra_head);
  std::size_t length = 0;
  for (const auto piece : body) length += piece.size();
  if (!has_no_body(status)) {
    head_.append("Content-Length: ");
    append_number(head_, length);
    head_.append("\r\n");
  }
  head_.append(request_.keep_alive ? (request_.http11 ? "\r\n" : "Connection: keep-alive\r\n\r\n")
                                   : "Connection: close\r\n\r\n");
  std::array<asio::const_buffer, 8> buffers{asio::buffer(head_)};
  std::size_t count = 1;
  assert(body.size() < buffers.size());
  if (request_.verb != Verb::head && !has_no_body(status)) {
    for (const auto piece : body) {
      if (!piece.empty()) buffers[count++] = asio::const_buffer(piece.data(), piece.size());
    }
  }
  finished_ = true;
  if (session_.host_.turn_end.is_shared()) co_await session_.host_.turn_end.wait();
  co_return session_.write_now(std::span(buffers).first(count)) || co_await session_.written();
}

awaitable<bool> Exchange::send(const Response& response) {
  std::string extra;
  for (const auto& [name, value] : response.headers) extra.append(name).append(": ").append(value).append("\r\n");
  if (response.close) request_.keep_alive = false;
  const std::array<std::string_view, 1> body{response.body};
  co_return co_await send(response.status, response.content_type, extra, body);
}

void Exchange::start_stream(int status, std::string_view content_type, std::string_view extra_head) {
  append_head(status, content_type, extra_head);
  streaming_ = true;
  // Before HTTP/1.1 the end of a stream is the end of the connection.
  chunked_ = request_.http11;
  if (!chunked_) request_.keep_alive = false;
  if (chunked_) head_.append("Transfer-Encoding: chunked\r\n");
  head_.append(request_.keep_alive ? "\r\n" : "Connection: close\r\n\r\n");
}

bool Exchange::write(std::string_view bytes) {
  assert(streaming_ && !finished_);
  if (head_written_) head_.clear();
  head_written_ = true;
  if (chunked_) {
    append_number(head_, bytes.size(), 16);
    head_.append("\r\n");
  }
  const std::array<asio::const_buffer, 3> buffers{asio::buffer(head_), asio::const_buffer(bytes.data(), bytes.size()),
                                                  asio::const_buffer("\r\n", chunked_ ? 2 : 0)};
  return session_.write_now(buffers);
}

awaitable<bool> Exchange::written() {
  return session_.written();
}

awaitable<bool> Exchange::finish(std::string_view bytes, std::string_view trailers) {
  assert(streaming_ && !finished_);
  finished_ = true;
  if (head_written_) head_.clear();
  std::string tail;
  if (chunked_) {
    tail.reserve(trailers.size() + 8);
    if (!bytes.empty()) {
      append_number(head_, bytes.size(), 16);
      head_.append("\r\n");
      tail = "\r\n";
    }
    tail.append("0\r\n").append(trailers).append("\r\n");
  }
  const std::array<asio::const_buffer, 3> buffers{asio::buffer(head_), asio::const_buffer(bytes.data(), bytes.size()),
                                                  asio::buffer(tail)};
  if (session_.host_.turn_end.is_shared()) co_await session_.host_.turn_end.wait();
  co_return session_.write_now(buffers) || co_await session_.written();
}

}  // namespace turnpike::http
