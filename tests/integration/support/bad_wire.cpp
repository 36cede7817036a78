#include "bad_wire.hpp"

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <memory>
#include <string_view>
#include <utility>

#include "turnpike/http/listener.hpp"

namespace turnpike::test {

namespace asio = boost::asio;
using asio::awaitable;
using namespace std::string_view_literals;

namespace {

constexpr auto as_values = asio::as_tuple(asio::use_awaitable);

constexpr std::array kMeaningful{"\""sv,
                                 "\\"sv,
                                 "{"sv,
                                 "}"sv,
                                 "["sv,
                                 "]"sv,
                                 ","sv,
                                 ":"sv,
                                 "\r\n"sv,
                                 "\n\n"sv,
                                 "\0"sv,
                                 "\xff"sv,
                                 "1e999"sv,
                                 "-1"sv,
                                 "99999999999999999999"sv,
                                 "null"sv,
                                 "\\ud800"sv,
                                 "data: "sv,
                                 "data:\n\n"sv,
                                 "data: [DONE]\n\n"sv,
                                 "0\r\n\r\n"sv,
                                 "ffffffffffffffff\r\n"sv,
                                 "Content-Length: 5\r\n"sv,
                                 "Transfer-Encoding: chunked\r\n"sv,
                                 "HTTP/1.1 200 OK\r\n\r\n"sv};

asio::ip::tcp::endpoint endpoint_of(const std::string& address) {
  const auto [host, port] = http::split_address(address).value();
  return {asio::ip::make_address(host), port};
}

void garble_once(std::string& bytes, std::mt19937_64& random) {
  const std::size_t at = random() % (bytes.size() + 1);
  const std::size_t other = random() % (bytes.size() + 1);
  switch (random() % 6) {
    case 0:
      if (at < bytes.size()) bytes[at] = static_cast<char>(random());
      break;
    case 1:
      bytes.insert(at, random() % 8 + 1, static_cast<char>(random()));
      break;
    case 2:
      bytes.erase(at, random() % 20 + 1);
      break;
    case 3:
      bytes.insert(at, bytes.substr(other, 2'000));
      break;
    case 4:
      std::rotate(bytes.begin() + static_cast<std::ptrdiff_t>(std::min(at, other)),
                  bytes.begin() + static_cast<std::ptrdiff_t>(std::max(at, other)), bytes.end());
      break;
    default:
      bytes.insert(at, kMeaningful.at(random() % kMeaningful.size()));
  }
}

}  // namespace

std::string garbled(std::string bytes, std::mt19937_64& random) {
  for (auto times = random() % 4 + 1; times > 0; --times) garble_once(bytes, random);
  return bytes;
}

// One connection, at both of its ends.
struct BadWire::Pair {
  Tcp::socket gateway;
  Tcp::socket node;
  void cut() {
    boost::system::error_code ignored;
    gateway.close(ignored);
    node.close(ignored);
  }
};

BadWire::BadWire(const std::string& node, std::uint64_t seed)
    : node_(endpoint_of(node)),
      acceptor_(loop_, Tcp::endpoint(asio::ip::address_v4::loopback(), 0)),
      address_("127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port())),
      random_(seed) {
  asio::co_spawn(loop_, accept(), asio::detached);
  thread_ = std::thread([this] { loop_.run(); });
}

BadWire::~BadWire() {
  loop_.stop();
  thread_.join();
}

awaitable<void> BadWire::accept() {
  while (true) {
    auto [error, socket] = co_await acceptor_.async_accept(as_values);
    if (error) co_return;
    auto pair = std::make_shared<Pair>(std::move(socket), Tcp::socket(loop_));
    asio::co_spawn(loop_, serve(std::move(pair)), asio::detached);
  }
}

awaitable<void> BadWire::serve(std::shared_ptr<Pair> pair) {
  const auto [error] = co_await pair->node.async_connect(node_, as_values);
  if (error) co_return pair->cut();
  asio::co_spawn(loop_, send_up(pair), asio::detached);
  co_await send_down(std::move(pair));
}

awaitable<void> BadWire::send_up(std::shared_ptr<Pair> pair) {
  std::array<char, 4096> bytes;
  while (true) {
    const auto [end, count] = co_await pair->gateway.async_read_some(asio::buffer(bytes), as_values);
    if (end) break;
    const auto [gone, _] = co_await asio::async_write(pair->node, asio::buffer(bytes, count), as_values);
    if (gone) break;
  }
  pair->cut();
}

awaitable<void> BadWire::send_down(std::shared_ptr<Pair> pair) {
  std::array<char, 4096> bytes;
  bool silent = false;
  while (true) {
    const auto [end, count] = co_await pair->node.async_read_some(asio::buffer(bytes), as_values);
    if (end) break;
    std::string out(bytes.data(), count);
    std::size_t piece = out.size();
    const auto chance = bad_ ? random_() % 100 : 99;
    if (chance < 2) break;
    if (chance < 4) silent = true;
    if (chance < 30) out = garbled(std::move(out), random_);
    if (chance >= 20 && chance < 50) piece = random_() % 40 + 1;
    if (silent) continue;
    while (!out.empty()) {
      const auto [gone, _] = co_await asio::async_write(pair->gateway, asio::buffer(out, piece), as_values);
      if (gone) co_return pair->cut();
      out.erase(0, piece);
    }
  }
  pair->cut();
}

}  // namespace turnpike::test
