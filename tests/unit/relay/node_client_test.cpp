#include "turnpike/relay/node_client.hpp"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <memory>
#include <string>
#include <utility>

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
  ConnectionPtr connection_of(NodePeer& peer) {
    return std::make_shared<NodeConnection>(peer, http::Stream(boost::asio::ip::tcp::socket(loop)));
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

TEST_F(Peers, an_answer_that_holds_a_connection_keeps_the_peer) {
  auto a = node("a");
  auto connection = connection_of(client.peer(a));
  const std::weak_ptr gone = a;
  a.reset();
  EXPECT_TRUE(keeps(gone));
  connection = nullptr;
  EXPECT_EQ(client.open_connections(), 0U);
  EXPECT_FALSE(keeps(gone));
}

}  // namespace
}  // namespace turnpike::relay
