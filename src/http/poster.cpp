#include "turnpike/http/poster.hpp"

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>
#include <functional>
#include <utility>
#include <vector>

#include "turnpike/base/signal.hpp"
#include "turnpike/http/client_tls.hpp"
#include "turnpike/http/dialer.hpp"
#include "turnpike/http/message.hpp"
#include "turnpike/http/stream.hpp"

namespace turnpike::http {

namespace asio = boost::asio;
using asio::awaitable;

namespace {

constexpr std::size_t kMostHeadBytes = 16 * 1024;
constexpr std::size_t kReadBytes = 4096;
constexpr std::uint16_t kHttpPort = 80;
constexpr std::uint16_t kHttpsPort = 443;
constexpr std::string_view kOutOfTime = "it did not answer in time";

}  // namespace

std::optional<Place> parse_place(std::string_view url) {
  const auto parsed = boost::urls::parse_uri(boost::urls::string_view(url.data(), url.size()));
  if (!parsed) return std::nullopt;
  const bool secure = parsed->scheme_id() == boost::urls::scheme::https;
  if (!secure && parsed->scheme_id() != boost::urls::scheme::http) return std::nullopt;
  if (!parsed->has_authority() || parsed->encoded_host().empty()) return std::nullopt;
  if (parsed->has_port() && !parsed->port().empty() && parsed->port_number() == 0) return std::nullopt;
  const auto plain = [](auto text) { return std::string(text.data(), text.size()); };
  Place place{.secure = secure,
              .host = parsed->host_address(),
              .port = parsed->port_number() != 0 ? parsed->port_number()
                      : secure                   ? kHttpsPort
                                                 : kHttpPort,
              .authority = plain(parsed->encoded_host_and_port()),
              .target = plain(parsed->encoded_path()),
              .has_userinfo = parsed->has_userinfo()};
  if (parsed->has_query()) place.target.append("?").append(plain(parsed->encoded_query()));
  return place;
}

struct Poster::Shared {
  Shared(asio::any_io_executor on, Deadlines& wheel, std::size_t resolver_threads)
      : executor(std::move(on)), deadlines(wheel), dialer(executor, resolver_threads) {}
  asio::any_io_executor executor;
  Deadlines& deadlines;
  std::unique_ptr<asio::ssl::context> tls;  // from the first https URL on, or the start where the file is told
  Dialer dialer;
};

// One request. Its frame is its caller's: it ends when nothing of it is under way.
class Poster::Call {
 public:
  Call(Shared& shared, const Place& place, const Post& what, std::stop_token stop)
      : shared_(shared),
        place_(place),
        what_(what),
        news_(shared.executor),
        deadline_(
            shared.deadlines, [](void* self) { static_cast<Call*>(self)->give_up(); }, this),
        stopped_(std::move(stop), [this] { give_up(); }) {
    deadline_.arm(what.timeout);
  }

  awaitable<std::expected<PostAnswer, std::string>> run() {
    auto failure = co_await connect();
    if (failure.empty()) failure = co_await send();
    if (failure.empty()) failure = co_await receive();
    if (over_) failure = kOutOfTime;
    if (stream_) stream_->close();
    while (reading_) co_await news_.wait();  // its memory is this frame's
    const bool enough = what_.only_status && answer_.status != 0;
    if (!failure.empty() && !enough) co_return std::unexpected(std::move(failure));
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
  awaitable<std::string> connect();
  awaitable<std::string> send();
  awaitable<std::string> receive();
  std::string parse();
  void take_body(std::string_view piece) {
    if (!what_.only_status) answer_.body += piece;
  }
  void read_more();

  Shared& shared_;
  const Place& place_;
  const Post& what_;
  Signal news_;
  bool over_ = false;
  std::optional<Stream> stream_;
  Fields fields_;
  std::string buffer_;
  std::size_t parsed_ = 0;
  bool reading_ = false;
  bool ended_ = false;
  PostAnswer answer_;
  MessageParser<false> parser_{
      fields_, {[](void* self, std::string_view piece) { static_cast<Call*>(self)->take_body(piece); }, this}};
  Deadline deadline_;
  std::stop_callback<std::function<void()>> stopped_;
};

awaitable<std::string> Poster::Call::connect() {
  auto endpoints = co_await shared_.dialer.resolve(place_.host, place_.port, news_, over_);
  if (!endpoints) co_return endpoints.error();
  const auto forbidden = [this](const Dialer::Endpoint& endpoint) {
    return what_.may_call != nullptr && !what_.may_call(endpoint.address());
  };
  if (std::ranges::any_of(*endpoints, forbidden)) co_return "its address is not one that may be called";
  std::size_t at = 0;
  auto socket = co_await shared_.dialer.connect(*std::move(endpoints), at, news_, over_);
  if (!socket) co_return socket.error();
  if (place_.secure) {
    if (!shared_.tls) shared_.tls = client_tls();
    stream_.emplace(*std::move(socket), *shared_.tls, Stream::Role::client, place_.host);
  } else {
    stream_.emplace(*std::move(socket));
  }
  const auto error = co_await stream_->handshake();
  co_return error ? "no TLS connection: " + error.message() : "";
}

awaitable<std::string> Poster::Call::send() {
  const std::string target = what_.target.starts_with('/') ? what_.target : "/" + what_.target;
  const std::string head = "POST " + target + " HTTP/1.1\r\nHost: " + place_.authority +
                           "\r\nUser-Agent: turnpike/" TURNPIKE_VERSION "\r\nConnection: close\r\n" + what_.head_lines +
                           "Content-Length: " + std::to_string(what_.body.size()) + "\r\n\r\n";
  const std::array<asio::const_buffer, 2> buffers{asio::buffer(head), asio::buffer(what_.body)};
  if (const auto error = co_await stream_->write(buffers)) co_return "it took no request: " + error.message();
  co_return "";
}

void Poster::Call::read_more() {
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
std::string Poster::Call::parse() {
  error_code error;
  while (!parser_.is_done() && parsed_ < buffer_.size()) {
    const auto took = parser_.put(asio::buffer(buffer_.data() + parsed_, buffer_.size() - parsed_), error);
    parsed_ += took;
    if (parser_.is_header_done() && answer_.status == 0) {
      answer_.status = static_cast<int>(parser_.status);
      // Now: the fields are views into the buffer, which moves when it grows.
      if (const auto field = fields_.find(Field::retry_after)) answer_.retry_after = std::string(*field);
    }
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

awaitable<std::string> Poster::Call::receive() {
  parser_.eager(true);
  parser_.header_limit(kMostHeadBytes);
  if (what_.only_status) {
    parser_.body_limit(boost::none);
  } else {
    parser_.body_limit(what_.max_answer_bytes);
  }
  while (!parser_.is_done()) {
    const bool seen_enough = what_.only_status && answer_.status != 0 && buffer_.size() >= what_.max_answer_bytes;
    if (seen_enough) break;
    read_more();
    while (reading_) co_await wait();
    if (over_) co_return std::string(kOutOfTime);
    if (auto failure = parse(); !failure.empty()) co_return failure;
  }
  co_return "";
}

Poster::Poster(asio::any_io_executor executor, Deadlines& deadlines, const std::string& ca_file,
               std::size_t resolver_threads)
    : shared_(std::make_unique<Shared>(std::move(executor), deadlines, resolver_threads)) {
  if (!ca_file.empty()) shared_->tls = client_tls(ca_file);
}

Poster::~Poster() = default;

awaitable<std::expected<PostAnswer, std::string>> Poster::post(Place place, Post what, std::stop_token stop) const {
  Call call(*shared_, place, what, std::move(stop));
  co_return co_await call.run();
}

}  // namespace turnpike::http
