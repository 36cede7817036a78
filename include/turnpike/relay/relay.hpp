// The talk with nodes: attempts until one answers, the answer as it comes, another node when one breaks.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/container/small_vector.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "turnpike/base/deadlines.hpp"
#include "turnpike/base/error.hpp"
#include "turnpike/base/spare_strings.hpp"
#include "turnpike/base/turn_end.hpp"
#include "turnpike/relay/node_client.hpp"
#include "turnpike/relay/rewrite.hpp"
#include "turnpike/relay/usage.hpp"
#include "turnpike/scan/scan.hpp"
#include "turnpike/scheduler/scheduler.hpp"

namespace turnpike::relay {

// `relay.*` of the configuration.
struct RelayLimits {
  std::chrono::milliseconds connect_timeout{2'000};
  std::chrono::milliseconds first_token_timeout{60'000};
  std::chrono::milliseconds between_tokens_timeout{30'000};
  std::chrono::milliseconds keep_alive_interval{15'000};
  std::size_t max_answer_bytes = std::size_t{16} << 20U;  // of a whole answer
  std::size_t max_stream_bytes = std::size_t{64} << 20U;
  std::size_t max_event_bytes = std::size_t{1} << 20U;
  std::size_t max_node_head_bytes = std::size_t{16} * 1024;
  std::size_t attempts = 3;  // before the first byte, the first one among them
  bool continuation = true;
  std::size_t max_continued_bytes =
      256 * 1024;  // text kept for another node to go on from; past it a stream just breaks
};

class WholeAnswer;

// Says whether an answer is what its request asked for, as far as a node cannot be blamed where it is not.
class AnswerJudge {
 public:
  virtual ~AnswerJudge() = default;
  // What the client is told where it is not: a sentence. Empty: it is.
  [[nodiscard]] virtual std::string misfit_of(const WholeAnswer& answer) const = 0;
};

// One request on its way. Views must stay valid until the call that takes it returns.
struct Call {
  scan::RequestKind kind = scan::RequestKind::chat;
  std::string_view path;  // "/chat/completions", behind the node's URL
  std::string_view body;  // the client's, with scan::kPadding readable bytes behind it
  const scan::RequestScan& scan;
  scheduler::Want want;
  RequestEdits edits;
  std::int64_t account = 0;
  Instant deadline;  // timeout_secs
  std::stop_token client_gone;
  std::string_view id_json;  // what answers carry in place of the node's, as JSON strings
  std::string_view model_json;
  std::string_view request_id;         // for the log
  const AnswerJudge* judge = nullptr;  // of a whole answer; null: any that can be read will do
};

// A whole answer. Its bytes live in the node's connection, which goes back to the pool with this.
class WholeAnswer {
 public:
  WholeAnswer() = default;
  WholeAnswer(ConnectionPtr connection, std::size_t bytes, bool reusable)
      : connection_(std::move(connection)), bytes_(bytes), reusable_(reusable) {}
  WholeAnswer(WholeAnswer&& other) noexcept;
  WholeAnswer& operator=(WholeAnswer&& other) noexcept;
  ~WholeAnswer();

  std::string_view json;
  scan::AnswerScan scan;
  std::string node_id;
  scheduler::Payee payee;  // as it was when the node took the request

 private:
  void give_back();
  ConnectionPtr connection_;
  std::size_t bytes_ = 0;
  bool reusable_ = false;
};

using Parts = boost::container::small_vector<Part, 1>;

// How a stream ended.
struct StreamEnd {
  bool complete = false;  // the node ended it as it should
  bool client_left = false;
  bool began = false;          // the client got something: events, or a keep-alive comment
  std::optional<Error> error;  // when it is neither complete nor left
  Seen seen;                   // text_bytes and text_events are of what was written to the sink
  scan::UsageScan claim;
  Parts parts;              // who served it, in that order: every node that brought text, and the one that ended it
  std::string usage_event;  // the node's last word on usage, rewritten, as a JSON object; empty: it said none
  std::string events;       // of a complete stream: the last ones, not written yet
};

// Where a stream goes. The first write begins it.
class StreamSink {
 public:
  virtual ~StreamSink() = default;
  // The node that answers is known: its name may go out with the first bytes. Called again when another takes over
  // before anything was written.
  virtual void served_by(const scheduler::Node& node) = 0;
  // Events that the client gets now. True: the kernel has them. False: it has not taken all, or the client left: keep
  // `events`, and await written() before anything else is written.
  virtual bool write(std::string_view events) = 0;
  // False: the client left.
  virtual boost::asio::awaitable<bool> written() = 0;
  // The stream is over: settle it and write its end. Called once, last; what `end` holds is for the taking.
  virtual boost::asio::awaitable<void> finish(StreamEnd& end) = 0;
};

struct RelayStats {
  std::uint64_t attempts = 0;
  std::uint64_t retries = 0;
  std::uint64_t continuations = 0;
  std::uint64_t node_failures = 0;
  std::uint64_t misfits = 0;  // answers that a judge refused
};

// Loop thread only.
class Relay {
 public:
  Relay(boost::asio::any_io_executor executor, Deadlines& deadlines, scheduler::Scheduler& scheduler, NodeClient& nodes,
        scan::Scanner& scanner, RelayLimits limits);

  // A whole answer. Errors: what the scheduler says, node_error and invalid_node_output when every node tried failed,
  // node_timeout, invalid_request where a node blames the request. One that the call's judge refuses is asked of one
  // more node: unfit_answer, where that is refused, too, or there is none. When the client left, the error means
  // nothing.
  boost::asio::awaitable<Result<WholeAnswer>> whole(const Call& call);

  // A stream, written to `sink` as it comes, all but its end: usage and `[DONE]` are the sink's to write.
  boost::asio::awaitable<void> stream(const Call& call, StreamSink& sink);

  [[nodiscard]] const RelayStats& stats() const { return stats_; }
  [[nodiscard]] const RelayLimits& limits() const { return limits_; }

 private:
  friend class Attempt;
  friend class StreamRun;
  using Tried = boost::container::small_vector<const scheduler::Node*, 4>;
  // A slot for the next attempt, on a node that was not tried; nullopt: none is free now, wait for one.
  std::optional<scheduler::Slot> slot_now(const Call& call, std::span<const scheduler::Node* const> tried);
  boost::asio::awaitable<Result<scheduler::Slot>> wait_for_slot(const Call& call,
                                                                std::span<const scheduler::Node* const> tried);
  boost::asio::any_io_executor executor_;
  Deadlines& deadlines_;
  scheduler::Scheduler& scheduler_;
  NodeClient& nodes_;
  scan::Scanner& scanner_;
  RelayLimits limits_;
  RelayStats stats_;
  TurnEnd turn_end_;                                // requests go out at
  SpareStrings spare_{16, std::size_t{64} * 1024};  // what streams are gathered in
  SpareStrings spare_said_{64, 2048};               // the texts so far
};

}  // namespace turnpike::relay
