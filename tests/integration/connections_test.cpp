// Connections to nodes, over real sockets.
#include <gmock/gmock.h>
#include <sys/socket.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <latch>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "support/process.hpp"
#include "turnpike/base/task_group.hpp"
#include "turnpike/relay/node_client.hpp"

namespace turnpike::relay {
namespace {

namespace asio = boost::asio;
using asio::awaitable;
using asio::ip::tcp;
using Endpoint = http::Dialer::Endpoint;

constexpr std::uint16_t kNobody = 1;  // nobody listens at this port

Endpoint at(const char* address, std::uint16_t port) {
  return {asio::ip::make_address(address), port};
}

class Connections : public testing::Test {
 protected:
  // Connects so many times in a row.
  awaitable<void> connect(PeerPtr peer, int times) {
    Signal news(loop.get_executor());
    const bool give_up = false;
    for (; times > 0; --times) {
      std::string failure;
      const auto connection = co_await peer->connect(news, give_up, failure);
      outcomes.push_back(connection ? "connected" : failure);
      if (connection) connection->close();
    }
    if (--running == 0) alive.reset();
  }
  void run(const std::vector<int>& times) {
    const auto peer = client.peer(node);
    running = times.size();
    for (const int each : times) group.spawn("connect", connect(peer, each));
    alive.emplace(loop.get_executor());
    loop.restart();
    loop.run_for(std::chrono::seconds(10));
    EXPECT_EQ(running, 0U) << "no end within ten seconds";
  }

  // Connects to it until its line is full: what else comes is dropped by the system, and hears nothing.
  std::vector<tcp::socket> fill(const tcp::acceptor& acceptor) {
    std::vector<tcp::socket> waiting;
    for (bool taken = true; taken;) {
      auto& socket = waiting.emplace_back(loop, tcp::v4());
      socket.native_non_blocking(true);
      auto endpoint = acceptor.local_endpoint();
      const int failed = ::connect(socket.native_handle(), endpoint.data(), static_cast<socklen_t>(endpoint.size()));
      // On loopback a connection that is taken is there at once.
      taken = failed == 0;
    }
    return waiting;
  }

  static scheduler::NodePtr make_node() {
    scheduler::NodeSpec spec;
    spec.id = "a";
    spec.url = "http://node.example/v1";
    return std::make_shared<scheduler::Node>(std::move(spec), 0);
  }

  asio::io_context loop;
  std::optional<asio::executor_work_guard<asio::io_context::executor_type>> alive;
  HeldClock clock;
  Deadlines wheel{loop.get_executor(), clock};
  std::vector<Endpoint> name;  // what it means
  int asked = 0;
  NodeClient client{loop.get_executor(),
                    wheel,
                    {.resolver_threads = 1},
                    [this](const std::string&, std::uint16_t, boost::system::error_code&) {
                      ++asked;
                      return name;
                    }};
  scheduler::NodePtr node = make_node();
  TaskGroup group{loop.get_executor()};
  std::size_t running = 0;
  std::vector<std::string> outcomes;
};

TEST_F(Connections, that_are_refused_to_many_at_once_are_refused_to_each) {
  name = {at("127.0.0.2", kNobody), at("127.0.0.3", kNobody)};
  // At all stages at once: some begin where others end.
  run({1, 2, 3, 4, 5, 6, 7, 8});
  EXPECT_THAT(outcomes, testing::SizeIs(36));
  EXPECT_THAT(outcomes, testing::Each(testing::StartsWith("it refused a connection")));
}

TEST_F(Connections, are_made_to_the_address_that_took_the_last_one) {
  tcp::acceptor acceptor(loop, at("127.0.0.3", 0));
  const auto port = acceptor.local_endpoint().port();
  name = {at("127.0.0.2", port), at("127.0.0.3", port)};
  run({1});
  tcp::acceptor other(loop, at("127.0.0.2", port));
  run({2});
  EXPECT_THAT(outcomes, testing::ElementsAre("connected", "connected", "connected"));
  EXPECT_EQ(asked, 1) << "and the name is asked for once";
  other.non_blocking(true);
  boost::system::error_code nobody;
  other.accept(nobody);
  EXPECT_EQ(nobody, asio::error::would_block);
}

TEST_F(Connections, that_no_address_takes_have_the_name_asked_for_again) {
  name = {at("127.0.0.2", kNobody), at("127.0.0.3", kNobody)};
  run({3});
  EXPECT_EQ(asked, 3);
}

TEST_F(Connections, begin_behind_an_address_that_let_the_time_pass) {
  tcp::acceptor silent(loop);
  silent.open(tcp::v4());
  silent.bind(at("127.0.0.2", 0));
  silent.listen(0);
  const auto port = silent.local_endpoint().port();
  const tcp::acceptor other(loop, at("127.0.0.3", port));
  name = {at("127.0.0.2", port), at("127.0.0.3", port)};
  run({1});
  const auto waiting = fill(silent);
  Signal news(loop.get_executor());
  bool give_up = false;
  std::string failure = "none";
  const auto try_silent = [&]() -> awaitable<void> {
    EXPECT_EQ(co_await client.peer(node)->connect(news, give_up, failure), nullptr);
  };
  group.spawn("connect", try_silent());
  loop.restart();
  loop.poll();
  give_up = true;
  news.notify();
  loop.run();
  EXPECT_EQ(failure, "it did not take a connection in time");
  run({1});
  EXPECT_THAT(outcomes, testing::ElementsAre("connected", "connected"));
  EXPECT_EQ(asked, 1);
}

TEST_F(Connections, to_a_name_without_addresses_fail) {
  run({1});
  EXPECT_THAT(outcomes, testing::ElementsAre("its name has no address"));
}

// ---- names ----

TEST(Names, that_are_resolved_after_the_dialer_and_the_loop_went_are_nobodys) {
  std::latch goes_on(1);
  std::latch asked(1);
  // Held by whoever may still call the resolver.
  auto held = std::make_shared<int>();
  const std::weak_ptr in_use = held;
  {
    asio::io_context loop;
    TaskGroup group(loop.get_executor());
    Signal news(loop.get_executor());
    bool give_up = false;
    std::string failure;
    http::Dialer dialer(loop.get_executor(), 1,
                        [&goes_on, &asked, held](const std::string&, std::uint16_t, boost::system::error_code&) {
                          asked.count_down();
                          goes_on.wait();
                          return std::vector{at("127.0.0.1", 1)};
                        });
    held.reset();
    const auto resolve = [&]() -> awaitable<void> {
      const auto found = co_await dialer.resolve("slow.example", 1, news, give_up);
      failure = found ? "none" : found.error();
    };
    group.spawn("resolve", resolve());
    loop.poll();
    asked.wait();
    give_up = true;
    news.notify();
    loop.restart();
    loop.run();
    EXPECT_EQ(failure, "its name was not resolved in time");
  }
  EXPECT_FALSE(in_use.expired());
  goes_on.count_down();
  EXPECT_TRUE(test::eventually([&] { return in_use.expired(); }));
}

}  // namespace
}  // namespace turnpike::relay
