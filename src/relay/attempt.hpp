// One try of one request at one node: connect or reuse, send, read the head, then the body as it comes.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/container/static_vector.hpp>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "body_decoder.hpp"
#include "turnpike/base/deadlines.hpp"
#include "turnpike/base/signal.hpp"
#include "turnpike/relay/relay.hpp"

namespace turnpike::relay {

enum class Failure : std::uint8_t {
  none,
  unreachable,     // no connection
  broken,          // it ended the connection, or its bytes are not HTTP
  timed_out,       // silence past one of the time-outs
  out_of_time,     // the request's own deadline
  refused,         // a status other than 200
  bad_output,      // 200, but not what was asked for
  blames_request,  // a 4xx that says the request is at fault
  client_left,
};

// A client that waits on a stream hears from the gateway now and then.
class Patience {
 public:
  virtual ~Patience() = default;
  [[nodiscard]] virtual Instant silent_until() const = 0;
  // False: the client left.
  virtual boost::asio::awaitable<bool> break_silence() = 0;
};

class Attempt;

// Takes a stream as it comes.
class StreamReader {
 public:
  virtual ~StreamReader() = default;
  // In the connection's read handler. True: all that came is taken, and more is waited for. False: more() returns. Must
  // not throw.
  virtual bool take_more(Attempt& attempt) noexcept = 0;
};

class Attempt final : private ByteReader {
 public:
  // `patience` may be null: then the client waits in silence.
  Attempt(Relay& relay, const Call& call, scheduler::Slot slot, Patience* patience);
  ~Attempt() override;
  Attempt(const Attempt&) = delete;
  Attempt& operator=(const Attempt&) = delete;

  // Sends the request and reads the answer's head. `none`: status 200 with the content type that was asked for.
  boost::asio::awaitable<Failure> begin(const Continuation* continuation);

  // Reads the rest of a whole answer. nullopt: wait for it with rest().
  std::optional<Failure> read_whole();
  boost::asio::awaitable<Failure> rest() { return until(&Attempt::read_body); }
  [[nodiscard]] WholeAnswer take_whole();

  // Stream: decodes what has arrived. What of the body was not taken yet, with scan::kPadding readable bytes behind it;
  // good until take() or more().
  std::string_view arrived();
  // Drops the first `bytes` of it.
  void take(std::size_t bytes);
  // The answer's framing says that it ended.
  [[nodiscard]] bool message_ended() const { return message_ended_; }
  // Waits for more of a stream. `none`: `reader` took some and has enough, or some came that it was not asked about, or
  // the connection ended. While a stream flows, nobody is woken but `reader`.
  boost::asio::awaitable<Failure> more(StreamReader& reader);
  [[nodiscard]] std::size_t stream_bytes() const { return body_bytes_; }
  // After the last event, where the message has not ended: takes the end of the framing, so that the connection can be
  // kept. Bounded.
  boost::asio::awaitable<void> take_tail();

  // The verdict on the node.
  void succeed();
  void give_up(Failure failure);
  // Notes why it failed, and returns `failure`.
  Failure fail(Failure failure, std::string what);

  [[nodiscard]] const scheduler::Node& node() const { return *node_; }
  [[nodiscard]] const scheduler::Payee& payee() const { return payee_; }
  [[nodiscard]] ChunkShapes& shapes() const { return peer_->shapes(); }
  // For the log and the client's error: never a key, a prompt or an answer.
  [[nodiscard]] const std::string& what() const { return what_; }
  [[nodiscard]] const std::string& blame() const { return blame_; }

 private:
  // The request as it goes out.
  struct Outgoing {
    Outgoing(std::string_view body, const scan::RequestScan& scan, const RequestEdits& edits,
             const Continuation* continuation)
        : edited(body, scan, edits, continuation) {}
    std::string head;
    EditedBody edited;
    boost::container::static_vector<boost::asio::const_buffer, EditedBody::kMostPieces + 1> unsent;
  };

  bool take_idle_connection();
  boost::asio::awaitable<Failure> open_connection();
  bool send(const Continuation* continuation);  // false: the kernel did not take all of it, send_rest() goes on
  boost::asio::awaitable<Failure> send_rest();
  [[nodiscard]] bool is_wanted() const;
  boost::asio::awaitable<Failure> judge_status();
  bool take_known_head();
  Failure parse_head(std::size_t head_bytes);
  void begin_body(std::size_t head_bytes);
  bool decode();  // false: the framing is broken

  // A step goes as far as what has arrived allows; nullopt: it needs more.
  using Step = std::optional<Failure> (Attempt::*)();
  std::optional<Failure> read_head();
  std::optional<Failure> read_body();
  std::optional<Failure> something_came();
  // Waits for news of the connection, at most to the end of the phase, until the step is over.
  boost::asio::awaitable<Failure> until(Step step);
  Failure wait_over();
  [[nodiscard]] Instant silent_until() const;
  void arm(Instant until);
  void await_more();
  bool on_bytes() override;
  void on_deadline();
  void on_client_gone();

  Relay& relay_;
  const Call& call_;
  scheduler::Slot slot_;
  scheduler::NodePtr node_;
  const scheduler::Payee payee_;  // a reload may change the node's
  PeerPtr peer_;
  Patience* patience_;
  StreamReader* reader_ = nullptr;  // within more()
  Signal news_;
  Deadline deadline_;
  struct Leave {
    Attempt* attempt;
    void operator()() const { attempt->on_client_gone(); }
  };
  std::optional<std::stop_callback<Leave>> client_gone_;
  ConnectionPtr connection_;
  std::optional<Outgoing> outgoing_;
  AnswerHead head_;
  BodyDecoder body_ = BodyDecoder::of_length(0);
  Instant phase_{};  // the current phase's own time-out
  std::string what_;
  std::string blame_;
  std::size_t searched_ = 0;    // of the head: no end before here
  std::size_t body_limit_ = 0;  // bytes of a whole answer
  std::size_t known_ = 0;       // bytes of the buffer that are no news
  std::size_t parsed_ = 0;      // bytes of the buffer that were decoded, the head among them
  std::size_t body_at_ = 0;     // where the decoded body begins in the buffer; what follows it is framing, to parsed_
  std::size_t kept_ = 0;        // bytes of the body in the buffer
  std::size_t body_bytes_ = 0;  // that have come
  bool expired_ = false;
  bool give_up_ = false;  // expired, or the client left
  bool left_ = false;
  bool impatient_ = false;  // in a step that the deadline cuts short
  bool message_ended_ = false;
  bool got_bytes_ = false;
  bool has_enough_ = false;  // the reader
};

}  // namespace turnpike::relay
