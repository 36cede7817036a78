// `turnpike serve`: a gateway under the signals of its operator.
#include "turnpike/app/serve.hpp"

#include <link.h>
#include <spdlog/spdlog.h>
#include <sys/mman.h>
#include <unistd.h>
#ifdef TURNPIKE_MIMALLOC
#include <mimalloc.h>
#endif

#include <bit>
#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <cstdint>
#include <span>
#include <utility>

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

// The pages of one loaded object's code. They are the file's, unchanged: what is run again is mapped again.
int forget_code(dl_phdr_info* object, std::size_t /*size*/, void* /*data*/) {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  for (const auto& segment : std::span(object->dlpi_phdr, object->dlpi_phnum)) {
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_X) == 0 || (segment.p_flags & PF_W) != 0) continue;
    const auto begin = (object->dlpi_addr + segment.p_vaddr) / page * page;
    const auto end = object->dlpi_addr + segment.p_vaddr + segment.p_memsz;
    // Refused for the kernel's own page of code, which is no file's.
    ::madvise(std::bit_cast<void*>(begin), end - begin, MADV_DONTNEED);
  }
  return 0;
}

// What only the start needed: the heap of reading configuration and ledger, and the code that ran once.
void give_back_memory() {
#ifdef TURNPIKE_MIMALLOC
  mi_collect(true);
#endif
  ::dl_iterate_phdr(forget_code, nullptr);
}

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
  give_back_memory();
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
