// Connections to nodes: opened when asked for, kept for the next request, dropped when the node ends them.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "turnpike/base/deadlines.hpp"
#include "turnpike/base/signal.hpp"
#include "turnpike/http/dialer.hpp"
#include "turnpike/http/input_buffer.hpp"
#include "turnpike/http/known_head.hpp"
#include "turnpike/http/stream.hpp"
#include "turnpike/relay/chunk_shapes.hpp"
#include "turnpike/scheduler/node.hpp"

namespace turnpike::relay {

class NodePeer;
using PeerPtr = std::shared_ptr<NodePeer>;

// What the head of a node's answer says.
struct AnswerHead {
  unsigned status = 0;
  bool keep_alive = false;
  bool chunked = false;
  bool is_json = false;
  bool is_event_stream = false;
  std::optional<std::uint64_t> content_length = {};
};

// Takes bytes where they arrive, so that nobody need be woken for them.
class ByteReader {
 public:
  virtual ~ByteReader() = default;
  // In the connection's read handler. True: done with them; false: whoever uses the connection is told.
  virtual bool on_bytes() = 0;
};

// One connection to a node. Reads go on when they are asked for; whoever uses it is told by its Signal.
class NodeConnection : public std::enable_shared_from_this<NodeConnection> {
 public:
  NodeConnection(PeerPtr peer, http::Stream stream);
  ~NodeConnection();

  http::InputBuffer in;

  // Starts a read if none is under way and the buffer has room.
  void want_bytes();
  [[nodiscard]] bool ended() const { return ended_; }
  [[nodiscard]] http::Stream& stream() { return stream_; }
  void close();
  // Who is told of news; null: nobody (it is idle).
  void set_listener(Signal* listener) {
    listener_ = listener;
    reader_ = nullptr;
  }
  // Who is asked first when bytes came; null: nobody.
  void set_reader(ByteReader* reader) { reader_ = reader; }
  [[nodiscard]] bool reused() const { return reused_; }
  [[nodiscard]] NodePeer& peer() { return *peer_; }

 private:
  friend class NodePeer;
  void on_read(http::error_code error, std::size_t bytes);
  PeerPtr peer_;
  http::Stream stream_;
  Signal* listener_ = nullptr;
  ByteReader* reader_ = nullptr;
  std::shared_ptr<NodeConnection> self_;  // while a read is under way
  Deadline idle_;
  bool reading_ = false;
  bool ended_ = false;
  bool reused_ = false;
  bool pooled_ = false;
  bool filled_ = false;  // the last read took all the room there was
};

using ConnectionPtr = std::shared_ptr<NodeConnection>;

struct NodeClientLimits {
  std::size_t idle_connections_per_node = 64;
  std::chrono::milliseconds idle_timeout{30'000};
  std::size_t resolver_threads = 4;
};

// What the peers of all nodes share: the loop, TLS settings made when first needed, the count of open connections.
class NodeClient;

// One node's address and idle connections. Its connections hold it.
class NodePeer : public std::enable_shared_from_this<NodePeer> {
 public:
  NodePeer(NodeClient& client, const scheduler::NodeSpec& spec);
  NodePeer(const NodePeer&) = delete;
  NodePeer& operator=(const NodePeer&) = delete;

  // An idle connection, or null.
  ConnectionPtr take_idle();
  // Opens a connection, to the first of the name's addresses that takes one. `news` is notified while it waits; it
  // gives up (null) when `give_up` says so after such a notice. `failure` then says what was wrong.
  boost::asio::awaitable<ConnectionPtr> connect(Signal& news, const bool& give_up, std::string& failure);
  // Keeps a connection whose answer was read to its end, if there is room.
  void put_back(ConnectionPtr connection);
  void drop_idle();
  // Keeps no connection from now on: the node went, or wants another key.
  void retire();

  // "POST /v1" … the parts of a request head that do not change: up to the path's prefix, and from Host to the key.
  [[nodiscard]] const std::string& path_prefix() const { return path_prefix_; }
  [[nodiscard]] const std::string& head_lines() const { return head_lines_; }
  // What the chunks of its streams look like.
  [[nodiscard]] ChunkShapes& shapes() { return shapes_; }
  // The last head of an answer, streams apart, and what it said.
  struct LastHead {
    http::KnownHead bytes;
    AnswerHead head;
  };
  [[nodiscard]] LastHead& last_head(bool stream) { return stream ? last_stream_ : last_answer_; }
  [[nodiscard]] bool same_place(const scheduler::NodeSpec& spec) const {
    return spec.url == url_ && spec.api_key == key_;
  }

 private:
  friend class NodeClient;
  friend class NodeConnection;
  ConnectionPtr connected(http::Dialer::Socket socket);

  NodeClient& client_;
  std::string url_;
  std::string key_;
  std::string host_;
  std::uint16_t port_ = 0;
  bool tls_ = false;
  std::string path_prefix_;
  std::string head_lines_;
  std::vector<http::Dialer::Endpoint> endpoints_;  // of the name; empty: it has to be asked
  std::size_t first_endpoint_ = 0;                 // to be tried first
  std::vector<ConnectionPtr> idle_;
  LastHead last_answer_;
  LastHead last_stream_;
  ChunkShapes shapes_;
  bool retired_ = false;
};

class NodeClient {
 public:
  // `resolve`: null for the system's resolver.
  NodeClient(boost::asio::any_io_executor executor, Deadlines& deadlines, NodeClientLimits limits,
             http::Dialer::Resolve resolve = nullptr);
  ~NodeClient();
  NodeClient(const NodeClient&) = delete;
  NodeClient& operator=(const NodeClient&) = delete;

  PeerPtr peer(const scheduler::NodePtr& node);
  // Forgets peers of nodes that went, and closes idle connections.
  void drop_idle();
  // Closes what is idle and returns when no connection is open.
  boost::asio::awaitable<void> close();
  [[nodiscard]] std::size_t open_connections() const { return open_; }

 private:
  friend class NodePeer;
  friend class NodeConnection;
  struct Tls;
  void forget_gone();
  http::Dialer dialer_;
  Deadlines& deadlines_;
  NodeClientLimits limits_;
  std::unique_ptr<Tls> tls_;
  std::unordered_map<const scheduler::Node*, std::pair<scheduler::NodePtr, PeerPtr>> peers_;
  Signal closed_;
  std::size_t open_ = 0;
};

}  // namespace turnpike::relay
