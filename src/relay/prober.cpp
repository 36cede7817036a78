#include "turnpike/relay/prober.hpp"

#include <spdlog/spdlog.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <charconv>
#include <functional>
#include <string>
#include <utility>

#include "turnpike/base/pause.hpp"

namespace turnpike::relay {

namespace asio = boost::asio;
using asio::awaitable;

Prober::Prober(asio::any_io_executor executor, Deadlines& deadlines, scheduler::Scheduler& scheduler,
               NodeClient& client, ProbeRules rules)
    : executor_(executor),
      deadlines_(deadlines),
      scheduler_(scheduler),
      client_(client),
      rules_(rules),
      probes_(std::move(executor)) {}

awaitable<void> Prober::run(std::stop_token stop) {
  do {
    co_await round(stop);
  } while (co_await pause(executor_, deadlines_, rules_.interval, stop));
}

awaitable<void> Prober::round(std::stop_token stop) {
  const auto nodes = scheduler_.registry().nodes();
  for (const auto& node : nodes) probes_.spawn("probe", probe(node, stop));
  co_await probes_.join();
}

awaitable<void> Prober::probe(scheduler::NodePtr node, std::stop_token stop) {
  const bool ok = co_await answers(node, stop);
  if (stop.stop_requested()) co_return;
  if (ok != node->probe_ok()) spdlog::info("node {} is {}", node->id(), ok ? "up" : "down");
  scheduler_.registry().probed(*node, ok);
  if (ok) scheduler_.dispatch();
}

awaitable<bool> Prober::answers(const scheduler::NodePtr& node, std::stop_token stop) {
  const PeerPtr peer = client_.peer(node);
  Signal news(executor_);
  struct Patience {
    Signal& news;
    ConnectionPtr connection;
    bool over = false;
    void end() {
      over = true;
      if (connection) connection->close();
      news.notify();
    }
  } patience{.news = news, .connection = nullptr};
  Deadline deadline(deadlines_, [](void* self) { static_cast<Patience*>(self)->end(); }, &patience);
  deadline.arm(rules_.timeout);
  const std::stop_callback<std::function<void()>> stopped(stop, [&patience] { patience.end(); });

  std::string failure;
  patience.connection = co_await peer->connect(news, patience.over, failure);
  const auto connection = patience.connection;
  if (!connection) co_return false;
  connection->set_listener(&news);
  bool ok = false;
  if (!co_await connection->stream().handshake()) {
    const std::string path =
        node->spec().probe_path.empty() ? peer->path_prefix() + "/models" : node->spec().probe_path;
    const std::string head =
        "GET " + path + peer->head_lines() + "Accept: application/json\r\nConnection: close\r\n\r\n";
    const std::array<asio::const_buffer, 1> buffers{asio::buffer(head)};
    ok = !co_await connection->stream().write(buffers);
  }
  // "HTTP/1.1 200": the status line alone decides.
  constexpr std::size_t kStatusAt = 9;
  constexpr std::size_t kStatusEnd = 12;
  while (ok && connection->in.size() < kStatusEnd) {
    ok = !patience.over && !connection->ended();
    connection->want_bytes();
    if (ok && !news.take()) co_await news.wait();
  }
  int status = 0;
  if (ok) {
    const auto text = connection->in.unread().substr(kStatusAt, kStatusEnd - kStatusAt);
    std::from_chars(text.data(), text.data() + text.size(), status);
  }
  connection->set_listener(nullptr);
  connection->close();
  co_return status >= 200 && status < 500;
}

}  // namespace turnpike::relay
