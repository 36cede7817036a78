#include "attempt.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "turnpike/http/message.hpp"

namespace turnpike::relay {

namespace asio = boost::asio;
using asio::awaitable;
using std::chrono::milliseconds;

namespace {

constexpr std::size_t kMostUnused = 4096;  // framing left in the buffer between the bytes of an event

// How the body behind a head is framed (RFC 9112, section 6.3).
BodyDecoder decoder_of(const AnswerHead& head, std::size_t max_line_bytes) {
  if (head.status < 200 || head.status == 204 || head.status == 304) return BodyDecoder::of_length(0);
  if (head.chunked) return BodyDecoder::of_chunks(max_line_bytes);
  return head.content_length ? BodyDecoder::of_length(*head.content_length) : BodyDecoder::until_the_end();
}

// A node's own words on why a request is at fault, from its error body; empty when it gave none.
std::string message_of(std::string_view body) {
  const auto json = nlohmann::json::parse(body, nullptr, false);
  if (!json.is_object()) return {};
  const auto error = json.find("error");
  const auto& holder = error != json.end() && error->is_object() ? *error : json;
  for (const auto* name : {"message", "error", "detail"}) {
    const auto found = holder.find(name);
    if (found != holder.end() && found->is_string()) return found->get<std::string>().substr(0, 500);
  }
  return {};
}

}  // namespace

Attempt::Attempt(Relay& relay, const Call& call, scheduler::Slot slot, Patience* patience)
    : relay_(relay),
      call_(call),
      slot_(std::move(slot)),
      node_(slot_.node()),
      payee_(node_->spec().payee),
      peer_(relay.nodes_.peer(node_)),
      patience_(patience),
      news_(relay.executor_),
      deadline_(relay.deadlines_, [](void* self) { static_cast<Attempt*>(self)->on_deadline(); }, this) {
  ++relay_.stats_.attempts;
  client_gone_.emplace(call.client_gone, Leave{this});
}

void Attempt::on_client_gone() {
  left_ = true;
  give_up_ = true;
  // The node's work ends with its connection, whatever this attempt waits for.
  if (connection_) connection_->close();
  news_.notify();
}

Attempt::~Attempt() {
  client_gone_.reset();
  if (!connection_) return;
  connection_->set_listener(nullptr);
  if (message_ended_ && !connection_->ended() && head_.keep_alive) {
    connection_->in.consume(std::min(parsed_, connection_->in.size()));
    peer_->put_back(std::move(connection_));
  } else {
    connection_->close();
  }
}

void Attempt::on_deadline() {
  expired_ = true;
  // A step that waits for nothing but the node is cut short; any other looks at the clock itself.
  if (impatient_) {
    give_up_ = true;
    if (connection_) connection_->close();
  }
  news_.notify();
}

Instant Attempt::silent_until() const {
  return patience_ != nullptr ? patience_->silent_until() : Instant::max();
}

void Attempt::arm(Instant until) {
  expired_ = false;
  deadline_.arm_at(std::min(until, call_.deadline));
}

Failure Attempt::fail(Failure failure, std::string what) {
  what_ = std::move(what);
  return failure;
}

awaitable<Failure> Attempt::until(Step step) {
  if (left_) co_return Failure::client_left;
  if (connection_->ended()) co_return fail(Failure::broken, "it ended the connection within its answer");
  while (true) {
    connection_->want_bytes();
    arm(std::min(phase_, silent_until()));
    if (!news_.take()) co_await news_.wait();
    if (const auto failure = wait_over(); failure != Failure::none) co_return failure;
    if (expired_ && relay_.deadlines_.clock().now() >= silent_until() && !co_await patience_->break_silence()) {
      co_return Failure::client_left;
    }
    if (const auto over = (this->*step)()) co_return *over;
  }
}

// After a wait: why not to go on.
Failure Attempt::wait_over() {
  if (left_) return Failure::client_left;
  if (!expired_) return Failure::none;
  const auto now = relay_.deadlines_.clock().now();
  if (now >= call_.deadline) return fail(Failure::out_of_time, "the request's time was over");
  if (now >= phase_) return fail(Failure::timed_out, "it was silent for too long");
  return Failure::none;
}

void Attempt::succeed() {
  slot_.succeed();
}

void Attempt::give_up(Failure failure) {
  if (connection_ && !message_ended_) connection_->close();
  if (failure == Failure::client_left || failure == Failure::blames_request || failure == Failure::out_of_time) {
    slot_.abandon();
    return;
  }
  ++relay_.stats_.node_failures;
  spdlog::warn("{} node {}: {}", call_.request_id, node_->id(), what_);
  slot_.fail();
}

awaitable<Failure> Attempt::begin(const Continuation* continuation) {
  if (left_) co_return Failure::client_left;
  while (true) {
    auto failure = Failure::none;
    if (!take_idle_connection()) failure = co_await open_connection();
    if (failure == Failure::none && relay_.turn_end_.is_shared()) co_await relay_.turn_end_.wait();
    if (failure == Failure::none && !send(continuation)) failure = co_await send_rest();
    if (failure == Failure::none) {
      searched_ = 0;
      const auto head = read_head();
      failure = head ? *head : co_await until(&Attempt::read_head);
    }
    // A kept connection that the node was just closing says nothing about the node: once more, on a new one.
    const bool stale = failure == Failure::broken && connection_ && connection_->reused() && !got_bytes_;
    if (!stale) co_return failure == Failure::none && !is_wanted() ? co_await judge_status() : failure;
    connection_->set_listener(nullptr);
    connection_->close();
    connection_.reset();
    peer_->drop_idle();
  }
}

bool Attempt::take_idle_connection() {
  connection_ = peer_->take_idle();
  if (connection_) connection_->set_listener(&news_);
  return connection_ != nullptr;
}

awaitable<Failure> Attempt::open_connection() {
  phase_ = relay_.deadlines_.clock().now() + relay_.limits_.connect_timeout;
  arm(phase_);
  std::string failure;
  impatient_ = true;
  connection_ = co_await peer_->connect(news_, give_up_, failure);
  if (connection_) {
    connection_->set_listener(&news_);
    if (give_up_) connection_->close();
    if (const auto error = co_await connection_->stream().handshake()) {
      failure = "the TLS handshake failed: " + error.message();
    }
  }
  impatient_ = false;
  deadline_.disarm();
  if (left_) co_return Failure::client_left;
  if (give_up_ && relay_.deadlines_.clock().now() >= call_.deadline) {
    co_return fail(Failure::out_of_time, "the request's time was over");
  }
  if (!connection_ || !failure.empty()) co_return fail(Failure::unreachable, failure);
  co_return Failure::none;
}

bool Attempt::send(const Continuation* continuation) {
  RequestEdits edits = call_.edits;
  std::string node_model;
  const auto name = node_->name_of(call_.want.model);
  if (name != call_.want.model) {
    node_model = nlohmann::json(name).dump();
    edits.node_model = node_model;
  }
  auto& out = outgoing_.emplace(call_.body, call_.scan, edits, continuation);
  out.head.reserve(512);
  out.head.append("POST ").append(peer_->path_prefix()).append(call_.path).append(peer_->head_lines());
  out.head.append("Content-Type: application/json\r\nAccept: ");
  out.head.append(call_.scan.stream ? "text/event-stream" : "application/json");
  out.head.append("\r\nContent-Length: ").append(std::to_string(out.edited.size())).append("\r\n\r\n");

  out.unsent.emplace_back(out.head.data(), out.head.size());
  for (const auto piece : out.edited.pieces()) out.unsent.emplace_back(piece.data(), piece.size());
  std::size_t written = connection_->stream().write_now(out.unsent);
  phase_ = relay_.deadlines_.clock().now() + relay_.limits_.first_token_timeout;
  auto first = out.unsent.begin();
  while (first != out.unsent.end() && written >= first->size()) written -= (first++)->size();
  out.unsent.erase(out.unsent.begin(), first);
  if (!out.unsent.empty()) {
    out.unsent.front() += written;
    return false;
  }
  outgoing_.reset();
  return true;
}

awaitable<Failure> Attempt::send_rest() {
  arm(phase_);
  impatient_ = true;
  const auto error = co_await connection_->stream().write(outgoing_->unsent);
  impatient_ = false;
  deadline_.disarm();
  outgoing_.reset();
  if (left_) co_return Failure::client_left;
  if (!error) co_return Failure::none;
  if (give_up_) co_return fail(Failure::timed_out, "it did not take the request in time");
  co_return fail(Failure::broken, "it ended the connection while the request was sent");
}

std::optional<Failure> Attempt::read_head() {
  auto& in = connection_->in;
  while (true) {
    got_bytes_ = got_bytes_ || in.size() > 0;
    if (searched_ == 0 && take_known_head()) return Failure::none;
    const auto end = in.unread().find("\r\n\r\n", searched_);
    if (end != std::string_view::npos) {
      const auto failure = parse_head(end + 4);
      // 100 Continue and its like come before the answer (RFC 9110, section 15.2).
      if (failure != Failure::none || head_.status >= 200) return failure;
      in.consume(end + 4);
      searched_ = 0;
      continue;
    }
    if (in.size() > relay_.limits_.max_node_head_bytes) return fail(Failure::broken, "its response head never ended");
    if (connection_->ended()) return fail(Failure::broken, "it ended the connection before an answer");
    searched_ = in.size() < 3 ? 0 : in.size() - 3;
    return std::nullopt;
  }
}

// The head is like the node's last one but for its Content-Length.
bool Attempt::take_known_head() {
  auto& last = peer_->last_head(call_.scan.stream);
  const auto match = last.bytes.match(connection_->in.unread());
  if (!match || match->bytes > relay_.limits_.max_node_head_bytes) return false;
  head_ = last.head;
  head_.content_length = match->content_length;
  begin_body(match->bytes);
  return true;
}

void Attempt::begin_body(std::size_t head_bytes) {
  parsed_ = body_at_ = head_bytes;
  body_ = decoder_of(head_, relay_.limits_.max_node_head_bytes);
  kept_ = body_bytes_ = 0;
  // Behind an interim head comes another (RFC 9110, section 15.2).
  message_ended_ = head_.status >= 200 && body_.done();
}

Failure Attempt::parse_head(std::size_t head_bytes) {
  auto& in = connection_->in;
  got_bytes_ = true;
  if (head_bytes > relay_.limits_.max_node_head_bytes) return fail(Failure::broken, "its response head is too large");
  // It stops behind the head: the body is decoded in place.
  http::Fields fields;
  http::MessageParser<false> parser(fields, {[](void*, std::string_view) {}, nullptr});
  parser.header_limit(static_cast<std::uint32_t>(head_bytes));
  parser.body_limit(boost::none);
  http::error_code error;
  const auto parsed = parser.put(asio::buffer(in.data(), head_bytes), error);
  if (error || !parser.is_header_done() || parsed != head_bytes) {
    return fail(Failure::broken, "its response head is malformed");
  }
  const auto type = fields.find(http::Field::content_type).value_or("");
  head_ = {.status = parser.status,
           .keep_alive = parser.keep_alive(),
           .chunked = parser.chunked(),
           .is_json = http::has_token(type, "application/json"),
           .is_event_stream = http::has_token(type, "text/event-stream")};
  if (const auto length = parser.content_length()) head_.content_length = *length;
  if (head_.status == 200) {
    auto& last = peer_->last_head(call_.scan.stream);
    last.bytes.learn({in.data(), head_bytes}, fields);
    last.head = head_;
  }
  begin_body(head_bytes);
  return Failure::none;
}

// Status 200 and the content type that was asked for.
bool Attempt::is_wanted() const {
  return head_.status == 200 && (call_.scan.stream ? head_.is_event_stream : head_.is_json);
}

// Why an answer that is not wanted is not.
awaitable<Failure> Attempt::judge_status() {
  const auto status = head_.status;
  if (status == 200) co_return fail(Failure::bad_output, "its answer has the wrong content type");
  const bool blames = status == 400 || status == 413 || status == 422;
  if (!blames) co_return fail(Failure::refused, "it answered with status " + std::to_string(status));
  constexpr std::size_t kMostBlame = 64 * 1024;
  body_limit_ = kMostBlame;
  const auto read = read_body();
  const auto failure = read ? *read : co_await until(&Attempt::read_body);
  if (failure != Failure::none) co_return failure;
  blame_ = message_of({connection_->in.data() + body_at_, body_bytes_});
  co_return fail(Failure::blames_request, "it blames the request");
}

// Decodes what has arrived, in place.
bool Attempt::decode() {
  auto& in = connection_->in;
  const auto step = body_.decode(in.unread().substr(parsed_), in.data() + body_at_ + kept_);
  parsed_ += step.used;
  kept_ += step.written;
  body_bytes_ += step.written;
  if (connection_->ended()) body_.end();
  message_ended_ = body_.done();
  return !body_.broken();
}

std::optional<Failure> Attempt::read_body() {
  if (head_.content_length.value_or(0) > body_limit_) return fail(Failure::bad_output, "its answer is too large");
  if (!decode()) {
    return fail(Failure::broken,
                connection_->ended() ? "it ended the connection within its answer" : "its chunks are malformed");
  }
  if (body_bytes_ > body_limit_) return fail(Failure::bad_output, "its answer is too large");
  if (message_ended_) return Failure::none;
  return std::nullopt;
}

std::optional<Failure> Attempt::read_whole() {
  body_limit_ = relay_.limits_.max_answer_bytes;
  return read_body();
}

WholeAnswer Attempt::take_whole() {
  WholeAnswer answer(connection_, parsed_, head_.keep_alive && !connection_->ended());
  answer.json = {connection_->in.data() + body_at_, body_bytes_};
  answer.node_id = node_->id();
  answer.payee = payee_;
  connection_->set_listener(nullptr);
  connection_.reset();
  return answer;
}

std::string_view Attempt::arrived() {
  // Broken framing reads as a connection that broke: more() says so when the events so far are out.
  if (!decode()) connection_->close();
  return {connection_->in.data() + body_at_, kept_};
}

void Attempt::take(std::size_t bytes) {
  kept_ -= bytes;
  const auto unused = parsed_ - kept_;
  // An event that comes in small pieces is not moved for each of them.
  if (bytes == 0 && unused < kept_ + kMostUnused) return;
  auto& in = connection_->in;
  std::memmove(in.data() + unused, in.data() + body_at_ + bytes, kept_);
  in.consume(unused);
  body_at_ = 0;
  parsed_ = kept_;
}

awaitable<void> Attempt::take_tail() {
  phase_ = relay_.deadlines_.clock().now() + milliseconds(250);
  patience_ = nullptr;
  take(kept_);
  while (!left_) {
    const auto more = arrived();
    if (message_ended_ || connection_->ended() || !more.empty()) break;
    known_ = connection_->in.size();
    if (co_await until(&Attempt::something_came) != Failure::none) break;
  }
}

std::optional<Failure> Attempt::something_came() {
  if (has_enough_ || connection_->in.size() != known_ || connection_->ended()) return Failure::none;
  return std::nullopt;
}

void Attempt::await_more() {
  phase_ = relay_.deadlines_.clock().now() +
           (body_bytes_ > 0 ? relay_.limits_.between_tokens_timeout : relay_.limits_.first_token_timeout);
  // What the parser left (the line end behind a chunk) is not news.
  known_ = connection_->in.size();
}

awaitable<Failure> Attempt::more(StreamReader& reader) {
  await_more();
  reader_ = &reader;
  connection_->set_reader(this);
  const auto failure = co_await until(&Attempt::something_came);
  connection_->set_reader(nullptr);
  has_enough_ = false;
  co_return failure;
}

bool Attempt::on_bytes() {
  // Whoever waits in more() was woken already.
  if (left_ || expired_) return false;
  if (!reader_->take_more(*this)) {
    has_enough_ = true;
    return false;
  }
  if (connection_->ended()) return false;  // its framing broke, or the client left
  await_more();
  connection_->want_bytes();
  arm(std::min(phase_, silent_until()));
  return true;
}

}  // namespace turnpike::relay
