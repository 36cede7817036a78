#include "json_server.hpp"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace turnpike::test {
namespace {

// A connection, plain or under TLS.
class Connection {
 public:
  Connection(int socket, SSL_CTX* context)
      : socket_(socket), tls_(context == nullptr ? nullptr : SSL_new(context), &SSL_free) {
    if (tls_ == nullptr) return;
    SSL_set_fd(tls_.get(), socket_);
    SSL_accept(tls_.get());
  }
  ~Connection() { ::close(socket_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  long read(char* into, std::size_t most) {
    return tls_ ? SSL_read(tls_.get(), into, static_cast<int>(most)) : ::recv(socket_, into, most, 0);
  }
  // Reads to the end of the connection. True: under TLS, and the peer said so (RFC 8446, section 6.1).
  bool says_end() {
    char rest[256];
    while (tls_ && SSL_read(tls_.get(), rest, sizeof rest) > 0) continue;
    return tls_ && (SSL_get_shutdown(tls_.get()) & SSL_RECEIVED_SHUTDOWN) != 0;
  }
  void write(const std::string& bytes) {
    if (tls_) {
      SSL_write(tls_.get(), bytes.data(), static_cast<int>(bytes.size()));
      SSL_shutdown(tls_.get());
    } else {
      ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    }
  }

 private:
  int socket_;
  std::unique_ptr<SSL, decltype(&SSL_free)> tls_;
};

// A head and its body; empty when the peer left before.
std::pair<std::string, std::string> read_request(Connection& connection) {
  std::string bytes;
  std::size_t wanted = std::string::npos;
  std::size_t head = std::string::npos;
  while (bytes.size() < wanted) {
    char piece[4096];
    const auto got = connection.read(piece, sizeof piece);
    if (got <= 0) return {};
    bytes.append(piece, static_cast<std::size_t>(got));
    if (head == std::string::npos) head = bytes.find("\r\n\r\n");
    if (head == std::string::npos) continue;
    const auto length = bytes.find("Content-Length: ");
    wanted = head + 4 + (length < head ? std::stoul(bytes.substr(length + 16)) : 0);
  }
  return {bytes.substr(0, head), bytes.substr(head + 4)};
}

}  // namespace

JsonServer::JsonServer(Answer answer, const std::string& tls_file) : answer_(std::move(answer)) {
  if (!tls_file.empty()) {
    tls_.reset(SSL_CTX_new(TLS_server_method()), &SSL_CTX_free);
    if (SSL_CTX_use_certificate_chain_file(tls_.get(), tls_file.c_str()) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls_.get(), tls_file.c_str(), SSL_FILETYPE_PEM) != 1) {
      throw std::runtime_error("no key and certificate in " + tls_file);
    }
  }
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof at;
  void* raw = &at;
  if (::bind(listener_, static_cast<sockaddr*>(raw), size) != 0 || ::listen(listener_, 64) != 0 ||
      ::getsockname(listener_, static_cast<sockaddr*>(raw), &size) != 0) {
    throw std::runtime_error("no port for a server of the test");
  }
  port_ = ntohs(at.sin_port);
  accepting_ = std::thread([this] {
    while (true) {
      const int socket = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      const std::lock_guard lock(mutex_);
      if (stopping_ || socket < 0) {
        if (socket >= 0) ::close(socket);
        return;
      }
      serving_.emplace_back([this, socket] { serve(socket); });
    }
  });
}

JsonServer::~JsonServer() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    held_ = false;
  }
  changed_.notify_all();
  ::shutdown(listener_, SHUT_RDWR);
  accepting_.join();
  ::close(listener_);
  for (auto& thread : serving_) thread.join();
}

void JsonServer::serve(int socket) {
  Connection connection(socket, tls_.get());
  const auto [head, body] = read_request(connection);
  if (!head.empty()) {
    Asked asked{.path = head.substr(5, head.find(' ', 5) - 5),
                .head = head,
                .text = body,
                .body = nlohmann::json::parse(body, nullptr, false)};
    std::unique_lock lock(mutex_);
    asked_.push_back(asked);
    changed_.wait(lock, [this] { return !held_; });
    const Answer answer = answer_;
    lock.unlock();
    const Reply reply = answer(asked);
    const std::string bytes =
        "HTTP/1.1 " + std::to_string(reply.status) + " OK\r\n" + reply.head +
        "Content-Type: application/json\r\nConnection: close\r\nContent-Length: " + std::to_string(reply.body.size()) +
        "\r\n\r\n" + reply.body;
    if (reply.hang_up) return;
    connection.write(bytes);
    if (!connection.says_end()) return;
    lock.lock();
    ++said_end_;
  }
}

void JsonServer::answer_by(Answer answer) {
  const std::lock_guard lock(mutex_);
  answer_ = std::move(answer);
}

void JsonServer::hold() {
  const std::lock_guard lock(mutex_);
  held_ = true;
}

void JsonServer::release() {
  const std::lock_guard lock(mutex_);
  held_ = false;
  changed_.notify_all();
}

int JsonServer::count(const std::string& path) const {
  const std::lock_guard lock(mutex_);
  return static_cast<int>(std::ranges::count(asked_, path, &Asked::path));
}

int JsonServer::said_end() const {
  const std::lock_guard lock(mutex_);
  return said_end_;
}

std::vector<JsonServer::Asked> JsonServer::asked() const {
  const std::lock_guard lock(mutex_);
  return asked_;
}

}  // namespace turnpike::test
