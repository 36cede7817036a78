#include "turnpike/http/dialer.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <utility>

#include "turnpike/base/signal.hpp"

namespace turnpike::http {

namespace asio = boost::asio;
using asio::awaitable;
using asio::ip::tcp;
using boost::system::error_code;

// Cannot be interrupted: what it needs lives as long as it takes.
struct Dialer::Lookup {
  Signal* news = nullptr;  // null: nobody waits any more
  bool done = false;
  error_code error;
  std::vector<Endpoint> found;
};

namespace {

std::vector<Dialer::Endpoint> ask_system(const std::string& host, std::uint16_t port, error_code& error) {
  asio::io_context unused;
  tcp::resolver resolver(unused);
  std::vector<Dialer::Endpoint> found;
  for (const auto& result : resolver.resolve(host, std::to_string(port), error)) found.push_back(result.endpoint());
  return found;
}

}  // namespace

Dialer::Dialer(asio::any_io_executor executor, std::size_t resolver_threads, Resolve resolve)
    : executor_(std::move(executor)),
      resolver_threads_(resolver_threads),
      resolve_(resolve ? std::move(resolve) : ask_system) {}

Dialer::~Dialer() = default;

awaitable<std::expected<std::vector<Dialer::Endpoint>, std::string>> Dialer::resolve(std::string host,
                                                                                     std::uint16_t port, Signal& news,
                                                                                     const bool& give_up) {
  error_code not_an_address;
  const auto address = asio::ip::make_address(host, not_an_address);
  if (!not_an_address) co_return std::vector{Endpoint(address, port)};
  if (!resolvers_) resolvers_ = std::make_unique<asio::thread_pool>(resolver_threads_);
  const auto lookup = std::make_shared<Lookup>();
  lookup->news = &news;
  asio::post(*resolvers_, [lookup, host = std::move(host), port, this] {
    error_code error;
    auto found = resolve_(host, port, error);
    asio::post(executor_, [lookup, error, found = std::move(found)]() mutable {
      lookup->done = true;
      lookup->error = error;
      lookup->found = std::move(found);
      if (lookup->news != nullptr) lookup->news->notify();
    });
  });
  while (!lookup->done && !give_up) {
    if (!news.take()) co_await news.wait();
  }
  lookup->news = nullptr;
  if (!lookup->done) co_return std::unexpected("its name was not resolved in time");
  if (lookup->error) co_return std::unexpected("its name cannot be resolved: " + lookup->error.message());
  if (lookup->found.empty()) co_return std::unexpected("its name has no address");
  co_return std::move(lookup->found);
}

awaitable<std::expected<Dialer::Socket, std::string>> Dialer::connect(std::vector<Endpoint> endpoints, std::size_t& at,
                                                                      Signal& news, const bool& give_up) {
  const auto first = at;
  error_code error;
  for (std::size_t i = 0; i < endpoints.size(); ++i) {
    at = (first + i) % endpoints.size();
    Socket socket(executor_);
    bool done = false;
    socket.async_connect(endpoints[at], [&](error_code result) {
      done = true;
      error = result;
      news.notify();
    });
    while (!done) {
      if (give_up) socket.close();  // the handler still comes, with operation_aborted
      if (!news.take()) co_await news.wait();
    }
    if (give_up) co_return std::unexpected("it did not take a connection in time");
    if (!error) co_return std::move(socket);
  }
  co_return std::unexpected("it refused a connection: " + error.message());
}

}  // namespace turnpike::http
