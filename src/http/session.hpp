// One client connection: bytes to requests, answers to bytes, in order (RFC 9112). A read is always pending, so a
// client that leaves is noticed while its request is answered, and the next request's bytes cost no extra step.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/container/small_vector.hpp>
#include <list>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>

#include "turnpike/base/deadlines.hpp"
#include "turnpike/base/random.hpp"
#include "turnpike/base/signal.hpp"
#include "turnpike/base/task_group.hpp"
#include "turnpike/base/turn_end.hpp"
#include "turnpike/http/exchange.hpp"
#include "turnpike/http/input_buffer.hpp"
#include "turnpike/http/known_head.hpp"
#include "turnpike/http/listener.hpp"
#include "turnpike/http/stream.hpp"

namespace turnpike::http {

// What the sessions of one listener share.
struct SessionHost {
  explicit SessionHost(ServerParts given)
      : parts(std::move(given)), turn_end(parts.executor, parts.deadlines.clock()) {}

  ServerParts parts;
  TurnEnd turn_end;  // answers go out at
  ServerStats stats;
  IdSource ids;
  std::list<Session*> sessions;
  bool draining = false;
  std::string date_line;  // "Date: …\r\n", renewed each second
  std::int64_t date_second = -1;

  const std::string& date();
};

class Session {
 public:
  Session(SessionHost& host, Stream stream, std::string peer);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  boost::asio::awaitable<void> run();
  void drain();  // ends now when idle, else after the answer
  void close();

 private:
  friend class Exchange;
  enum class Got : std::uint8_t { request, end, fault };

  boost::asio::awaitable<Got> read_request();
  std::optional<Got> find_head(std::size_t& searched);
  bool take_body();
  boost::asio::awaitable<Got> read_body();
  boost::asio::awaitable<Got> read_chunked_body();
  // Of the head's bytes, which begin what is unread.
  Got parse_head(std::size_t head_bytes);
  bool take_known_head();
  Got begin_request();
  std::string_view client();
  bool grow_for_body(std::size_t bytes);
  boost::asio::awaitable<bool> more_bytes();
  boost::asio::awaitable<void> answer();
  boost::asio::awaitable<void> answer_preflight(Exchange& exchange);
  boost::asio::awaitable<void> answer_fault();
  boost::asio::awaitable<void> route(Exchange& exchange);
  boost::asio::awaitable<void> linger();
  void append_cors(std::string& head) const;
  // True: the kernel has all of it. False: keep the buffers' memory and await written(), whose false means that the
  // client left.
  bool write_now(std::span<const boost::asio::const_buffer> buffers);
  boost::asio::awaitable<bool> written();

  void want_bytes();
  void on_read(error_code error, std::size_t bytes);
  void on_deadline();
  void account_body_memory();
  Got fault(Fault kind, std::string message);

  using Parser = MessageParser<true>;

  SessionHost& host_;
  Stream stream_;
  std::string peer_;
  std::string client_;  // of the request, where proxies are trusted
  InputBuffer in_;
  Signal news_;
  Deadline deadline_;
  std::stop_source client_gone_;
  Request request_;
  std::optional<Parser> parser_;  // of the last head that was parsed, and of a chunked body behind it
  KnownHead known_head_;          // the head that request_ was read from
  struct {
    const char* at = nullptr;  // where the head began: request_'s views lie behind
    std::uint64_t body_bytes = 0;
    bool chunked = false;
    bool keep_alive = false;
  } head_;
  std::optional<Error> fault_;
  std::list<Session*>::iterator self_;
  boost::container::small_vector<boost::asio::const_buffer, 3> unwritten_;
  std::size_t used_ = 0;       // bytes of `in_` that the current request takes
  std::size_t body_at_ = 0;    // chunked: where the decoded body begins …
  std::size_t body_size_ = 0;  // … and how long it is
  std::size_t counted_ = 0;    // of this session in stats.body_memory_bytes
  int status_ = 0;             // of the answer; 0: none went out
  bool reading_ = false;       // a read is under way
  bool pinned_ = false;        // a handler holds views into `in_`
  bool head_held_ = false;     // request_ holds views into `in_`
  bool ended_ = false;         // no more bytes will come
  bool timed_out_ = false;
  bool idle_ = true;
  bool close_after_ = false;
  bool writing_ = false;
};

}  // namespace turnpike::http
