#include "turnpike/http/listener.hpp"

#include <spdlog/spdlog.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <charconv>
#include <utility>

#include "session.hpp"

namespace turnpike::http {

namespace asio = boost::asio;
using asio::awaitable;

struct Listener::State {
  State(ServerParts parts, Tcp::acceptor open_acceptor)
      : host(std::move(parts)),
        acceptor(std::move(open_acceptor)),
        back_off(host.parts.executor),
        next_growth(host.parts.growth_from),
        tasks(host.parts.executor) {}

  awaitable<void> accept();
  awaitable<void> serve(Tcp::socket socket, std::string peer);
  void note_growth();

  SessionHost host;
  Tcp::acceptor acceptor;
  asio::steady_timer back_off;
  std::size_t next_growth;  // connections at once; 0: never
  TaskGroup tasks;
};

namespace {

Stream open_stream(const ServerParts& parts, Tcp::socket socket) {
  if (parts.tls == nullptr) return Stream(std::move(socket));
  return {std::move(socket), *parts.tls, Stream::Role::server, {}};
}

}  // namespace

awaitable<void> Listener::State::serve(Tcp::socket socket, std::string peer) {
  Session session(host, open_stream(host.parts, std::move(socket)), std::move(peer));
  note_growth();
  co_await session.run();
}

void Listener::State::note_growth() {
  if (next_growth == 0 || host.stats.connections < next_growth) return;
  next_growth *= 2;
  host.parts.on_growth();
}

awaitable<void> Listener::State::accept() {
  while (!host.draining) {
    auto [error, socket] = co_await acceptor.async_accept(asio::as_tuple(asio::use_awaitable));
    if (host.draining) break;
    if (error) {
      // Out of descriptors or memory: trying again at once would spin. Some connection has to end first.
      spdlog::warn("accept failed: {}", error.message());
      back_off.expires_after(std::chrono::milliseconds(100));
      co_await back_off.async_wait(asio::as_tuple(asio::use_awaitable));
      continue;
    }
    ++host.stats.accepted;
    if (host.stats.connections >= host.parts.limits.max_connections) {
      ++host.stats.refused;
      error_code ignored;
      socket.close(ignored);
      continue;
    }
    error_code gone;
    const auto remote = socket.remote_endpoint(gone);
    if (gone) continue;
    tasks.spawn("session", serve(std::move(socket), remote.address().to_string()));
  }
}

Result<std::pair<std::string, std::uint16_t>> split_address(const std::string& address) {
  const auto colon = address.rfind(':');
  const auto bad = [&] { return fail(Fault::invalid_request, "expected ADDRESS:PORT, got \"" + address + "\""); };
  if (colon == std::string::npos) return bad();
  std::string host = address.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  std::uint16_t port = 0;
  const char* end = address.data() + address.size();
  const auto [parsed, error] = std::from_chars(address.data() + colon + 1, end, port);
  if (error != std::errc{} || parsed != end || host.empty()) return bad();
  return std::pair{host, port};
}

Result<std::unique_ptr<Listener>> Listener::open(ServerParts parts, const std::string& address) {
  const auto split = split_address(address);
  if (!split) return std::unexpected(split.error());
  error_code error;
  const auto ip = asio::ip::make_address(split->first, error);
  if (error) return fail(Fault::invalid_request, "not an IP address: \"" + split->first + "\"");
  const Tcp::endpoint endpoint(ip, split->second);
  Tcp::acceptor acceptor(parts.executor);
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(Tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) return fail(Fault::internal_error, "cannot listen on " + address + ": " + error.message());
  return std::unique_ptr<Listener>(new Listener(std::make_unique<State>(std::move(parts), std::move(acceptor))));
}

Listener::Listener(std::unique_ptr<State> state) : state_(std::move(state)) {}
Listener::~Listener() = default;

std::string Listener::address() const {
  const auto local = state_->acceptor.local_endpoint();
  const auto text = local.address().to_string();
  return (local.address().is_v6() ? "[" + text + "]" : text) + ":" + std::to_string(local.port());
}

void Listener::start() {
  state_->tasks.spawn("listener", state_->accept());
}

void Listener::drain() {
  state_->host.draining = true;
  error_code ignored;
  state_->acceptor.close(ignored);
  state_->back_off.cancel();
  for (auto it = state_->host.sessions.begin(); it != state_->host.sessions.end();) (*it++)->drain();
}

void Listener::close_all() {
  drain();
  for (auto it = state_->host.sessions.begin(); it != state_->host.sessions.end();) (*it++)->close();
}

awaitable<void> Listener::join() {
  return state_->tasks.join();
}

const ServerStats& Listener::stats() const {
  return state_->host.stats;
}

}  // namespace turnpike::http
