// turnpike-simnode: a node with no model. It answers the OpenAI API (chat and text completions, embeddings, models)
// with text that follows from the prompt (the rule is in speech.hpp), at a set speed, and misbehaves on request: by
// flag, by POST /sim/behaviour, or by a directive in the prompt such as [[sim tokens=40 die_after=7]]. GET /sim/stats
// says what it has seen, GET /sim/last what it was sent. Prints "listening on ADDRESS:PORT" first; exits 0 on SIGTERM.
#include <CLI/CLI.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/signal_set.hpp>
#include <charconv>
#include <cstdio>
#include <exception>
#include <stdexcept>

#include "node.hpp"

namespace {

namespace asio = boost::asio;
using turnpike::simnode::Behaviour;

asio::ip::tcp::endpoint parse_endpoint(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  std::uint16_t port = 0;
  const char* end = text.data() + text.size();
  if (colon == std::string::npos || std::from_chars(text.data() + colon + 1, end, port).ptr != end) {
    throw std::runtime_error("--listen needs ADDRESS:PORT");
  }
  return {asio::ip::make_address(text.substr(0, colon)), port};
}

void set_or_throw(Behaviour& behaviour, std::string_view key, std::string_view value) {
  if (const auto fault = behaviour.set(key, value)) throw std::runtime_error(*fault);
}

int run(turnpike::simnode::NodeOptions options) {
  asio::io_context io(1);
  turnpike::simnode::Node node(io, std::move(options));
  const auto endpoint = node.endpoint();
  std::printf("listening on %s:%u\n", endpoint.address().to_string().c_str(), endpoint.port());
  std::fflush(stdout);
  asio::signal_set signals(io, SIGTERM, SIGINT);
  signals.async_wait([&node](const boost::system::error_code&, int) { node.stop(); });
  asio::co_spawn(io, node.accept_loop(), [](const std::exception_ptr& fault) {
    if (fault) std::rethrow_exception(fault);
  });
  io.run();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    CLI::App app("A node with no model that answers the OpenAI API, for tests, demonstrations and benchmarks");
    std::string listen = "127.0.0.1:0";
    std::vector<std::string> settings;
    std::string tokens_per_second = "0";
    std::string delay_ms = "0";
    std::string tokens = "16";
    turnpike::simnode::NodeOptions options{.listen = {}, .models = {"m-1"}, .api_key = {}, .seed = 0, .behaviour = {}};
    app.add_option("--listen", listen, "ADDRESS:PORT; port 0 takes a free one")->capture_default_str();
    app.add_option("--models", options.models, "models it lists, with commas between")->delimiter(',');
    app.add_option("--tokens", tokens, "tokens an answer");
    app.add_option("--tokens-per-second", tokens_per_second, "speed; 0: as fast as it goes");
    app.add_option("--first-token-delay-ms", delay_ms, "wait before the first byte");
    app.add_option("--api-key", options.api_key, "asks for Authorization: Bearer KEY");
    app.add_option("--seed", options.seed, "other answers to the same prompts");
    app.add_option("--set", settings, "key=value of a behaviour, again for more");
    app.footer("Behaviours (--set, POST /sim/behaviour, [[sim key=value]] in the prompt):\n" +
               turnpike::simnode::behaviour_reference());
    CLI11_PARSE(app, argc, argv);
    options.listen = parse_endpoint(listen);
    set_or_throw(options.behaviour, "tokens", tokens);
    set_or_throw(options.behaviour, "tokens_per_second", tokens_per_second);
    set_or_throw(options.behaviour, "delay_ms", delay_ms);
    for (const std::string& setting : settings) {
      const std::size_t equals = setting.find('=');
      set_or_throw(options.behaviour, setting.substr(0, equals),
                   equals == std::string::npos ? "1" : setting.substr(equals + 1));
    }
    return run(std::move(options));
  } catch (const std::exception& e) {
    std::fprintf(stderr, "turnpike-simnode: %s\n", e.what());
    return 1;
  }
}
