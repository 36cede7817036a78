#include "network.hpp"

#include <csignal>
#include <fstream>
#include <stdexcept>
#include <utility>

namespace turnpike::test {

using nlohmann::json;

namespace {

std::string program(const std::string& name) {
  return std::string(TURNPIKE_BINARY_DIR) + "/" + name;
}

}  // namespace

SimNode::SimNode(const TempFolder& folder, const std::string& name, std::vector<std::string> flags) {
  std::vector<std::string> command{program("turnpike-simnode"), "--listen", "127.0.0.1:0", "--models", "m-1"};
  command.insert(command.end(), flags.begin(), flags.end());
  child_ = std::make_unique<Child>(command, folder.file(name + ".log"));
  child_->wait_for_output("\n");
  const auto line = child_->output();
  const std::string before = "listening on ";
  address_ = line.substr(before.size(), line.find('\n') - before.size());
}

json SimNode::stats() const {
  return call(address_, "GET", "/sim/stats", {}).json();
}
json SimNode::last() const {
  return call(address_, "GET", "/sim/last", {}).json();
}

NetworkTest::NetworkTest() {
  config = {{"listen", "127.0.0.1:0"},
            {"admin", {{"listen", "127.0.0.1:0"}}},
            {"data_dir", folder.file("data")},
            {"log", {{"level", "debug"}}},
            {"models",
             {{{"id", "m-1"},
               {"capabilities", {"chat", "completion", "embeddings", "vision"}},
               {"context_window", 32768},
               {"pricing", {{"prompt_per_million_usd", "1.00"}, {"completion_per_million_usd", "2.00"}}}}}},
            {"nodes", json::array()},
            {"scheduler", {{"probe_interval_ms", 200}}}};
}

void NetworkTest::TearDown() {
  if (gateway && gateway->running()) {
    const int code = stop_gateway();
    if (expect_clean_exit) {
      EXPECT_EQ(code, 0) << "the gateway ends cleanly";
    }
  }
  if (HasFailure() && !address.empty()) {
    std::ifstream log(folder.file("gateway.log"));
    std::string line;
    while (std::getline(log, line)) ADD_FAILURE() << line;
  }
}

SimNode& NetworkTest::add_node(std::vector<std::string> flags, const json& more) {
  const auto name = "node-" + std::to_string(nodes.size() + 1);
  nodes.push_back(std::make_unique<SimNode>(folder, name, std::move(flags)));
  json node = {{"id", name},
               {"url", "http://" + nodes.back()->address() + "/v1"},
               {"models", {"m-1"}},
               {"capacity", 64},
               {"engine", "llama.cpp"}};
  node.update(more);
  config["nodes"].push_back(node);
  return *nodes.back();
}

void NetworkTest::start_gateway(ChildOptions options) {
  std::ofstream(folder.file("turnpike.json")) << config.dump(2);
  gateway = std::make_unique<Child>(
      std::vector<std::string>{program("turnpike"), "serve", "--config", folder.file("turnpike.json")},
      folder.file("gateway.log"), std::move(options));
  gateway->wait_for_output("admin on http://");
  const auto listening = json::parse(std::ifstream(folder.file("data/listening.json")));
  address = listening["listen"];
  admin = listening["admin"];
}

int NetworkTest::stop_gateway() {
  gateway->signal(SIGTERM);
  return gateway->wait();
}

std::string NetworkTest::create_key(const std::string& credits, std::vector<std::string> flags) {
  std::vector<std::string> command{program("turnpike"),          "keys",      "create", "--config",
                                   folder.file("turnpike.json"), "--credits", credits,  "--json"};
  command.insert(command.end(), flags.begin(), flags.end());
  const auto made = run(command, folder.file("keys.log"));
  if (made.code != 0) throw std::runtime_error("no key: " + made.output);
  return json::parse(made.output)["api_key"];
}

void NetworkTest::make_certificate(const std::string& certificate, const std::string& private_key) const {
  const auto made =
      run({"/usr/bin/openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", private_key, "-out",
           certificate, "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"},
          folder.file("openssl.log"));
  ASSERT_EQ(made.code, 0) << made.output;
}

Headers NetworkTest::bearer(const std::string& key) {
  return {{"Authorization", "Bearer " + key}, {"Content-Type", "application/json"}, {"Accept", "application/json"}};
}

json NetworkTest::chat(const std::string& prompt, bool stream) {
  json body = {{"model", "m-1"}, {"messages", {{{"role", "user"}, {"content", prompt}}}}};
  if (stream) body["stream"] = true;
  return body;
}

Answer NetworkTest::ask(const std::string& key, const json& body, const std::string& path) const {
  return call(address, "POST", path, bearer(key), body.dump());
}

std::pair<Client, Answer> NetworkTest::open_stream(const std::string& key, const json& body) const {
  Client client(address);
  client.request("POST", "/v1/chat/completions", bearer(key), body.dump());
  Answer answer = client.read_head();
  return {std::move(client), std::move(answer)};
}

json NetworkTest::get(const std::string& key, const std::string& path) const {
  return call(address, "GET", path, bearer(key)).json();
}

std::string NetworkTest::balance_usdc(const std::string& key) const {
  return get(key, "/v1/credits/balance")["balance_usdc"];
}

std::vector<json> NetworkTest::charges(const std::string& key) const {
  std::vector<json> out;
  std::string cursor;
  while (true) {
    const auto page = get(key, "/v1/credits/history?limit=200" + (cursor.empty() ? "" : "&cursor=" + cursor));
    for (const auto& row : page["data"]) {
      if (row["type"] == "charge") out.push_back(row);
    }
    if (page["next_cursor"].is_null()) return out;
    cursor = page["next_cursor"];
  }
}

double NetworkTest::metric(const std::string& name) const {
  const auto page = call(address, "GET", "/metrics", {}).body;
  const auto at = page.find("\n" + name + " ");
  return at == std::string::npos ? -1 : std::stod(page.substr(at + name.size() + 2));
}

bool NetworkTest::no_hold_is_left() const {
  return eventually([this] { return metric("turnpike_open_holds") == 0; });
}

}  // namespace turnpike::test
