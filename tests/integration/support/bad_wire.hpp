// Bytes that are not as they were sent.
#pragma once

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cstdint>
#include <random>
#include <string>
#include <thread>

namespace turnpike::test {

// `bytes`, changed at one to four places: what means something to HTTP, events or JSON goes in, bytes change, go, move
// or come twice.
std::string garbled(std::string bytes, std::mt19937_64& random);

// The way to a node, on which anything can happen to what the node sends once it is bad: it comes garbled or in small
// pieces, the wire is cut, or falls silent. What is sent to the node arrives.
class BadWire {
 public:
  BadWire(const std::string& node, std::uint64_t seed);
  ~BadWire();
  BadWire(const BadWire&) = delete;
  BadWire& operator=(const BadWire&) = delete;
  [[nodiscard]] const std::string& address() const { return address_; }
  void turn_bad() { bad_ = true; }

 private:
  using Tcp = boost::asio::ip::tcp;
  struct Pair;
  boost::asio::awaitable<void> accept();
  boost::asio::awaitable<void> serve(std::shared_ptr<Pair> pair);
  static boost::asio::awaitable<void> send_up(std::shared_ptr<Pair> pair);
  boost::asio::awaitable<void> send_down(std::shared_ptr<Pair> pair);

  boost::asio::io_context loop_;
  Tcp::endpoint node_;
  Tcp::acceptor acceptor_;
  std::string address_;
  std::mt19937_64 random_;
  std::atomic<bool> bad_ = false;
  std::thread thread_;
};

}  // namespace turnpike::test
