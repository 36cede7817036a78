#include "node.hpp"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/http/field.hpp>
#include <chrono>
#include <cstdio>
#include <exception>
#include <nlohmann/json.hpp>
#include <utility>

namespace turnpike::simnode {
namespace {

namespace http = boost::beast::http;
constexpr auto as_values = asio::as_tuple(asio::use_awaitable);

// Where a [[sim ...]] directive is looked for: what the answer follows from.
std::string_view directive_text(const Prompt& prompt) {
  return prompt.said;
}

std::string directive_text(const EmbeddingPrompt& prompt) {
  std::string all;
  for (const std::string& input : prompt.inputs) all += input;
  return all;
}

}  // namespace

struct Node::Request {
  Connection& connection;
  std::int64_t number;
  std::string method;
  std::string target;
  std::string path;  // the target without its query
  std::string body;
  std::string authorization;
  bool keep_alive = true;
  bool inference = false;
  Behaviour behaviour;
  Progress progress;

  AnswerContext context(std::uint32_t seed) {
    return {.connection = connection,
            .behaviour = behaviour,
            .progress = progress,
            .number = number,
            .seed = seed,
            .keep_alive = keep_alive};
  }
};

Node::Node(asio::io_context& io, NodeOptions options) : options_(std::move(options)), acceptor_(io, options_.listen) {}

asio::awaitable<void> Node::accept_loop() {
  asio::steady_timer pause(acceptor_.get_executor());
  while (acceptor_.is_open()) {
    auto [error, socket] = co_await acceptor_.async_accept(as_values);
    if (!acceptor_.is_open()) co_return;
    if (error) {  // out of descriptors: try again when some may have been given back
      pause.expires_after(std::chrono::milliseconds(50));
      (void)co_await pause.async_wait(as_values);
      continue;
    }
    auto connection = std::make_shared<Connection>(std::move(socket));
    connections_.insert(connection);
    ++stats_.connections;
    ++stats_.connections_total;
    asio::co_spawn(acceptor_.get_executor(), serve(connection), [this, connection](const std::exception_ptr& fault) {
      connection->close(true);
      connections_.erase(connection);
      --stats_.connections;
      if (!fault) return;
      try {
        std::rethrow_exception(fault);
      } catch (const std::exception& e) {
        std::fprintf(stderr, "turnpike-simnode: %s\n", e.what());
      }
    });
  }
}

void Node::stop() {
  boost::system::error_code ignored;
  acceptor_.close(ignored);
  for (const auto& connection : connections_) connection->close(false);
}

asio::awaitable<void> Node::serve(std::shared_ptr<Connection> connection) {
  using asio::experimental::awaitable_operators::operator&&;
  Request* current = nullptr;
  co_await (connection->read_loop([this, &current] { note_gone(current); }) && serve_requests(*connection, current));
}

void Node::note_gone(const Request* current) {
  if (current == nullptr || !current->inference || current->progress.complete) return;
  stats_.add({.request = current->number,
              .steady_us = steady_us(),
              .tokens_sent = current->progress.tokens_sent,
              .path = current->path});
}

asio::awaitable<void> Node::serve_requests(Connection& connection, Request*& current) {
  while (connection.open()) {
    RequestParser parser;
    const auto read = co_await connection.next_request(parser);
    if (read == Connection::Read::malformed) {
      (void)co_await connection.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
      connection.close(false);
    }
    if (read != Connection::Read::request) co_return;
    auto message = parser.release();
    Request request{.connection = connection,
                    .number = stats_.requests + 1,
                    .method = message.method_string(),
                    .target = message.target(),
                    .path = {},
                    .body = std::move(message.body()),
                    .authorization = message[http::field::authorization],
                    .keep_alive = message.keep_alive(),
                    .inference = false,
                    .behaviour = options_.behaviour,
                    .progress = {}};
    request.path = request.target.substr(0, request.target.find('?'));
    if (request.path.starts_with("/v1/")) {
      ++stats_.requests;
      if (request.method == "POST") {
        stats_.last = {.method = request.method, .target = request.target, .fields = {}, .body = request.body};
        for (const auto& field : message) stats_.last.fields.emplace_back(field.name_string(), field.value());
      }
    }
    current = &request;
    co_await answer(request);
    if (request.inference) {
      --stats_.in_flight;
      stats_.tokens_sent += request.progress.tokens_sent;
      if (request.progress.complete) ++stats_.completed;
    }
    current = nullptr;
    connection.shape_writes(0, 0);
  }
}

asio::awaitable<void> Node::answer(Request& request) {
  const AnswerContext context = request.context(options_.seed);
  const int health = static_cast<int>(options_.behaviour.health);
  int status = 200;
  std::string body;
  if (request.path.starts_with("/sim/")) {
    co_await answer_sim(request);
    co_return;
  }
  if (request.path == "/health") {
    status = health;
    body = R"({"status":"ok"})";
  } else if (!options_.api_key.empty() && request.authorization != "Bearer " + options_.api_key) {
    status = 401;
    body = error_body(status, "wrong API key");
  } else if (request.method == "GET" && request.path == "/v1/models") {
    status = health;
    body = models_body(options_.models, 1'700'000'000);
  } else if (request.method == "POST" && request.path.starts_with("/v1/")) {
    co_await answer_inference(request);
    co_return;
  } else {
    status = 404;
    body = error_body(status, "no such route");
  }
  co_await send_whole(context, status, "application/json", std::move(body));
}

asio::awaitable<void> Node::answer_sim(Request& request) {
  const Behaviour plain;  // the simulation's own routes never misbehave
  AnswerContext context{.connection = request.connection,
                        .behaviour = plain,
                        .progress = request.progress,
                        .number = request.number,
                        .seed = 0,
                        .keep_alive = request.keep_alive};
  int status = 200;
  std::string body = "{}";
  if (request.path == "/sim/stats") {
    body = stats_body(stats_);
  } else if (request.path == "/sim/last") {
    body = last_body(stats_.last);
  } else if (request.path == "/sim/behaviour" && request.method == "POST") {
    const std::string fault = change_behaviour(request.body);
    if (!fault.empty()) {
      status = 400;
      body = error_body(status, fault);
    }
  } else {
    status = 404;
    body = error_body(status, "no such route");
  }
  co_await send_whole(context, status, "application/json", std::move(body));
}

// {"key": value, ...}; "reset": true first goes back to the defaults of a node without flags; "models": [...] replaces
// the list. All or nothing. Returns the fault, or "".
std::string Node::change_behaviour(std::string_view body) {
  const auto root = nlohmann::json::parse(body, nullptr, false);
  if (!root.is_object()) return "the body is not a JSON object";
  Behaviour changed = root.value("reset", false) ? Behaviour() : options_.behaviour;
  std::vector<std::string> models = options_.models;
  for (const auto& [key, value] : root.items()) {
    if (key == "reset") continue;
    if (key == "models") {
      if (!value.is_array() || !std::ranges::all_of(value, [](const auto& one) { return one.is_string(); })) {
        return "models needs an array of strings";
      }
      models = value.get<std::vector<std::string>>();
      continue;
    }
    std::string text = value.is_string() ? value.get<std::string>() : value.dump();
    if (value.is_boolean()) text = value.get<bool>() ? "1" : "0";
    if (const auto fault = changed.set(key, text)) return *fault;
  }
  options_.behaviour = changed;
  options_.models = std::move(models);
  return {};
}

asio::awaitable<void> Node::answer_inference(Request& request) {
  request.inference = true;
  ++stats_.prompts;
  stats_.in_flight_peak = std::max(stats_.in_flight_peak, ++stats_.in_flight);
  const AnswerContext context = request.context(options_.seed);
  std::string fault;
  int status = 400;
  const auto prepare = [&](const auto& prompt) {
    if (const auto wrong = request.behaviour.apply_directives(directive_text(prompt))) fault = *wrong;
    const bool listed = std::ranges::find(options_.models, prompt.model) != options_.models.end();
    if (fault.empty() && request.behaviour.strict_models != 0 && !listed) {
      status = 404;
      fault = "no such model";
    }
    request.connection.shape_writes(request.behaviour.split, request.behaviour.split_delay_us);
    return fault.empty();
  };
  if (request.path == "/v1/embeddings") {
    const auto prompt = scan_embedding(request.body);
    if (!prompt) {
      fault = prompt.error();
    } else if (prepare(*prompt)) {
      co_await play_embedding(context, *prompt);
    }
  } else if (request.path == "/v1/chat/completions" || request.path == "/v1/completions") {
    const auto prompt = request.path == "/v1/completions" ? scan_completion(request.body) : scan_chat(request.body);
    if (!prompt) {
      fault = prompt.error();
    } else if (prepare(*prompt)) {
      co_await play_prompt(context, *prompt);
    }
  } else {
    status = 404;
    fault = "no such route";
  }
  if (!fault.empty()) co_await send_whole(context, status, "application/json", error_body(status, fault));
}

}  // namespace turnpike::simnode
