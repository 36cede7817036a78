#include "json_client.hpp"

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>
#include <functional>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include "turnpike/base/signal.hpp"
#include "turnpike/http/message.hpp"
#include "turnpike/http/stream.hpp"

namespace turnpike::payments {

namespace asio = boost::asio;
using asio::awaitable;
using asio::ip::tcp;
using http::error_code;

namespace {

constexpr std::size_t kMostHeadBytes = 16 * 1024;
constexpr std::size_t kReadBytes = 4096;
constexpr std::string_view kOutOfTime = "it did not answer in time";

// Asio's resolver cannot be interrupted in mid-query: what it needs lives as long as the query.
struct Lookup {
  explicit Lookup(const asio::any_io_executor& executor) : resolver(executor) {}
  tcp::resolver resolver;
  Signal* news = nullptr;  // null: nobody waits any more
  bool done = false;
  error_code error;
  std::vector<tcp::endpoint> found;
};

}  // namespace

struct JsonClient::Tls {
  asio::ssl::context context{asio::ssl::context::tls_client};
};

// One request. Its frame is its caller's: it ends when nothing of it is under way.
class JsonClient::Call {
 public:
  Call(const JsonClient& client, std::chrono::milliseconds timeout, std::stop_token stop)
      : client_(client),
        news_(client.executor_),
        deadline_(
            client.deadlines_, [](void* self) { static_cast<Call*>(self)->give_up(); }, this),
        stopped_(std::move(stop), [this] { give_up(); }) {
    deadline_.arm(timeout);
  }

  awaitable<std::expected<JsonAnswer, std::string>> run(const std::string& request) {
    auto failure = co_await connect();
    if (failure.empty()) failure = co_await send(request);
    if (failure.empty()) failure = co_await receive();
    if (over_) failure = kOutOfTime;
    if (stream_) stream_->close();
    while (reading_) co_await news_.wait();  // its memory is this frame's
    if (!failure.empty()) co_return std::unexpected(std::move(failure));
    co_return std::move(answer_);
  }

 private:
  // By the deadline, or because the gateway stops.
  void give_up() {
    over_ = true;
    if (stream_) stream_->close();
    news_.notify();
  }
  awaitable<void> wait() {
    if (!news_.take()) co_await news_.wait();
  }

  // Each of these: what was wrong; empty: nothing.
  awaitable<std::string> resolve(std::vector<tcp::endpoint>& into);
  awaitable<std::string> connect();
  awaitable<std::string> send(const std::string& request);
  awaitable<std::string> receive();
  std::string parse();
  void read_more();

  const JsonClient& client_;
  Signal news_;
  bool over_ = false;
  std::optional<http::Stream> stream_;
  http::Fields fields_;
  std::string buffer_;
  std::size_t parsed_ = 0;
  bool reading_ = false;
  bool ended_ = false;
  JsonAnswer answer_;
  http::MessageParser<false> parser_{
      fields_, {[](void* self, std::string_view piece) { static_cast<Call*>(self)->answer_.body += piece; }, this}};
  Deadline deadline_;
  std::stop_callback<std::function<void()>> stopped_;
};

awaitable<std::string> JsonClient::Call::resolve(std::vector<tcp::endpoint>& into) {
  error_code not_an_address;
  const auto address = asio::ip::make_address(client_.host_, not_an_address);
  if (!not_an_address) {
    into = {tcp::endpoint(address, static_cast<std::uint16_t>(std::stoul(client_.port_)))};
    co_return "";
  }
  const auto lookup = std::make_shared<Lookup>(client_.executor_);
  lookup->news = &news_;
  lookup->resolver.async_resolve(client_.host_, client_.port_,
                                 [lookup](error_code error, const tcp::resolver::results_type& results) {
                                   lookup->done = true;
                                   lookup->error = error;
                                   for (const auto& result : results) lookup->found.push_back(result.endpoint());
                                   if (lookup->news != nullptr) lookup->news->notify();
                                 });
  while (!lookup->done && !over_) co_await wait();
  lookup->news = nullptr;
  if (!lookup->done) co_return "its name was not resolved in time";
  if (lookup->error) co_return "its name cannot be resolved: " + lookup->error.message();
  into = std::move(lookup->found);
  co_return "";
}

awaitable<std::string> JsonClient::Call::connect() {
  std::vector<tcp::endpoint> endpoints;
  if (auto failure = co_await resolve(endpoints); !failure.empty()) co_return failure;
  error_code error;
  for (const auto& endpoint : endpoints) {
    tcp::socket socket(client_.executor_);
    bool done = false;
    socket.async_connect(endpoint, [&](error_code result) {
      done = true;
      error = result;
      news_.notify();
    });
    while (!done) {
      if (over_) socket.close();  // the handler still comes
      co_await wait();
    }
    if (over_) co_return std::string(kOutOfTime);
    if (error) continue;
    if (client_.tls_) {
      stream_.emplace(std::move(socket), client_.tls_->context, http::Stream::Role::client, client_.host_);
    } else {
      stream_.emplace(std::move(socket));
    }
    error = co_await stream_->handshake();
    co_return error ? "no TLS connection: " + error.message() : "";
  }
  co_return "it refused a connection: " + error.message();
}

awaitable<std::string> JsonClient::Call::send(const std::string& request) {
  const std::array<asio::const_buffer, 1> buffers{asio::buffer(request)};
  if (const auto error = co_await stream_->write(buffers)) co_return "it took no request: " + error.message();
  co_return "";
}

void JsonClient::Call::read_more() {
  const std::size_t before = buffer_.size();
  buffer_.resize(before + kReadBytes);
  reading_ = true;
  stream_->read_some(asio::buffer(buffer_.data() + before, kReadBytes),
                     {[](void* owner, error_code error, std::size_t bytes) {
                        auto& self = *static_cast<Call*>(owner);
                        self.reading_ = false;
                        self.buffer_.resize(self.buffer_.size() - kReadBytes + bytes);
                        if (error) self.ended_ = true;
                        self.news_.notify();
                      },
                      this});
}

// Feeds what has arrived to the parser.
std::string JsonClient::Call::parse() {
  error_code error;
  while (!parser_.is_done() && parsed_ < buffer_.size()) {
    const auto took = parser_.put(asio::buffer(buffer_.data() + parsed_, buffer_.size() - parsed_), error);
    parsed_ += took;
    if (error == boost::beast::http::error::need_more || (took == 0 && !error)) break;
    if (error) return "its answer is too large or malformed: " + error.message();
  }
  if (!parser_.is_done() && ended_) {
    if (!parser_.got_some()) return "it ended the connection without an answer";
    error = {};
    parser_.put_eof(error);
    if (error || !parser_.is_done()) return "it ended the connection within its answer";
  }
  return "";
}

awaitable<std::string> JsonClient::Call::receive() {
  parser_.eager(true);
  parser_.header_limit(kMostHeadBytes);
  parser_.body_limit(client_.server_.max_answer_bytes);
  while (!parser_.is_done()) {
    read_more();
    while (reading_) co_await wait();
    if (over_) co_return std::string(kOutOfTime);
    if (auto failure = parse(); !failure.empty()) co_return failure;
  }
  answer_.status = static_cast<int>(parser_.status);
  co_return "";
}

JsonClient::JsonClient(asio::any_io_executor executor, Deadlines& deadlines, JsonServer server)
    : executor_(std::move(executor)), deadlines_(deadlines), server_(std::move(server)) {
  const auto parsed = boost::urls::parse_uri(server_.url);
  if (!parsed) throw std::invalid_argument("one of the URLs is malformed");  // it may hold a key
  host_ = parsed->host_address();
  const bool secure = parsed->scheme() == "https";
  port_ = parsed->port().empty() ? (secure ? "443" : "80") : std::string(parsed->port());
  path_ = std::string(parsed->encoded_path());
  head_lines_ = " HTTP/1.1\r\nHost: " + std::string(parsed->encoded_host_and_port()) +
                "\r\nUser-Agent: turnpike/" TURNPIKE_VERSION
                "\r\nContent-Type: application/json\r\nAccept: application/json\r\nConnection: close\r\n";
  if (!server_.bearer.empty()) head_lines_ += "Authorization: Bearer " + server_.bearer + "\r\n";
  if (!secure) return;
  tls_ = std::make_unique<Tls>();
  tls_->context.set_verify_mode(asio::ssl::verify_peer);
  if (server_.ca_file.empty()) {
    tls_->context.set_default_verify_paths();
  } else {
    tls_->context.load_verify_file(server_.ca_file);
  }
}

JsonClient::~JsonClient() = default;

awaitable<std::expected<JsonAnswer, std::string>> JsonClient::post(std::string_view path, std::string_view body,
                                                                   std::chrono::milliseconds timeout,
                                                                   std::stop_token stop) const {
  std::string target = path_ + std::string(path);
  if (target.empty()) target = "/";
  const std::string request = "POST " + target + head_lines_ + "Content-Length: " + std::to_string(body.size()) +
                              "\r\n\r\n" + std::string(body);
  Call call(*this, timeout, std::move(stop));
  co_return co_await call.run(request);
}

}  // namespace turnpike::payments
