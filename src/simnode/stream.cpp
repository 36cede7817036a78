#include "stream.hpp"

#include <charconv>
#include <utility>

namespace turnpike::simnode {
namespace {

constexpr std::size_t flood_write_bytes = 64U << 10;

}  // namespace

EventStream::EventStream(Connection& connection, const Behaviour& behaviour, bool keep_alive)
    : connection_(connection),
      behaviour_(behaviour),
      chunked_(behaviour.framing != "close"),
      line_end_(behaviour.crlf != 0 ? "\r\n" : "\n") {
  out_ = "HTTP/1.1 200 OK\r\nContent-Type: ";
  out_ += behaviour.content_type.empty() ? "text/event-stream; charset=utf-8" : behaviour.content_type;
  out_ += "\r\nCache-Control: no-cache\r\n";
  if (chunked_) out_ += "Transfer-Encoding: chunked\r\n";
  if (!keep_alive || !chunked_) out_ += "Connection: close\r\n";
  out_ += "\r\n";
}

asio::awaitable<bool> EventStream::event(std::string_view data) {
  gather(data);
  ++gathered_;
  if (behaviour_.one_write != 0) co_return connection_.open();
  if (behaviour_.flood != 0 ? chunk_.size() < flood_write_bytes : gathered_ < behaviour_.merge) {
    co_return connection_.open();
  }
  co_return co_await flush();
}

asio::awaitable<bool> EventStream::raw(std::string_view bytes) {
  chunk_ += bytes;
  co_return co_await flush();
}

asio::awaitable<bool> EventStream::flush() {
  close_chunk();
  gathered_ = 0;
  const std::string out = std::exchange(out_, {});
  co_return co_await connection_.send(out);
}

asio::awaitable<bool> EventStream::finish(bool done) {
  if (done) gather("[DONE]");
  close_chunk();
  if (chunked_) out_ += "0\r\n\r\n";
  co_return co_await flush();
}

asio::awaitable<bool> EventStream::break_framing() {
  close_chunk();
  out_ += "zz\r\n";
  co_return co_await flush();
}

void EventStream::gather(std::string_view data) {
  if (behaviour_.comments != 0) chunk_ += ": still here" + line_end_ + line_end_;
  chunk_ += "data: ";
  chunk_ += data;
  chunk_ += line_end_ + line_end_;
}

void EventStream::close_chunk() {
  if (chunk_.empty()) return;
  if (!chunked_) {
    out_ += std::exchange(chunk_, {});
    return;
  }
  char size[16];
  const auto end = std::to_chars(std::begin(size), std::end(size), chunk_.size(), 16).ptr;
  out_.append(std::begin(size), end);
  out_ += "\r\n" + std::exchange(chunk_, {}) + "\r\n";
}

}  // namespace turnpike::simnode
