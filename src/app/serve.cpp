// `turnpike serve`: a gateway under the signals of its operator.
#include "turnpike/app/serve.hpp"

#include <spdlog/spdlog.h>

#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <utility>

#include "memory.hpp"
#include "run_gateway.hpp"
#include "turnpike/telemetry/log.hpp"

namespace turnpike::app {

namespace asio = boost::asio;
using asio::awaitable;

namespace {

int print_faults(const config::Faults& faults) {
  for (const auto& fault : faults) spdlog::error("{}", fault);
  return 1;
}

// Signals for one running gateway: SIGHUP reloads, SIGTERM and SIGINT drain. Without a file there is nothing to reload,
// and SIGHUP says what it says to any program: its terminal is gone.
class Signals {
 public:
  Signals(asio::io_context& loop, Gateway& gateway, TaskGroup& tasks, ServeOptions options)
      : gateway_(gateway), tasks_(tasks), options_(std::move(options)), set_(loop, SIGTERM, SIGINT, SIGHUP) {
    wait();
  }

 private:
  void wait() {
    set_.async_wait([this](boost::system::error_code error, int signal) {
      if (error) return;
      if (signal == SIGHUP && !options_.config_file.empty()) {
        reload();
        wait();
      } else {
        tasks_.spawn("drain", gateway_.drain());
      }
    });
  }

  void reload() {
    auto config = load_config(options_);
    const auto faults = config ? gateway_.reload(*std::move(config)) : std::move(config.error());
    for (const auto& fault : faults) spdlog::error("not reloaded: {}", fault);
    if (faults.empty()) spdlog::info("reloaded {}", options_.config_file);
  }

  Gateway& gateway_;
  TaskGroup& tasks_;
  ServeOptions options_;
  asio::signal_set set_;
};

}  // namespace

std::expected<config::Config, config::Faults> load_config(const ServeOptions& options) {
  auto config = config::load(options.config_file);
  if (!config) return config;
  if (!options.data_dir.empty()) config->data_dir = options.data_dir;
  if (!options.listen.empty()) {
    const auto listen = config::parse_listen(options.listen);
    if (!listen) return std::unexpected(config::Faults{"--listen: expected ADDRESS:PORT, got " + options.listen});
    config->listen = *listen;
  }
  return config;
}

int run_gateway(config::Config config, const ServeOptions& options,
                const std::function<awaitable<void>(Gateway&)>& when_ready) {
  // Its sockets are this thread's alone; other threads only post to it.
  asio::io_context loop(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE_IO);
  auto gateway = Gateway::open(loop, std::move(config));
  if (!gateway) {
    spdlog::error("{}", gateway.error().message);
    return 1;
  }
  TaskGroup tasks(loop.get_executor());
  const Signals signals(loop, **gateway, tasks, options);
  (*gateway)->start();
  give_back_start_memory();
  if (when_ready) tasks.spawn("welcome", when_ready(**gateway));
  loop.run();
  return 0;
}

int serve(const ServeOptions& options) {
  telemetry::start_log("info", false);
  auto config = load_config(options);
  if (!config) return print_faults(config.error());
  telemetry::start_log(config->log.level, config->log.format == config::LogFormat::json);
  return run_gateway(*std::move(config), options, nullptr);
}

}  // namespace turnpike::app
