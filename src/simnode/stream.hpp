// The body of a streamed answer: events gathered into HTTP chunks and writes as the behaviour says.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <string>
#include <string_view>

#include "behaviour.hpp"
#include "connection.hpp"

namespace turnpike::simnode {

class EventStream {
 public:
  EventStream(Connection& connection, const Behaviour& behaviour, bool keep_alive);

  // Each is false when the connection has ended.
  asio::awaitable<bool> event(std::string_view data);
  asio::awaitable<bool> raw(std::string_view bytes);  // body bytes that are no event
  asio::awaitable<bool> flush();
  asio::awaitable<bool> finish(bool done);  // with [DONE] or without, in the last write
  asio::awaitable<bool> break_framing();

  [[nodiscard]] bool chunked() const { return chunked_; }

 private:
  void gather(std::string_view data);
  void close_chunk();

  Connection& connection_;
  const Behaviour& behaviour_;
  const bool chunked_;
  std::string line_end_;
  std::string out_;    // goes out in the next write
  std::string chunk_;  // body bytes of the HTTP chunk being gathered
  std::int64_t gathered_ = 0;
};

}  // namespace turnpike::simnode
