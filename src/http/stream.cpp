#include "turnpike/http/stream.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>
#include <string>
#include <utility>
#include <vector>

namespace turnpike::http {

namespace asio = boost::asio;

namespace {

// To put so few bytes together costs less than what the kernel asks for several pieces.
constexpr std::size_t kMostGathered = 4096;

}  // namespace

struct Stream::Tls {
  Tls(Tcp::socket socket, asio::ssl::context& context, Role which) : layer(std::move(socket), context), role(which) {}
  asio::ssl::stream<Tcp::socket> layer;
  // Tells the peer that no more will come (RFC 8446, section 6.1), as far as the kernel takes it now. A record that is
  // half written cannot be followed by anything.
  void say_end(Tcp::socket::native_handle_type handle) noexcept;

  Role role;
  std::string record;  // gathered buffers made one, so that they travel in one record
  bool writes = false;
  bool ended = false;
};

// Past the layer's own pair of buffers, which only a waiting operation would empty.
void Stream::Tls::say_end(Tcp::socket::native_handle_type handle) noexcept {
  SSL* const ssl = layer.native_handle();
  if (writes || std::exchange(ended, true) || SSL_is_init_finished(ssl) == 0) return;
  BIO* const out = BIO_new(BIO_s_mem());
  if (out == nullptr) return;
  SSL_set0_wbio(ssl, out);
  if (SSL_shutdown(ssl) < 0) ERR_clear_error();
  char* alert = nullptr;
  if (const auto size = BIO_get_mem_data(out, &alert); size > 0) {
    (void)::send(handle, alert, static_cast<std::size_t>(size), MSG_NOSIGNAL | MSG_DONTWAIT);
  }
}

Stream::Stream(Tcp::socket socket) : plain_(std::move(socket)) {
  prepare();
}

Stream::Stream(Tcp::socket socket, asio::ssl::context& tls, Role role, const std::string& host)
    : tls_(std::make_unique<Tls>(std::move(socket), tls, role)), plain_(tls_->layer.get_executor()) {
  if (role == Role::client) {
    SSL_set_tlsext_host_name(tls_->layer.native_handle(), host.c_str());
    tls_->layer.set_verify_callback(asio::ssl::host_name_verification(host));
  }
  prepare();
}

Stream::~Stream() = default;
Stream::Stream(Stream&&) noexcept = default;
Stream& Stream::operator=(Stream&&) noexcept = default;

void Stream::prepare() {
  error_code ignored;  // a peer that is gone already is found by the first read
  socket().set_option(Tcp::no_delay(true), ignored);
  socket().non_blocking(true, ignored);
  handle_ = socket().native_handle();
}

Tcp::socket& Stream::socket() {
  return tls_ ? tls_->layer.next_layer() : plain_;
}
const Tcp::socket& Stream::socket() const {
  return tls_ ? tls_->layer.next_layer() : plain_;
}

asio::awaitable<error_code> Stream::handshake() {
  if (!tls_) co_return error_code{};
  const auto type = tls_->role == Role::server ? asio::ssl::stream_base::server : asio::ssl::stream_base::client;
  const auto [error] = co_await tls_->layer.async_handshake(type, asio::as_tuple(asio::use_awaitable));
  co_return error;
}

void Stream::read_some(asio::mutable_buffer into, ReadHandler handler) {
  if (tls_) {
    tls_->layer.async_read_some(into, handler);
  } else {
    plain_.async_read_some(into, handler);
  }
}

std::size_t Stream::write_now(std::span<const asio::const_buffer> buffers) {
  if (tls_) return 0;
  error_code error;
  std::size_t written = 0;
  if (const auto size = asio::buffer_size(buffers); size <= kMostGathered) {
    std::array<char, kMostGathered> gathered;
    asio::buffer_copy(asio::buffer(gathered), buffers);
    written = plain_.write_some(asio::const_buffer(gathered.data(), size), error);
  } else {
    written = plain_.write_some(buffers, error);
  }
  return error ? 0 : written;
}

asio::awaitable<error_code> Stream::write(std::span<const asio::const_buffer> buffers) {
  const std::vector<asio::const_buffer> all(buffers.begin(), buffers.end());
  if (tls_) {
    tls_->record.clear();
    for (const auto& buffer : all) tls_->record.append(static_cast<const char*>(buffer.data()), buffer.size());
    tls_->writes = true;
    const auto [error, _] =
        co_await asio::async_write(tls_->layer, asio::buffer(tls_->record), asio::as_tuple(asio::use_awaitable));
    tls_->writes = false;
    co_return error;
  }
  const auto [error, _] = co_await asio::async_write(plain_, all, asio::as_tuple(asio::use_awaitable));
  co_return error;
}

void Stream::cancel_reads() noexcept {
  error_code ignored;
  socket().cancel(ignored);
}

void Stream::close() noexcept {
  error_code ignored;
  if (tls_ && is_open()) tls_->say_end(handle_);
  socket().close(ignored);
}

void Stream::shutdown_write() noexcept {
  error_code ignored;
  if (tls_ && is_open()) tls_->say_end(handle_);
  socket().shutdown(Tcp::socket::shutdown_send, ignored);
}

bool Stream::is_open() const noexcept {
  return socket().is_open();
}

bool Stream::has_news() noexcept {
  char byte = 0;
  const auto got = ::recv(handle_, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return got >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

asio::any_io_executor Stream::executor() {
  return socket().get_executor();
}

}  // namespace turnpike::http
