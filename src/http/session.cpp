#include "session.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/http/error.hpp>
#include <cassert>
#include <cstring>
#include <ctime>
#include <exception>
#include <utility>

namespace turnpike::http {

namespace asio = boost::asio;
namespace beast_http = boost::beast::http;
using asio::awaitable;

namespace {

constexpr std::size_t kFirstBufferBytes = 4096;
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

}  // namespace

const std::string& SessionHost::date() {
  const auto now = unix_seconds(parts.deadlines.clock().wall());
  if (now != date_second) {
    date_second = now;
    const std::time_t time = now;
    std::tm utc{};
    gmtime_r(&time, &utc);
    std::array<char, 64> text{};
    const auto length = std::strftime(text.data(), text.size(), "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &utc);
    date_line.assign(text.data(), length);
  }
  return date_line;
}

Session::Session(SessionHost& host, Stream stream, std::string peer)
    : host_(host),
      stream_(std::move(stream)),
      peer_(std::move(peer)),
      in_(kFirstBufferBytes),
      news_(host.parts.executor),
      deadline_(host.parts.deadlines, [](void* self) { static_cast<Session*>(self)->on_deadline(); }, this) {
  self_ = host_.sessions.insert(host_.sessions.end(), this);
  ++host_.stats.connections;
}

Session::~Session() {
  host_.sessions.erase(self_);
  --host_.stats.connections;
  host_.stats.body_memory_bytes -= counted_;
}

void Session::drain() {
  close_after_ = true;
  if (idle_) close();
}

void Session::close() {
  ended_ = true;
  client_gone_.request_stop();
  stream_.close();
  news_.notify();
}

awaitable<void> Session::run() {
  deadline_.arm(host_.parts.limits.head_timeout);
  const error_code handshake = co_await stream_.handshake();
  if (handshake) {
    spdlog::debug("TLS handshake with {} failed: {}", peer_, handshake.message());
    ended_ = true;
  }
  while (!ended_) {
    const Got got = co_await read_request();
    if (got == Got::end) break;
    if (got == Got::fault) {
      co_await answer_fault();
      co_await linger();
      break;
    }
    co_await answer();
    if (close_after_ || !request_.keep_alive) {
      co_await linger();
      break;
    }
  }
  deadline_.disarm();
  stream_.close();
  // The pending read still points into this session: its end has to be seen before the session may go.
  while (reading_) co_await news_.wait();
}

// ---- bytes in ----

void Session::want_bytes() {
  if (reading_ || ended_) return;
  // From a parsed head to the end of its answer there are views into the buffer: only grow_for_body() moves it then,
  // and takes them along.
  if (!pinned_ && !head_held_) in_.make_room(std::min<std::size_t>(1024, in_.capacity() / 2));
  const auto tail = in_.tail();
  if (tail.empty()) return;
  reading_ = true;
  stream_.read_some(asio::buffer(tail.data(), tail.size()), {[](void* self, error_code error, std::size_t bytes) {
                                                               static_cast<Session*>(self)->on_read(error, bytes);
                                                             },
                                                             this});
}

void Session::on_read(error_code error, std::size_t bytes) {
  const Moment moment(host_.parts.deadlines.clock());
  reading_ = false;
  in_.commit(bytes);
  if (error && error != asio::error::operation_aborted) {
    ended_ = true;
    client_gone_.request_stop();
  }
  if (!error && pinned_) want_bytes();
  news_.notify_now();
}

void Session::on_deadline() {
  timed_out_ = true;
  if (writing_) {
    // A client that takes no bytes is as good as gone.
    close();
    return;
  }
  news_.notify();
}

// True when something arrived, false when the connection ended or the deadline passed.
awaitable<bool> Session::more_bytes() {
  const auto before = in_.size();
  while (in_.size() == before) {
    if (ended_ || timed_out_) co_return false;
    want_bytes();
    if (!news_.take()) co_await news_.wait();
  }
  co_return true;
}

// ---- requests ----

Session::Got Session::fault(Fault kind, std::string message) {
  fault_ = Error{.fault = kind, .message = std::move(message)};
  return Got::fault;
}

awaitable<Session::Got> Session::read_request() {
  const auto& limits = host_.parts.limits;
  timed_out_ = false;
  status_ = 0;
  fault_.reset();
  idle_ = in_.size() == 0;
  deadline_.arm(idle_ ? limits.idle_timeout : limits.head_timeout);
  std::size_t searched = 0;
  std::optional<Got> head = find_head(searched);
  while (!head) {
    // As more_bytes(), without a coroutine for each request.
    const auto before = in_.size();
    while (in_.size() == before && !ended_ && !timed_out_) {
      want_bytes();
      if (!news_.take()) co_await news_.wait();
    }
    if (in_.size() == before) {
      if (!timed_out_ || before == 0) co_return Got::end;
      co_return fault(Fault::request_timeout, "the request head did not arrive in time");
    }
    head = find_head(searched);
    if (!head && std::exchange(idle_, false)) deadline_.arm(limits.head_timeout);
  }
  idle_ = false;
  if (*head != Got::request || (!head_.chunked && head_.body_bytes == 0)) co_return *head;
  deadline_.arm(limits.body_timeout);
  if (const auto expect = request_.fields.find(Field::expect);
      expect && equals_ignoring_case(*expect, "100-continue")) {
    const std::array go_on{asio::const_buffer(kContinue.data(), kContinue.size())};
    if (!write_now(go_on) && !co_await written()) co_return Got::end;
    deadline_.arm(limits.body_timeout);
  }
  if (head_.chunked) co_return co_await read_chunked_body();
  if (take_body()) co_return Got::request;
  co_return co_await read_body();
}

// Reads the head from what has arrived; nullopt: more has to come. There is no end of it before `searched`.
std::optional<Session::Got> Session::find_head(std::size_t& searched) {
  const auto& limits = host_.parts.limits;
  // Empty lines before a request are passed over (RFC 9112, section 2.2).
  while (searched == 0 && in_.unread().starts_with("\r\n")) in_.consume(2);
  if (searched == 0 && take_known_head()) return begin_request();
  const auto bytes = in_.unread();
  const auto end = bytes.find("\r\n\r\n", searched);
  if (end != std::string_view::npos && end + 4 <= limits.max_head_bytes) return parse_head(end + 4);
  if (bytes.size() >= limits.max_head_bytes) {
    return fault(Fault::headers_too_large,
                 "the request head is larger than " + std::to_string(limits.max_head_bytes) + " bytes");
  }
  searched = bytes.size() < 3 ? 0 : bytes.size() - 3;
  return std::nullopt;
}

Session::Got Session::parse_head(std::size_t head_bytes) {
  known_head_.forget();  // request_ is another's from here on
  request_.known_sender.clear();
  parser_.emplace(request_.fields, Parser::BodySink{[](void* owner, std::string_view piece) {
                                                      auto& self = *static_cast<Session*>(owner);
                                                      // Decoded in place: a chunk's bytes only ever move towards the
                                                      // front.
                                                      std::memmove(self.in_.data() + self.body_at_ + self.body_size_,
                                                                   piece.data(), piece.size());
                                                      self.body_size_ += piece.size();
                                                    },
                                                    this});
  parser_->header_limit(static_cast<std::uint32_t>(head_bytes));
  parser_->body_limit(host_.parts.limits.max_body_bytes);
  error_code error;
  used_ = parser_->put(asio::buffer(in_.data(), head_bytes), error);
  if (error == beast_http::error::body_limit) {
    return fault(Fault::request_too_large,
                 "the request body is larger than " + std::to_string(host_.parts.limits.max_body_bytes) + " bytes");
  }
  if (error || !parser_->is_header_done() || used_ != head_bytes) {
    return fault(Fault::invalid_request, "the request head is malformed");
  }
  request_.verb = parser_->verb;
  request_.method = parser_->method;
  request_.target = parser_->target;
  const auto question = request_.target.find('?');
  request_.path = request_.target.substr(0, question);
  request_.query = question == std::string_view::npos ? std::string_view{} : request_.target.substr(question + 1);
  request_.http11 = parser_->version >= 11;
  head_ = {.at = in_.data(),
           .body_bytes = parser_->content_length().value_or(0),
           .chunked = parser_->chunked(),
           .keep_alive = parser_->keep_alive()};
  // The parser decodes a chunked body, from the head's end on.
  if (!head_.chunked) known_head_.learn({in_.data(), head_bytes}, request_.fields);
  return begin_request();
}

// The head is like the last one's but for its Content-Length: request_ is that one's, and moves to where it is now.
bool Session::take_known_head() {
  const auto match = known_head_.match(in_.unread());
  const auto& limits = host_.parts.limits;
  if (!match || match->bytes > limits.max_head_bytes) return false;
  const auto body_bytes = match->content_length.value_or(0);
  if (body_bytes > limits.max_body_bytes) return false;
  used_ = match->bytes;
  request_.rebase(in_.data() - head_.at);
  if (match->content_length) request_.fields.resize_value(Field::content_length, match->digits);
  head_.at = in_.data();
  head_.body_bytes = body_bytes;
  return true;
}

Session::Got Session::begin_request() {
  head_held_ = true;
  request_.keep_alive = head_.keep_alive;
  request_.body = {};
  request_.peer = client();
  request_.id.assign("req_");
  host_.ids.append_base62(request_.id, 20);
  if (request_.http11 && !request_.fields.find(Field::host)) {
    return fault(Fault::invalid_request, "a request of HTTP/1.1 needs the Host header");
  }
  return Got::request;
}

std::string_view Session::client() {
  const auto& proxies = host_.parts.limits.trusted_proxies;
  if (proxies.empty()) return peer_;
  client_ = proxies.client(peer_, request_.fields);
  return client_;
}

// Makes the buffer hold `bytes` (head and body). The views into the head move along. False: over the shared limit.
bool Session::grow_for_body(std::size_t bytes) {
  if (reading_) return true;  // a read never starts without room behind it; growing waits for its end
  const auto missing = bytes > in_.size() ? bytes - in_.size() : 0;
  if (in_.room() >= std::max<std::size_t>(missing, 1)) return true;
  const char* before = in_.data();
  // By what has come, not by what was announced: a header alone takes no memory.
  in_.make_room(std::max<std::size_t>(std::min(missing, in_.size()), 1024));
  const auto moved = in_.data() - before;
  request_.rebase(moved);
  head_.at += moved;
  account_body_memory();
  return host_.stats.body_memory_bytes <= host_.parts.limits.max_body_memory_bytes;
}

void Session::account_body_memory() {
  const auto now = in_.capacity() > kFirstBufferBytes ? in_.capacity() - kFirstBufferBytes : 0;
  host_.stats.body_memory_bytes += now - counted_;
  counted_ = now;
}

// True when all of it has arrived.
bool Session::take_body() {
  const auto length = static_cast<std::size_t>(head_.body_bytes);
  if (in_.size() < used_ + length) return false;
  request_.body = {in_.data() + used_, length};
  used_ += length;
  return true;
}

awaitable<Session::Got> Session::read_body() {
  while (!take_body()) {
    if (!grow_for_body(used_ + static_cast<std::size_t>(head_.body_bytes))) {
      co_return fault(Fault::service_unavailable, "too many large requests at once");
    }
    if (!co_await more_bytes()) {
      if (timed_out_) co_return fault(Fault::request_timeout, "the request body did not arrive in time");
      co_return Got::end;
    }
  }
  co_return Got::request;
}

awaitable<Session::Got> Session::read_chunked_body() {
  body_at_ = used_;
  body_size_ = 0;
  parser_->eager(true);
  std::size_t parsed = used_;
  while (true) {
    error_code error;
    if (in_.size() > parsed) {
      parsed += parser_->put(asio::buffer(in_.data() + parsed, in_.size() - parsed), error);
    }
    if (parser_->is_done()) break;
    if (error == beast_http::error::body_limit) {
      co_return fault(Fault::request_too_large, "the request body is larger than " +
                                                    std::to_string(host_.parts.limits.max_body_bytes) + " bytes");
    }
    if (error && error != beast_http::error::need_more) {
      co_return fault(Fault::invalid_request, "the request body's chunks are malformed");
    }
    if (!grow_for_body(in_.size() + 1)) co_return fault(Fault::service_unavailable, "too many large requests at once");
    if (!co_await more_bytes()) {
      if (timed_out_) co_return fault(Fault::request_timeout, "the request body did not arrive in time");
      co_return Got::end;
    }
  }
  used_ = parsed;
  request_.body = {in_.data() + body_at_, body_size_};
  co_return Got::request;
}

// ---- answers ----

awaitable<void> Session::answer() {
  const auto began = host_.parts.deadlines.clock().now();
  ++host_.stats.requests_running;
  deadline_.disarm();
  pinned_ = true;
  want_bytes();
  {
    Exchange exchange(*this, request_);
    bool failed = false;
    try {
      co_await route(exchange);
    } catch (const std::exception& error) {
      spdlog::error("{} {} {}: unforeseen: {}", request_.id, request_.method, request_.path, error.what());
      failed = true;
    }
    if (failed || !exchange.answered_) {
      request_.keep_alive = false;
      const Error error{.fault = Fault::internal_error, .message = "the gateway failed; its log has the request id"};
      if (!exchange.answered_ && !ended_) co_await exchange.send(host_.parts.render_error(error, &request_));
    }
    if (exchange.streaming_ && !exchange.finished_) {
      // A stream that was begun and not finished must not look finished: the connection ends without the last chunk.
      request_.keep_alive = false;
    }
  }
  if (host_.parts.observe) host_.parts.observe(request_, status_, host_.parts.deadlines.clock().exactly_now() - began);
  --host_.stats.requests_running;
  pinned_ = false;
  head_held_ = false;
  in_.consume(used_);
  if (in_.capacity() > 16 * kFirstBufferBytes) {
    // A large request is over: the pending read gives its memory back.
    if (reading_) stream_.cancel_reads();
    while (reading_) co_await news_.wait();
    in_.shrink();
    account_body_memory();
  }
}

awaitable<void> Session::answer_fault() {
  fault_->param.clear();
  request_.keep_alive = false;
  if (!head_held_) {
    known_head_.forget();
    request_.verb = Verb::unknown;
    request_.http11 = true;
    request_.fields.clear();
    request_.id.assign("req_");
    host_.ids.append_base62(request_.id, 20);
  }
  Exchange exchange(*this, request_);
  deadline_.disarm();
  co_await exchange.send(host_.parts.render_error(*fault_, &request_));
}

awaitable<void> Session::route(Exchange& exchange) {
  if (request_.verb == Verb::options) {
    co_await answer_preflight(exchange);
    co_return;
  }
  auto match = host_.parts.router.match(request_.verb, request_.path);
  if (match.handler == nullptr) {
    const bool known = !match.allow.empty();
    Error error{.fault = known ? Fault::method_not_allowed : Fault::not_found,
                .message = known ? "this path does not answer " + std::string(request_.method)
                                 : "no such path: " + std::string(request_.path.substr(0, 200))};
    Response response = host_.parts.render_error(error, &request_);
    if (known) response.headers.emplace_back("Allow", match.allow + ", OPTIONS");
    co_await exchange.send(response);
    co_return;
  }
  if (request_.verb == Verb::post || request_.verb == Verb::patch) {
    const auto type = request_.fields.find(Field::content_type);
    if (type && !has_token(*type, "application/json") && !request_.body.empty()) {
      const Error error{.fault = Fault::unsupported_media_type, .message = "Content-Type must be application/json"};
      co_await exchange.send(host_.parts.render_error(error, &request_));
      co_return;
    }
  }
  request_.parameters = std::move(match.parameters);
  co_await (*match.handler)(exchange);
}

awaitable<void> Session::answer_preflight(Exchange& exchange) {
  auto match = host_.parts.router.match(Verb::options, request_.path);
  Response response;
  response.status = 204;
  response.content_type.clear();
  if (match.allow.empty() && request_.path != "*") {
    const Error error{.fault = Fault::not_found, .message = "no such path"};
    response = host_.parts.render_error(error, &request_);
  } else {
    response.headers.emplace_back("Allow", match.allow + ", OPTIONS");
    response.headers.emplace_back("Access-Control-Allow-Methods", match.allow + ", OPTIONS");
    const auto wanted = request_.fields.find("access-control-request-headers");
    response.headers.emplace_back("Access-Control-Allow-Headers",
                                  wanted ? std::string(*wanted) : "Authorization, Content-Type, X-API-Key");
    response.headers.emplace_back("Access-Control-Max-Age", "86400");
  }
  co_await exchange.send(response);
}

void Session::append_cors(std::string& head) const {
  const auto origin = request_.fields.find(Field::origin);
  if (!origin) return;
  for (const auto& allowed : host_.parts.limits.cors_allowed_origins) {
    if (allowed != "*" && allowed != *origin) continue;
    head.append("Access-Control-Allow-Origin: ").append(allowed == "*" ? "*" : *origin).append("\r\n");
    if (allowed != "*") head.append("Vary: Origin\r\n");
    head.append("Access-Control-Expose-Headers: *\r\n");
    return;
  }
}

bool Session::write_now(std::span<const asio::const_buffer> buffers) {
  assert(unwritten_.empty() && "written() was not awaited");
  std::size_t skip = 0;
  if (!ended_) {
    skip = stream_.write_now(buffers);
    if (skip == asio::buffer_size(buffers)) return true;
  }
  for (const auto& buffer : buffers) {
    const auto passed = std::min(skip, buffer.size());
    skip -= passed;
    if (passed < buffer.size()) unwritten_.push_back(buffer + passed);
  }
  return false;
}

awaitable<bool> Session::written() {
  if (ended_) {
    unwritten_.clear();
    co_return false;
  }
  writing_ = true;
  deadline_.arm(host_.parts.limits.write_timeout);
  const error_code error = co_await stream_.write(unwritten_);
  writing_ = false;
  deadline_.disarm();
  unwritten_.clear();
  if (!error) co_return true;
  ended_ = true;
  client_gone_.request_stop();
  co_return false;
}

// Ends the connection so that the answer is not lost: bytes of the client that were not read would make the kernel
// reset it. What still comes is read and dropped for a short, bounded while (RFC 9112, section 9.6).
awaitable<void> Session::linger() {
  if (ended_) co_return;
  head_held_ = false;
  stream_.shutdown_write();
  timed_out_ = false;
  deadline_.arm(std::chrono::seconds(1));
  std::size_t dropped = 0;
  constexpr std::size_t kMostBytes = 1U << 20U;
  while (dropped < kMostBytes) {
    dropped += in_.size();
    in_.consume(in_.size());
    if (!co_await more_bytes()) break;
  }
}

}  // namespace turnpike::http
