#include "turnpike/relay/relay.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <exception>
#include <nlohmann/json.hpp>
#include <utility>

#include "attempt.hpp"
#include "turnpike/relay/sse_splitter.hpp"

namespace turnpike::relay {

namespace asio = boost::asio;
using asio::awaitable;

namespace {

// What a client is told when the last attempt failed this way.
Error error_of(Failure failure, const Attempt& attempt) {
  switch (failure) {
    case Failure::blames_request:
      return {.fault = Fault::invalid_request,
              .message = attempt.blame().empty() ? "the node refused the request" : attempt.blame()};
    case Failure::out_of_time:
      return {.fault = Fault::node_timeout, .message = "the request's time was over before the node had answered"};
    case Failure::timed_out:
      return {.fault = Fault::node_timeout, .message = "the node did not answer in time"};
    case Failure::bad_output:
      return {.fault = Fault::invalid_node_output, .message = "the node's answer cannot be used"};
    default:
      return {.fault = Fault::node_error, .message = "the node failed"};
  }
}

// Why a whole answer cannot be used; empty when it can.
std::string judge(const std::expected<void, std::string>& read, scan::RequestKind kind, const scan::AnswerScan& scan) {
  if (!read) return read.error();
  if (scan.is_error) return "its answer is an error with status 200";
  const bool fits = kind == scan::RequestKind::embedding ? scan.has_data : scan.choices > 0;
  return fits ? "" : "its answer is of another kind than the request";
}

// True when another node might do better.
bool may_retry(Failure failure) {
  return failure != Failure::client_left && failure != Failure::blames_request && failure != Failure::out_of_time;
}

// Answers to one request that a judge refuses.
constexpr std::size_t kMostMisfits = 2;

// Engines that go on from a final assistant message instead of answering it.
bool engine_continues(scheduler::Engine engine) {
  return engine != scheduler::Engine::openai;
}

// A JSON string's value, from the text between its quotes, which was checked when it was scanned.
std::string unescaped(std::string_view between_quotes) {
  const auto value = nlohmann::json::parse("\"" + std::string(between_quotes) + "\"", nullptr, false);
  return value.is_string() ? value.get<std::string>() : std::string();
}

}  // namespace

// ---- whole answers ----

WholeAnswer::WholeAnswer(WholeAnswer&& other) noexcept {
  *this = std::move(other);
}

WholeAnswer& WholeAnswer::operator=(WholeAnswer&& other) noexcept {
  if (this == &other) return *this;
  give_back();
  json = std::exchange(other.json, {});
  scan = other.scan;
  node_id = std::move(other.node_id);
  payee = other.payee;
  connection_ = std::exchange(other.connection_, nullptr);
  bytes_ = other.bytes_;
  reusable_ = other.reusable_;
  return *this;
}

WholeAnswer::~WholeAnswer() {
  give_back();
}

void WholeAnswer::give_back() {
  if (!connection_) return;
  if (reusable_) {
    connection_->in.consume(bytes_);
    auto& peer = connection_->peer();
    peer.put_back(std::move(connection_));
  } else {
    connection_->close();
  }
  connection_.reset();
}

Relay::Relay(asio::any_io_executor executor, Deadlines& deadlines, scheduler::Scheduler& scheduler, NodeClient& nodes,
             scan::Scanner& scanner, RelayLimits limits)
    : executor_(std::move(executor)),
      deadlines_(deadlines),
      scheduler_(scheduler),
      nodes_(nodes),
      scanner_(scanner),
      limits_(limits),
      turn_end_(executor_, deadlines.clock()) {}

std::optional<scheduler::Slot> Relay::slot_now(const Call& call, std::span<const scheduler::Node* const> tried) {
  scheduler::Want want = call.want;
  want.excluded = tried;
  return scheduler_.try_acquire(want);
}

awaitable<Result<scheduler::Slot>> Relay::wait_for_slot(const Call& call,
                                                        std::span<const scheduler::Node* const> tried) {
  scheduler::Want want = call.want;
  want.excluded = tried;
  co_return co_await scheduler_.acquire(want, call.account, call.deadline, call.client_gone);
}

awaitable<Result<WholeAnswer>> Relay::whole(const Call& call) {
  Tried tried;
  std::optional<Error> last;
  std::size_t misfits = 0;
  while (tried.size() < limits_.attempts) {
    auto slot = slot_now(call, tried);
    if (!slot) {
      auto waited = co_await wait_for_slot(call, tried);
      if (!waited) co_return std::unexpected(last ? *std::move(last) : std::move(waited.error()));
      slot = *std::move(waited);
    }
    tried.push_back(slot->node().get());
    if (tried.size() > 1) ++stats_.retries;
    Attempt attempt(*this, call, *std::move(slot), nullptr);
    auto failure = co_await attempt.begin(nullptr);
    if (failure == Failure::none) {
      const auto read = attempt.read_whole();
      failure = read ? *read : co_await attempt.rest();
    }
    if (failure == Failure::none) {
      WholeAnswer answer = attempt.take_whole();
      const auto unusable = judge(scanner_.answer(answer.json, answer.scan), call.kind, answer.scan);
      if (unusable.empty()) {
        // A node is not to blame for what its model says: else a request that nothing can fit would cost it its
        // traffic.
        attempt.succeed();
        auto misfit = call.judge != nullptr ? call.judge->misfit_of(answer) : std::string();
        if (misfit.empty()) co_return answer;
        spdlog::info("{} node {}: its answer is not what was asked for", call.request_id, answer.node_id);
        ++stats_.misfits;
        last = Error{.fault = Fault::unfit_answer, .message = std::move(misfit)};
        if (++misfits == kMostMisfits) break;
        continue;
      }
      failure = attempt.fail(Failure::bad_output, unusable);
    }
    attempt.give_up(failure);
    last = error_of(failure, attempt);
    if (!may_retry(failure)) break;
  }
  co_return std::unexpected(*std::move(last));
}

// ---- streams ----

// One stream from its first attempt to its end.
class StreamRun final : public Patience, private StreamReader {
 public:
  StreamRun(Relay& relay, const Call& call, StreamSink& sink)
      : relay_(relay),
        call_(call),
        sink_(sink),
        rewriter_(relay.scanner_, call.id_json, call.model_json, true),
        splitter_(relay.limits_.max_event_bytes),
        may_continue_(relay.limits_.continuation && call.scan.continuable),
        said_(may_continue_ ? relay.spare_said_.take() : std::string()),
        keep_alive_at_(relay.deadlines_.clock().now() + relay.limits_.keep_alive_interval) {}

  ~StreamRun() override {
    release_out();
    relay_.spare_said_.give_back(std::move(said_));
  }
  StreamRun(const StreamRun&) = delete;
  StreamRun& operator=(const StreamRun&) = delete;

  awaitable<void> run();

  [[nodiscard]] Instant silent_until() const override { return keep_alive_at_; }
  awaitable<bool> break_silence() override;

 private:
  // One attempt from its start to its end, or to a failure.
  awaitable<Failure> serve(Attempt& attempt);
  awaitable<Failure> follow(Attempt& attempt);
  bool take_more(Attempt& attempt) noexcept override;
  void pass_on(Attempt& attempt);
  // Something is left for follow() to do.
  [[nodiscard]] bool is_left() const { return stuck_ || over_ || fault_; }
  Failure take_events(Attempt& attempt, std::string_view stream);
  std::size_t take_alike(std::string_view stream);
  void take_usage(std::size_t from);
  Failure take_event(Attempt& attempt, std::string_view data);
  void take_continued(std::string_view data, std::size_t from);
  void account();
  void account_text(std::string_view text, std::size_t bytes);
  bool flush();  // false: await flushed()
  void release_out() { relay_.spare_.give_back(std::exchange(out_, {})); }
  awaitable<bool> flushed();
  [[nodiscard]] bool can_continue() const;
  void add_usage();

  Relay& relay_;
  const Call& call_;
  StreamSink& sink_;
  ChunkRewriter rewriter_;
  SseSplitter splitter_;
  StreamEnd end_;
  std::string out_;          // what goes out next; its memory is any stream's while there is nothing
  const bool may_continue_;  // another node could go on from what was said
  std::string said_;         // the text so far, between quotes; kept while another node could go on from it
  Relay::Tried tried_;
  std::optional<Continuation> continuation_;
  Instant keep_alive_at_;
  std::uint64_t earlier_tokens_ = 0;  // written by nodes that broke
  std::size_t bytes_before_ = 0;
  bool text_sent_ = false;
  bool said_whole_ = true;  // said_ is the whole text: nothing was too long, or of another kind
  bool done_ = false;       // `[DONE]`
  bool finished_ = false;   // a finish_reason for every choice
  bool fresh_ = false;      // the continuing node's text has not begun
  // What pass_on() leaves for follow(), whoever called it:
  std::optional<Failure> over_;  // the attempt's outcome, where nothing more is to come
  bool stuck_ = false;           // the client has not taken all of it: await flushed()
  std::exception_ptr fault_;     // that take_more() met
};

bool StreamRun::can_continue() const {
  return may_continue_ && text_sent_ && said_whole_ && !finished_;
}

bool StreamRun::flush() {
  end_.began = true;
  keep_alive_at_ = relay_.deadlines_.clock().now() + relay_.limits_.keep_alive_interval;
  if (!sink_.write(out_)) return false;
  release_out();
  return true;
}

awaitable<bool> StreamRun::flushed() {
  const bool ok = co_await sink_.written();
  release_out();
  co_return ok;
}

awaitable<bool> StreamRun::break_silence() {
  out_.assign(": keep-alive\n\n");
  co_return flush() || co_await flushed();
}

// Counts a chunk that goes out, and keeps its text for another node to go on from.
void StreamRun::account() {
  const auto& scan = rewriter_.scan();
  finished_ = finished_ || scan.finished;
  if (scan.text_bytes > 0) account_text(rewriter_.text(), scan.text_bytes);
}

// `text` as it stands between the quotes, empty where it is not all there is; `bytes`: what it comes to.
void StreamRun::account_text(std::string_view text, std::size_t bytes) {
  end_.seen.text_bytes += bytes;
  ++end_.seen.text_events;
  if (text.empty() || said_.size() + text.size() > relay_.limits_.max_continued_bytes) {
    said_whole_ = false;
  } else if (may_continue_) {
    if (said_.empty()) said_.reserve(512);
    said_.append(text);
  }
}

// The first chunks of a node that goes on where another broke, written to `out_` from `from`: a role was said already,
// and a text that repeats what was said has that taken off.
void StreamRun::take_continued(std::string_view data, std::size_t from) {
  if (rewriter_.text().empty()) {
    if (rewriter_.scan().finished_choices == 0) out_.resize(from);
    account();
    return;
  }
  fresh_ = false;
  const auto text = unescaped(rewriter_.text());
  const auto said = unescaped(said_);
  if (!text.starts_with(said)) {
    account();
    return;
  }
  out_.resize(from);
  auto chunk = nlohmann::json::parse(data);
  chunk["choices"][0]["delta"]["content"] = text.substr(said.size());
  std::string json = chunk.dump();
  const auto size = json.size();
  json.resize(size + scan::kPadding);
  rewriter_.append(out_, std::string_view(json).substr(0, size));
  account();
}

// The chunk of nothing but usage, which was written to `out_` from `from`: it waits for the end.
void StreamRun::take_usage(std::size_t from) {
  end_.claim = rewriter_.scan().counts;
  end_.usage_event.assign(out_, from);
  out_.resize(from);
}

Failure StreamRun::take_event(Attempt& attempt, std::string_view data) {
  if (data == "[DONE]") {
    done_ = true;
    return Failure::none;
  }
  const auto from = out_.size();
  const auto kind = rewriter_.append(out_, data);
  const auto& scan = rewriter_.scan();
  if (kind == ChunkRewriter::Kind::bad) return attempt.fail(Failure::bad_output, "it sent an event that is no chunk");
  if (kind == ChunkRewriter::Kind::error) return attempt.fail(Failure::refused, "it sent an error event");
  if (scan.usage.found()) end_.claim = scan.counts;
  if (kind == ChunkRewriter::Kind::usage_only) {
    take_usage(from);
  } else if (fresh_) {
    take_continued(data, from);
  } else {
    account();
  }
  return Failure::none;
}

// Takes the events at the head of `stream` that are like others before them. Their bytes.
std::size_t StreamRun::take_alike(std::string_view stream) {
  std::string_view rest = stream;
  const auto most = relay_.limits_.max_event_bytes;
  while (!rest.empty()) {
    const bool keeps = said_.size() + rest.size() <= relay_.limits_.max_continued_bytes;
    const auto alike = rewriter_.append_alike(out_, rest, most, may_continue_ && keeps ? &said_ : nullptr);
    end_.seen.text_bytes += alike.text_bytes;
    end_.seen.text_events += alike.events;
    if (alike.events > 0 && !keeps) said_whole_ = false;
    const auto from = out_.size();
    const auto kind = rewriter_.append_known(out_, rest, most);
    if (!kind) break;
    if (*kind == ChunkRewriter::Kind::usage_only) {
      take_usage(from);
    } else {
      account();
    }
  }
  return stream.size() - rest.size();
}

Failure StreamRun::take_events(Attempt& attempt, std::string_view stream) {
  while (!done_) {
    const auto next = splitter_.between_events();
    if (next && !fresh_) splitter_.skip(take_alike(stream.substr(*next)));
    const auto data = splitter_.next(stream);
    if (!data) break;
    if (const auto failure = take_event(attempt, *data); failure != Failure::none) return failure;
  }
  if (splitter_.oversize()) return attempt.fail(Failure::bad_output, "it sent an event that is too large");
  if (bytes_before_ + attempt.stream_bytes() > relay_.limits_.max_stream_bytes) {
    return attempt.fail(Failure::bad_output, "its stream is too large");
  }
  return Failure::none;
}

// Passes on what has arrived.
void StreamRun::pass_on(Attempt& attempt) {
  const auto stream = attempt.arrived();
  if (out_.empty()) out_ = relay_.spare_.take();
  // Once, for all that came: a rewritten chunk is little longer than the node's.
  out_.reserve(out_.size() + stream.size() + stream.size() / 4 + 512);
  const auto failure = take_events(attempt, stream);
  attempt.take(splitter_.drop());
  text_sent_ = text_sent_ || end_.seen.text_events > 0;
  if (failure == Failure::none && done_) {
    // The last events go out with the end of the stream.
    over_ = Failure::none;
    return;
  }
  // What came before a fault was the node's, and is the client's.
  if (out_.empty()) {
    release_out();
  } else {
    stuck_ = !flush();
  }
  if (failure != Failure::none) {
    over_ = failure;
  } else if (attempt.message_ended()) {
    // Without `[DONE]`, only a stream that said why it stopped has ended as it should.
    over_ = finished_ ? Failure::none : attempt.fail(Failure::broken, "its stream ended without an end");
  }
}

bool StreamRun::take_more(Attempt& attempt) noexcept {
  try {
    pass_on(attempt);
  } catch (...) {
    // follow() throws it on: nobody could catch it here.
    fault_ = std::current_exception();
  }
  return !is_left();
}

awaitable<Failure> StreamRun::follow(Attempt& attempt) {
  splitter_ = SseSplitter(relay_.limits_.max_event_bytes);
  over_.reset();
  stuck_ = false;
  while (true) {
    if (!is_left()) pass_on(attempt);
    if (fault_) std::rethrow_exception(fault_);
    if (std::exchange(stuck_, false) && !co_await flushed()) co_return Failure::client_left;
    if (over_) co_return *over_;
    const auto waited = co_await attempt.more(*this);
    if (waited != Failure::none) co_return finished_&& waited == Failure::broken ? Failure::none : waited;
  }
}

awaitable<Failure> StreamRun::serve(Attempt& attempt) {
  auto failure = co_await attempt.begin(continuation_ ? &*continuation_ : nullptr);
  if (failure != Failure::none) co_return failure;
  if (!end_.began) sink_.served_by(attempt.node());
  end_.parts.push_back({.node_id = attempt.node().id(), .payee = attempt.payee()});
  const auto before = end_.seen.text_events;
  rewriter_.use(attempt.shapes());
  failure = co_await follow(attempt);
  end_.parts.back().text_events = end_.seen.text_events - before;
  if (failure != Failure::none && end_.parts.back().text_events == 0) end_.parts.pop_back();
  if (failure == Failure::none) {
    attempt.succeed();
    end_.complete = true;
    add_usage();
    end_.events = std::move(out_);
    co_await sink_.finish(end_);
    out_ = std::move(end_.events);
    if (!attempt.message_ended()) co_await attempt.take_tail();
  }
  co_return failure;
}

// Several nodes: the prompt once, the completion tokens of all. The last one's prompt held the text of the others.
void StreamRun::add_usage() {
  if (earlier_tokens_ == 0) return;
  auto& claim = end_.claim;
  if (claim.prompt_tokens) *claim.prompt_tokens -= std::min(*claim.prompt_tokens, earlier_tokens_);
  if (claim.completion_tokens) *claim.completion_tokens += earlier_tokens_;
  if (end_.usage_event.empty()) return;
  auto event = nlohmann::json::parse(end_.usage_event, nullptr, false);
  if (!event.is_object()) return;
  const auto prompt = claim.prompt_tokens.value_or(0);
  const auto completion = claim.completion_tokens.value_or(0);
  event["usage"] = {
      {"prompt_tokens", prompt}, {"completion_tokens", completion}, {"total_tokens", prompt + completion}};
  end_.usage_event = event.dump();
}

awaitable<void> StreamRun::run() {
  while (true) {
    auto slot = relay_.slot_now(call_, tried_);
    if (!slot) {
      auto waited = co_await relay_.wait_for_slot(call_, tried_);
      if (!waited) {
        if (!end_.error) end_.error = std::move(waited.error());
        break;
      }
      slot = *std::move(waited);
    }
    tried_.push_back(slot->node().get());
    if (continuation_) {
      if (!engine_continues(slot->node()->spec().engine)) continue;
      ++relay_.stats_.continuations;
    } else if (tried_.size() > 1) {
      ++relay_.stats_.retries;
    }
    Attempt attempt(relay_, call_, *std::move(slot), this);
    const Failure failure = co_await serve(attempt);
    if (failure == Failure::none) co_return;
    attempt.give_up(failure);
    release_out();
    bytes_before_ += attempt.stream_bytes();
    if (failure == Failure::client_left) {
      end_.client_left = true;
      break;
    }
    end_.error = error_of(failure, attempt);
    if (!may_retry(failure) || tried_.size() >= relay_.limits_.attempts) break;
    if (text_sent_ && !can_continue()) break;
    if (can_continue()) {
      earlier_tokens_ = end_.seen.text_events;
      continuation_ = Continuation{.said = said_, .tokens = earlier_tokens_, .engine_flags = true};
      fresh_ = true;
    }
  }
  if (call_.client_gone.stop_requested()) end_.client_left = true;
  co_await sink_.finish(end_);
}

awaitable<void> Relay::stream(const Call& call, StreamSink& sink) {
  StreamRun run(*this, call, sink);
  co_await run.run();
}

}  // namespace turnpike::relay
