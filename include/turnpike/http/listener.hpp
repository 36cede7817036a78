// Accepts connections and runs a session on each.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "turnpike/base/deadlines.hpp"
#include "turnpike/base/error.hpp"
#include "turnpike/base/random.hpp"
#include "turnpike/http/limits.hpp"
#include "turnpike/http/request.hpp"
#include "turnpike/http/router.hpp"

namespace boost::asio::ssl {
class context;
}

namespace turnpike::http {

// How an error is answered, in the form that the request's owner understands. `request` is null when there was no
// request to speak of (a head that cannot be parsed).
using ErrorRenderer = std::function<Response(const Error& error, const Request* request)>;

// What happened, for metrics and logs: `status` 0 means that the client left before an answer.
using RequestObserver = std::function<void(const Request& request, int status, std::chrono::nanoseconds took)>;

struct ServerParts {
  boost::asio::any_io_executor executor;
  Deadlines& deadlines;
  const Router& router;
  Limits limits;
  ErrorRenderer render_error;
  RequestObserver observe = {};
  boost::asio::ssl::context* tls = nullptr;  // null: plain
  // Told when `growth_from` connections are open at once for the first time, and each time that number has doubled.
  std::function<void()> on_growth = {};
  std::size_t growth_from = 0;  // 0: never
};

// Counters of one listener.
struct ServerStats {
  std::size_t connections = 0;       // open now
  std::size_t requests_running = 0;  // being answered now
  std::uint64_t accepted = 0;
  std::uint64_t refused = 0;          // over `max_connections`
  std::size_t body_memory_bytes = 0;  // held for request bodies beyond each connection's first few KiB
};

// Loop thread only. stop() and join() before it goes.
class Listener {
 public:
  // Binds to `address` ("127.0.0.1:7545", "[::1]:0"). Error when it cannot be bound.
  static Result<std::unique_ptr<Listener>> open(ServerParts parts, const std::string& address);
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  // The address in use, with the port that was given for port 0.
  [[nodiscard]] std::string address() const;
  void start();

  // No new connections; idle ones end, busy ones end after their answer.
  void drain();
  // Ends every connection now.
  void close_all();
  // Returns when no session runs.
  boost::asio::awaitable<void> join();
  [[nodiscard]] const ServerStats& stats() const;

  struct State;

 private:
  explicit Listener(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// "host:port" or "[v6]:port" split and checked; invalid_request when malformed.
Result<std::pair<std::string, std::uint16_t>> split_address(const std::string& address);

}  // namespace turnpike::http
