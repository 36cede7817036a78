// Opens connections to hosts by name or address.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/system/error_code.hpp>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace turnpike {
class Signal;
}

namespace turnpike::http {

// Loop thread only. Whoever waits is told of news by its Signal; with each notice it may have set `give_up`, which ends
// the wait. Failures are in words for the log.
class Dialer {
 public:
  using Endpoint = boost::asio::ip::tcp::endpoint;
  using Socket = boost::asio::ip::tcp::socket;
  // All addresses of a name. May block; called on the dialer's threads, several at once.
  using Resolve = std::function<std::vector<Endpoint>(const std::string& host, std::uint16_t port,
                                                      boost::system::error_code& error)>;

  // Names are resolved on threads of its own, at most `resolver_threads` at once, so that a name that takes long delays
  // nobody else's; a thread begins where one is missed. `resolve`: null for the system's resolver.
  Dialer(boost::asio::any_io_executor executor, std::size_t resolver_threads, Resolve resolve = nullptr);
  ~Dialer();  // does not wait for names: a thread that is resolving one ends by itself, and calls nobody
  Dialer(const Dialer&) = delete;
  Dialer& operator=(const Dialer&) = delete;

  // At least one; an address, as RFC 3986 writes it without brackets, is resolved at once.
  boost::asio::awaitable<std::expected<std::vector<Endpoint>, std::string>> resolve(std::string host,
                                                                                    std::uint16_t port, Signal& news,
                                                                                    const bool& give_up);

  // Tries each of `endpoints` once, from the one at `at` on in a circle, until one takes a connection: a name often has
  // an address that nobody listens at (`localhost` is ::1 first). `at` becomes that of the last one that was tried.
  boost::asio::awaitable<std::expected<Socket, std::string>> connect(std::vector<Endpoint> endpoints, std::size_t& at,
                                                                     Signal& news, const bool& give_up);

 private:
  struct Lookup;
  class Resolvers;
  boost::asio::any_io_executor executor_;
  std::shared_ptr<Resolvers> resolvers_;
};

}  // namespace turnpike::http
