// One request and the way to answer it. A handler gets an Exchange and answers exactly once: whole by send(), or as a
// stream by start_stream(), write()…, finish().
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>

#include "turnpike/http/request.hpp"

namespace turnpike::http {

class Session;

// Loop thread only.
class Exchange {
 public:
  Exchange(Session& session, Request& request) : session_(session), request_(request) {}
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  [[nodiscard]] const Request& request() const { return request_; }
  [[nodiscard]] Request& request() { return request_; }

  // Stopped as soon as the client has left: the connection ended, failed, or took no bytes for `http.write_timeout_ms`.
  [[nodiscard]] std::stop_token client_gone() const;
  [[nodiscard]] bool answered() const { return answered_; }

  // The whole answer. False: the client left before it was written.
  boost::asio::awaitable<bool> send(const Response& response);

  // The hot path's form of send(): `extra_head` holds whole header lines, each ending in CRLF; the body may be gathered
  // from pieces.
  boost::asio::awaitable<bool> send(int status, std::string_view content_type, std::string_view extra_head,
                                    std::span<const std::string_view> body);

  // Begins a stream: the head waits for the first bytes and goes out with them.
  void start_stream(int status, std::string_view content_type, std::string_view extra_head);

  // One or more pieces of the stream, in one chunk and one write. True: the kernel has them. False: it has not taken
  // all, or the client left: keep `bytes`, and await written() before anything else is written.
  bool write(std::string_view bytes);
  // After write() said false. True: the kernel has them now; false: the client left.
  boost::asio::awaitable<bool> written();

  // `bytes` (may be empty) and the end of the stream, in one write. `trailers`: whole lines, each ending in CRLF.
  boost::asio::awaitable<bool> finish(std::string_view bytes, std::string_view trailers = {});

 private:
  friend class Session;
  void append_head(int status, std::string_view content_type, std::string_view extra_head);

  Session& session_;
  Request& request_;
  std::string head_;
  bool answered_ = false;
  bool streaming_ = false;
  bool chunked_ = false;
  bool finished_ = false;
  bool head_written_ = false;  // head_ is of no more use
};

}  // namespace turnpike::http
