// A listener by itself, over real sockets.
#include "turnpike/http/listener.hpp"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <memory>
#include <utility>
#include <vector>

#include "support/client.hpp"

namespace turnpike::http {
namespace {

namespace asio = boost::asio;

class ListenerTest : public testing::Test {
 protected:
  void open(ServerParts parts) {
    auto opened = Listener::open(std::move(parts), "127.0.0.1:0");
    ASSERT_TRUE(opened) << opened.error().message;
    listener = *std::move(opened);
    listener->start();
  }
  ServerParts parts() {
    return {.executor = loop.get_executor(), .deadlines = wheel, .router = router, .limits = {}, .render_error = {}};
  }
  void run_until_connections(std::size_t count) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (listener->stats().connections != count && std::chrono::steady_clock::now() < end) {
      loop.run_one_for(std::chrono::milliseconds(100));
    }
    ASSERT_EQ(listener->stats().connections, count);
  }
  ~ListenerTest() override {
    if (!listener) return;
    listener->close_all();
    loop.run_for(std::chrono::seconds(10));
  }

  asio::io_context loop;
  SystemClock clock;
  Deadlines wheel{loop.get_executor(), clock};
  Router router;
  std::unique_ptr<Listener> listener;
};

TEST_F(ListenerTest, tells_of_its_connections_when_there_are_so_many_and_each_time_their_number_has_doubled) {
  std::vector<std::size_t> told;
  auto telling = parts();
  telling.growth_from = 2;
  telling.on_growth = [&] { told.push_back(listener->stats().connections); };
  open(std::move(telling));
  std::vector<test::Client> clients;
  for (std::size_t count = 1; count <= 9; ++count) {
    clients.emplace_back(listener->address());
    run_until_connections(count);
  }
  EXPECT_EQ(told, (std::vector<std::size_t>{2, 4, 8}));
  clients.clear();
  run_until_connections(0);
  for (std::size_t count = 1; count <= 4; ++count) clients.emplace_back(listener->address());
  run_until_connections(4);
  EXPECT_EQ(told.size(), 3U) << "what it grew to before is no news";
}

}  // namespace
}  // namespace turnpike::http
