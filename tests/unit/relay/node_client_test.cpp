#include "turnpike/relay/node_client.hpp"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <memory>
#include <string>
#include <utility>

#include "turnpike/scheduler/registry.hpp"

namespace turnpike::relay {
namespace {

scheduler::NodePtr node(std::string id) {
  scheduler::NodeSpec spec;
  spec.id = std::move(id);
  spec.url = "http://127.0.0.1:1/v1";
  return std::make_shared<scheduler::Node>(std::move(spec), 0);
}

// The registry's part is a NodePtr here: resetting it is a reload without that node.
class NodeClientTest : public testing::Test {
 protected:
  // Whether the client still keeps a node that went when another comes.
  bool keeps(const std::weak_ptr<scheduler::Node>& gone) {
    newest = node("newest");
    client.peer(newest);
    return !gone.expired();
  }
  ConnectionPtr connection_of(PeerPtr peer) {
    return std::make_shared<NodeConnection>(std::move(peer), http::Stream(boost::asio::ip::tcp::socket(loop)));
  }

  boost::asio::io_context loop;
  HeldClock clock;
  Deadlines wheel{loop.get_executor(), clock};
  NodeClient client{loop.get_executor(), wheel, {}};
  scheduler::NodePtr newest;
};

using Peers = NodeClientTest;

TEST_F(Peers, a_node_that_went_is_forgotten_when_another_comes) {
  auto a = node("a");
  client.peer(a);
  const std::weak_ptr gone = a;
  a.reset();
  EXPECT_FALSE(keeps(gone));
}

TEST_F(Peers, a_node_that_went_is_forgotten_when_idle_connections_are_closed) {
  auto a = node("a");
  client.peer(a);
  const std::weak_ptr gone = a;
  a.reset();
  client.drop_idle();
  EXPECT_TRUE(gone.expired());
}

TEST_F(Peers, an_attempt_that_holds_its_node_keeps_the_peer) {
  const auto attempt = node("a");
  client.peer(attempt);
  EXPECT_TRUE(keeps(attempt));
  EXPECT_EQ(attempt.use_count(), 2) << "this test's and the client's";
}

TEST_F(Peers, an_answer_that_holds_a_connection_keeps_the_peer_and_not_the_node) {
  auto a = node("a");
  auto connection = connection_of(client.peer(a));
  const std::weak_ptr gone = a;
  const std::weak_ptr peer = client.peer(a);
  a.reset();
  EXPECT_FALSE(keeps(gone));
  EXPECT_FALSE(peer.expired());
  connection = nullptr;
  EXPECT_EQ(client.open_connections(), 0U);
  EXPECT_TRUE(peer.expired());
}

TEST_F(Peers, of_a_node_whose_key_changed_go_with_their_last_connection_which_is_not_kept) {
  scheduler::NodeRegistry registry({}, 0);
  auto spec = node("a")->spec();
  registry.assign({spec});
  const auto a = registry.find("a");
  const std::weak_ptr before = client.peer(a);
  auto connection = connection_of(before.lock());
  spec.api_key = "another";
  registry.assign({spec});
  ASSERT_EQ(registry.find("a"), a);
  const auto now = client.peer(a);
  EXPECT_NE(now, before.lock());
  EXPECT_EQ(now, client.peer(a));
  before.lock()->put_back(std::move(connection));
  EXPECT_EQ(client.open_connections(), 0U);
  EXPECT_TRUE(before.expired());
}

}  // namespace
}  // namespace turnpike::relay
