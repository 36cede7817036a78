// A TCP connection, plain or under TLS: the one place that knows the difference.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/system/error_code.hpp>
#include <memory>
#include <span>
#include <string>

namespace boost::asio::ssl {
class context;
}

namespace turnpike::http {

using boost::system::error_code;
using Tcp = boost::asio::ip::tcp;

// Told when a read ended. A plain pointer pair: it is armed for every read of every connection.
struct ReadHandler {
  void (*call)(void* owner, error_code error, std::size_t bytes);
  void* owner;
  void operator()(error_code error, std::size_t bytes) const { call(owner, error, bytes); }
};

// Loop thread only. At most one read and one write under way. TCP_NODELAY is set. Whoever owns it keeps it, and the
// memory it was given, until the handlers of what it started have run; close() makes that soon.
class Stream {
 public:
  enum class Role { server, client };

  // Plain.
  explicit Stream(Tcp::socket socket);
  // Under TLS. For a client, `host` is asked for by SNI and its certificate is checked against it.
  Stream(Tcp::socket socket, boost::asio::ssl::context& tls, Role role, const std::string& host);
  ~Stream();
  Stream(Stream&&) noexcept;
  Stream& operator=(Stream&&) noexcept;

  // TLS only (a plain stream is ready at once).
  boost::asio::awaitable<error_code> handshake();

  void read_some(boost::asio::mutable_buffer into, ReadHandler handler);

  // Writes without waiting what the kernel takes now; the number of bytes taken. An error is reported by the next
  // write.
  std::size_t write_now(std::span<const boost::asio::const_buffer> buffers);

  // Writes all of it.
  boost::asio::awaitable<error_code> write(std::span<const boost::asio::const_buffer> buffers);

  void cancel_reads() noexcept;
  void close() noexcept;
  // No more will be written; the peer sees the end after what it was sent.
  void shutdown_write() noexcept;
  [[nodiscard]] bool is_open() const noexcept;
  // True when the peer ended the connection or sent something nobody asked for: an idle connection not to be used
  // again.
  [[nodiscard]] bool has_news() noexcept;
  [[nodiscard]] boost::asio::any_io_executor executor();

 private:
  struct Tls;
  Tcp::socket& socket();
  [[nodiscard]] const Tcp::socket& socket() const;
  void prepare();

  std::unique_ptr<Tls> tls_;
  Tcp::socket plain_;
  boost::asio::ip::tcp::socket::native_handle_type handle_ = -1;
};

}  // namespace turnpike::http
