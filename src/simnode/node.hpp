// The simulated node: its listener, its connections and its routes. One io_context, one thread.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "answer.hpp"
#include "behaviour.hpp"
#include "connection.hpp"
#include "stats.hpp"

namespace turnpike::simnode {

struct NodeOptions {
  asio::ip::tcp::endpoint listen;
  std::vector<std::string> models;
  std::string api_key;  // empty: none is asked for
  std::uint32_t seed = 0;
  Behaviour behaviour;
};

class Node {
 public:
  Node(asio::io_context& io, NodeOptions options);  // listens; throws boost::system::system_error

  [[nodiscard]] asio::ip::tcp::endpoint endpoint() const { return acceptor_.local_endpoint(); }
  asio::awaitable<void> accept_loop();
  void stop();  // closes the listener and every connection

 private:
  struct Request;

  asio::awaitable<void> serve(std::shared_ptr<Connection> connection);
  asio::awaitable<void> serve_requests(Connection& connection, Request*& current);
  asio::awaitable<void> answer(Request& request);
  asio::awaitable<void> answer_sim(Request& request);
  asio::awaitable<void> answer_inference(Request& request);
  void note_gone(const Request* current);
  std::string change_behaviour(std::string_view body);

  NodeOptions options_;
  asio::ip::tcp::acceptor acceptor_;
  std::unordered_set<std::shared_ptr<Connection>> connections_;
  Stats stats_;
};

}  // namespace turnpike::simnode
