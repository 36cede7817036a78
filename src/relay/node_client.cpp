#include "turnpike/relay/node_client.hpp"

#include <algorithm>
#include <boost/asio/ip/tcp.hpp>
#include <stdexcept>
#include <utility>

#include "turnpike/http/client_tls.hpp"
#include "turnpike/http/poster.hpp"

namespace turnpike::relay {

namespace asio = boost::asio;
using asio::awaitable;
using http::error_code;

namespace {
constexpr std::size_t kFirstBufferBytes = 4096;
constexpr std::size_t kMostBufferBytes = 16 * 1024;  // kept for the next answer; a large one takes what it needs
}  // namespace

struct NodeClient::Tls {
  std::unique_ptr<asio::ssl::context> context = http::client_tls();
};

// ---- a connection ----

NodeConnection::NodeConnection(PeerPtr peer, http::Stream stream)
    : in(kFirstBufferBytes),
      peer_(std::move(peer)),
      stream_(std::move(stream)),
      idle_(peer_->client_.deadlines_, [](void* self) { static_cast<NodeConnection*>(self)->close(); }, this) {
  ++peer_->client_.open_;
}

NodeConnection::~NodeConnection() {
  auto& client = peer_->client_;
  if (--client.open_ == 0) client.closed_.notify();
}

void NodeConnection::want_bytes() {
  if (reading_ || ended_) return;
  if (in.size() == 0) in.make_room(0);
  // A read that filled the buffer says that the node sends in bulk: larger reads from here on. A whole answer is
  // gathered, so there must be room for as much again; of a stream no more than a part of an event is left each time.
  if (filled_ && in.size() > in.capacity() / 2) {
    in.make_room(in.capacity());
  } else if (filled_ && in.capacity() < kMostBufferBytes) {
    in.make_room(std::min(in.capacity() * 2, kMostBufferBytes) - in.size());
  } else if (in.room() < 512) {
    in.make_room(1024);
  }
  const auto tail = in.tail();
  reading_ = true;
  self_ = shared_from_this();
  stream_.read_some(asio::buffer(tail.data(), tail.size()), {[](void* self, error_code error, std::size_t bytes) {
                                                               static_cast<NodeConnection*>(self)->on_read(error,
                                                                                                           bytes);
                                                             },
                                                             this});
}

void NodeConnection::on_read(error_code error, std::size_t bytes) {
  const Moment moment(peer_->client_.deadlines_.clock());
  const auto self = std::move(self_);
  self_ = nullptr;
  reading_ = false;
  in.commit(bytes);
  filled_ = in.room() == 0;
  if (error) ended_ = true;
  if (pooled_) {
    // The node ended an idle connection, or spoke out of turn.
    close();
    return;
  }
  if (reader_ != nullptr && !error && reader_->on_bytes()) return;
  if (listener_ != nullptr) listener_->notify_now();
}

void NodeConnection::close() {
  ended_ = true;
  stream_.close();
  if (!pooled_) return;
  // Nobody reads from it: it leaves the pool at once, or with the end of the read that is under way.
  const auto self = shared_from_this();
  pooled_ = false;
  std::erase(peer_->idle_, self);
}

// ---- a node's connections ----

NodePeer::NodePeer(NodeClient& client, const scheduler::NodeSpec& spec)
    : client_(client), url_(spec.url), key_(spec.api_key) {
  auto place = http::parse_place(url_);
  if (!place) throw std::invalid_argument("node " + spec.id + ": not a URL");  // the configuration was checked for it
  tls_ = place->secure;
  host_ = std::move(place->host);
  port_ = place->port;
  path_prefix_ = std::move(place->target);
  while (path_prefix_.ends_with('/')) path_prefix_.pop_back();
  head_lines_ = " HTTP/1.1\r\nHost: " + place->authority + "\r\nUser-Agent: turnpike/" TURNPIKE_VERSION "\r\n";
  if (!key_.empty()) head_lines_ += "Authorization: Bearer " + key_ + "\r\n";
}

ConnectionPtr NodePeer::take_idle() {
  if (idle_.empty()) return nullptr;
  auto connection = std::move(idle_.back());
  idle_.pop_back();
  connection->pooled_ = false;
  connection->reused_ = true;
  connection->idle_.disarm();
  return connection;
}

void NodePeer::put_back(ConnectionPtr connection) {
  connection->set_listener(nullptr);
  if (retired_ || connection->ended_ || connection->in.size() > 0 ||
      idle_.size() >= client_.limits_.idle_connections_per_node) {
    connection->close();
    return;
  }
  if (!connection->reading_ && connection->in.capacity() > 2 * kMostBufferBytes) connection->in.shrink();
  connection->pooled_ = true;
  connection->idle_.arm(client_.limits_.idle_timeout);
  idle_.push_back(connection);
  connection->want_bytes();
}

void NodePeer::drop_idle() {
  auto idle = std::exchange(idle_, {});
  for (const auto& connection : idle) {
    connection->pooled_ = false;
    connection->close();
  }
}

void NodePeer::retire() {
  retired_ = true;
  drop_idle();
}

awaitable<ConnectionPtr> NodePeer::connect(Signal& news, const bool& give_up, std::string& failure) {
  auto& dialer = client_.dialer_;
  if (endpoints_.empty()) {
    auto found = co_await dialer.resolve(host_, port_, news, give_up);
    if (!found) {
      failure = std::move(found.error());
      co_return nullptr;
    }
    endpoints_ = *std::move(found);
    first_endpoint_ = 0;
  }
  auto at = first_endpoint_;
  auto socket = co_await dialer.connect(endpoints_, at, news, give_up);
  if (socket) {
    first_endpoint_ = at;
    co_return connected(*std::move(socket));
  }
  failure = std::move(socket.error());
  // The next try begins behind an address that let the time pass; after the last one the name is asked again.
  first_endpoint_ = at + 1;
  if (!give_up || first_endpoint_ >= endpoints_.size()) endpoints_.clear();
  co_return nullptr;
}

ConnectionPtr NodePeer::connected(http::Dialer::Socket socket) {
  if (!tls_) return std::make_shared<NodeConnection>(shared_from_this(), http::Stream(std::move(socket)));
  if (!client_.tls_) client_.tls_ = std::make_unique<NodeClient::Tls>();
  return std::make_shared<NodeConnection>(
      shared_from_this(), http::Stream(std::move(socket), *client_.tls_->context, http::Stream::Role::client, host_));
}

// ---- all of them ----

NodeClient::NodeClient(asio::any_io_executor executor, Deadlines& deadlines, NodeClientLimits limits,
                       http::Dialer::Resolve resolve)
    : dialer_(executor, limits.resolver_threads, std::move(resolve)),
      deadlines_(deadlines),
      limits_(limits),
      closed_(std::move(executor)) {}

NodeClient::~NodeClient() {
  drop_idle();
}

PeerPtr NodeClient::peer(const scheduler::NodePtr& node) {
  auto& [kept, peer] = peers_[node.get()];
  if (!peer) {
    kept = node;
    peer = std::make_shared<NodePeer>(*this, node->spec());
    forget_gone();  // so that there are never many more peers than nodes
  } else if (!peer->same_place(node->spec())) {
    peer->retire();
    peer = std::make_shared<NodePeer>(*this, node->spec());
  }
  return peer;
}

void NodeClient::drop_idle() {
  for (auto& [node, entry] : peers_) entry.second->drop_idle();
  forget_gone();
}

void NodeClient::forget_gone() {
  std::erase_if(peers_, [](const auto& entry) {
    const auto& [node, peer] = entry.second;
    // Attempts and probes hold their node.
    if (node.use_count() > 1) return false;
    peer->retire();
    return true;
  });
}

awaitable<void> NodeClient::close() {
  drop_idle();
  while (open_ > 0) co_await closed_.wait();
}

}  // namespace turnpike::relay
