#include "turnpike/http/dialer.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "turnpike/base/signal.hpp"

namespace turnpike::http {

namespace asio = boost::asio;
using asio::awaitable;
using asio::ip::tcp;
using boost::system::error_code;

// A name that somebody waits for.
struct Dialer::Lookup {
  std::string host;
  std::uint16_t port = 0;
  Signal* news = nullptr;  // null: nobody waits any more
  bool done = false;
  error_code error;
  std::vector<Endpoint> found;
};

// The threads. What resolves a name cannot be interrupted, so the threads hold what they need for as long as it takes.
class Dialer::Resolvers : public std::enable_shared_from_this<Resolvers> {
 public:
  Resolvers(asio::any_io_executor loop, std::size_t most_threads, Resolve resolve)
      : loop_(std::move(loop)), most_threads_(most_threads), resolve_(std::move(resolve)) {}

  void ask(std::shared_ptr<Lookup> lookup) {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(lookup));
    if (idle_ < waiting_.size() && threads_ < most_threads_) {
      std::thread([self = shared_from_this()] { self->work(); }).detach();
      ++threads_;
    } else {
      wake_.notify_one();
    }
  }

  // Nobody is told of anything any more, and idle threads end.
  void close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    loop_ = {};
    wake_.notify_all();
  }

 private:
  void work() {
    std::unique_lock lock(mutex_);
    while (true) {
      ++idle_;
      wake_.wait(lock, [this] { return closed_ || !waiting_.empty(); });
      --idle_;
      if (closed_) return;
      auto lookup = std::move(waiting_.front());
      waiting_.pop_front();
      lock.unlock();
      error_code error;
      auto found = resolve_(lookup->host, lookup->port, error);
      lock.lock();
      if (closed_) return;
      asio::post(loop_, [lookup = std::move(lookup), error, found = std::move(found)]() mutable {
        lookup->done = true;
        lookup->error = error;
        lookup->found = std::move(found);
        if (lookup->news != nullptr) lookup->news->notify();
      });
    }
  }

  asio::any_io_executor loop_;  // there as long as this is not closed
  std::size_t most_threads_;
  Resolve resolve_;
  std::mutex mutex_;  // of all below
  std::condition_variable wake_;
  std::deque<std::shared_ptr<Lookup>> waiting_;
  std::size_t threads_ = 0;
  std::size_t idle_ = 0;
  bool closed_ = false;
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
      resolvers_(std::make_shared<Resolvers>(executor_, resolver_threads, resolve ? std::move(resolve) : ask_system)) {}

Dialer::~Dialer() {
  resolvers_->close();
}

awaitable<std::expected<std::vector<Dialer::Endpoint>, std::string>> Dialer::resolve(std::string host,
                                                                                     std::uint16_t port, Signal& news,
                                                                                     const bool& give_up) {
  error_code not_an_address;
  const auto address = asio::ip::make_address(host, not_an_address);
  if (!not_an_address) co_return std::vector{Endpoint(address, port)};
  const auto lookup = std::make_shared<Lookup>();
  lookup->host = std::move(host);
  lookup->port = port;
  lookup->news = &news;
  resolvers_->ask(lookup);
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
