// `turnpike dev`: a gateway, a node and a key in one step, to try things out.
#include <spdlog/spdlog.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <boost/asio/connect.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "run_gateway.hpp"
#include "turnpike/base/task_group.hpp"
#include "turnpike/telemetry/log.hpp"

namespace turnpike::app {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace fs = std::filesystem;
using asio::awaitable;
using nlohmann::json;

namespace {

constexpr auto kCredits = "1000";
constexpr std::size_t kCapacity = 8;

// An engine that people run on their own machine, where it listens unless told otherwise.
struct LocalEngine {
  const char* name;
  config::Engine engine;
  std::uint16_t port;
};
constexpr std::array kLocalEngines{LocalEngine{"llama.cpp", config::Engine::llama_cpp, 8080},
                                   LocalEngine{"Ollama", config::Engine::ollama, 11434},
                                   LocalEngine{"vLLM", config::Engine::vllm, 8000}};

// The models that a server on this machine lists; empty when there is none, or it does not answer as one within half a
// second.
std::vector<std::string> models_at(std::uint16_t port) {
  asio::io_context loop;
  beast::tcp_stream stream(loop);
  beast::http::request<beast::http::string_body> request(beast::http::verb::get, "/v1/models", 11);
  request.set(beast::http::field::host, "127.0.0.1");
  beast::http::response<beast::http::string_body> response;
  beast::flat_buffer buffer;
  bool whole = false;
  stream.expires_after(std::chrono::milliseconds(500));
  stream.async_connect(asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), port), [&](beast::error_code failed) {
    if (failed) return;
    beast::http::async_write(stream, request, [&](beast::error_code unsent, std::size_t) {
      if (unsent) return;
      beast::http::async_read(stream, buffer, response,
                              [&](beast::error_code unread, std::size_t) { whole = !unread; });
    });
  });
  loop.run();
  std::vector<std::string> models;
  if (!whole || response.result_int() != 200) return models;
  const auto body = json::parse(response.body(), nullptr, false);
  if (!body.is_object() || !body.contains("data") || !body["data"].is_array()) return models;
  for (const auto& model : body["data"]) {
    if (model.is_object() && model.contains("id") && model["id"].is_string()) models.push_back(model["id"]);
  }
  return models;
}

// A child process that ends with this one.
class SimulatedNode {
 public:
  SimulatedNode() = default;
  SimulatedNode(const SimulatedNode&) = delete;
  SimulatedNode& operator=(const SimulatedNode&) = delete;
  ~SimulatedNode() {
    if (child_ <= 0) return;
    ::kill(child_, SIGTERM);
    ::waitpid(child_, nullptr, 0);
  }

  // The address it listens on, or nullopt when it cannot be started.
  std::optional<std::string> start(const fs::path& program) {
    std::array<int, 2> out{};
    if (::pipe(out.data()) != 0) return std::nullopt;
    const auto parent = ::getpid();
    child_ = ::fork();
    if (child_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGTERM);
      // Ctrl-C is the gateway's to handle: the node serves what drains.
      ::setpgid(0, 0);
      if (::getppid() != parent) ::_exit(1);
      ::dup2(out[1], STDOUT_FILENO);
      ::close(out[0]);
      ::execl(program.c_str(), program.c_str(), "--listen", "127.0.0.1:0", "--models", "sim-1", nullptr);
      ::_exit(127);
    }
    ::close(out[1]);
    FILE* lines = ::fdopen(out[0], "r");
    if (lines == nullptr) return std::nullopt;
    std::array<char, 256> line{};
    const bool read = std::fgets(line.data(), line.size(), lines) != nullptr;
    std::fclose(lines);
    const std::string text = read ? line.data() : "";
    const std::string expected = "listening on ";
    if (!text.starts_with(expected)) return std::nullopt;
    return text.substr(expected.size(), text.find_last_not_of(" \n") + 1 - expected.size());
  }

 private:
  pid_t child_ = -1;
};

void add_model(config::Config& config, const std::string& id, bool everything) {
  config::Model model;
  model.id = id;
  model.owned_by = "dev";
  model.context_window = 32'768;
  model.capabilities.embeddings = everything;
  model.capabilities.vision = everything;
  model.capabilities.structured_output = everything;
  model.pricing.prompt_per_million_nanousd = 1'000'000'000;
  model.pricing.completion_per_million_nanousd = 2'000'000'000;
  config.models.push_back(std::move(model));
}

config::Node node_of(std::string id, std::string url, config::Engine engine, std::vector<std::string> models) {
  config::Node node;
  node.id = std::move(id);
  node.url = std::move(url);
  node.engine = engine;
  node.models = std::move(models);
  node.capacity = kCapacity;
  node.pool = "bus";
  return node;
}

void print_welcome(const std::string& address, const std::string& key, const std::string& model) {
  const std::string base = "http://" + address + "/v1";
  std::printf(
      "\n  base URL  %s\n  API key   %s\n  model     %s\n\n"
      "  curl -N %s/chat/completions -H 'Authorization: Bearer %s' -H 'Content-Type: application/json' "
      "-d '{\"model\":\"%s\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"Hello!\"}]}'\n\n",
      base.c_str(), key.c_str(), model.c_str(), base.c_str(), key.c_str(), model.c_str());
  std::fflush(stdout);
}

}  // namespace

int dev(const DevOptions& options) {
  telemetry::start_log("info", false);
  const ServeOptions serve_options{.config_file = {},
                                   .listen = options.listen,
                                   .data_dir = options.data_dir.empty() ? "data/dev" : options.data_dir};
  auto config = load_config(serve_options);
  if (!config) {
    for (const auto& fault : config.error()) spdlog::error("{}", fault);
    return 1;
  }
  // Several may run side by side: tools find the port that was taken in the data folder.
  config->admin_port_may_move = true;
  SimulatedNode simulated;
  for (const auto& local : kLocalEngines) {
    const auto models = models_at(local.port);
    if (models.empty()) continue;
    spdlog::info("using the {} server on port {}", local.name, local.port);
    for (const auto& model : models) add_model(*config, model, false);
    config->nodes.push_back(
        node_of("local", "http://127.0.0.1:" + std::to_string(local.port) + "/v1", local.engine, models));
    break;
  }
  if (config->nodes.empty()) {
    const auto program = fs::read_symlink("/proc/self/exe").parent_path() / "turnpike-simnode";
    const auto address = simulated.start(program);
    if (!address) {
      spdlog::error("cannot start {}", program.string());
      return 1;
    }
    spdlog::info("no local engine answers: using a simulated node on {}", *address);
    add_model(*config, "sim-1", true);
    config->nodes.push_back(node_of("sim", "http://" + *address + "/v1", config::Engine::llama_cpp, {"sim-1"}));
  }
  const std::string model = config->models.front().id;
  return run_gateway(*std::move(config), serve_options, [model](Gateway& gateway) -> awaitable<void> {
    const auto key = co_await gateway.create_key(kCredits);
    if (!key) {
      spdlog::error("cannot make a key: {}", key.error().message);
      co_return;
    }
    print_welcome(gateway.address(), *key, model);
  });
}

}  // namespace turnpike::app
