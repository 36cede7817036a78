// Nodes and clients that send anything: nothing crashes, is charged twice, is left held, or hangs, and nobody else
// notices. By chance, from a seed that a failure names.
#include <gmock/gmock.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/bad_wire.hpp"
#include "support/network.hpp"

namespace turnpike::test {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;

// TURNPIKE_TEST_SEED: another than the usual one.
std::uint64_t seed() {
  const char* wanted = std::getenv("TURNPIKE_TEST_SEED");  // NOLINT(concurrency-mt-unsafe)
  return wanted != nullptr ? std::stoull(wanted) : 20'261'127;
}

class Garbage : public NetworkTest {
 protected:
  Garbage() { config["tiers"]["open"] = json::object(); }
  void TearDown() override {
    NetworkTest::TearDown();
    if (HasFailure()) ADD_FAILURE() << "the seed was " << seed();
  }

  std::string create_open_key() { return create_key("1000", {"--tier", "open"}); }

  // How a stream may end: as it should, or with an error that is told, and never with both or neither.
  static void expect_a_clear_end(const Answer& answer) {
    bool told = false;
    for (const auto& event : answer.events()) {
      const auto data = json::parse(event, nullptr, false);
      told = told || (data.is_object() && data.contains("error"));
    }
    EXPECT_NE(answer.done(), told) << answer.body;
    EXPECT_TRUE(answer.complete || told) << answer.body;
  }
  static void expect_a_clear_error(const Answer& answer) {
    EXPECT_THAT(answer.status, testing::AnyOf(400, 502, 503, 504)) << answer.body;
    EXPECT_TRUE(answer.complete);
    EXPECT_TRUE(answer.json().contains("error")) << answer.body;
  }
  // Asks `times` on a connection that is kept where it can be. The jobs that were answered to the end.
  std::set<std::string> ask_bad_nodes(const std::string& key, int times) const {
    std::set<std::string> answered;
    std::optional<Client> client;
    for (int i = 0; i < times; ++i) {
      const bool stream = i % 3 != 0;
      if (!client) client.emplace(address);
      client->request("POST", "/v1/chat/completions", bearer(key), chat("x", stream).dump());
      const auto answer = client->read_answer();
      if (answer.status != 200) {
        expect_a_clear_error(answer);
      } else if (stream) {
        expect_a_clear_end(answer);
        if (answer.done()) answered.insert(answer.header("x-turnpike-job-id"));
      } else {
        EXPECT_TRUE(answer.complete);
        EXPECT_TRUE(answer.json().contains("choices")) << answer.body;
        answered.insert(answer.header("x-turnpike-job-id"));
      }
      if (!answer.complete || answer.header("connection") == "close") client.reset();
    }
    return answered;
  }
};

TEST_F(Garbage, from_nodes_ends_each_answer_clearly_and_charges_it_once) {
  constexpr int kClients = 8;
  constexpr int kRequests = 50;
  std::vector<std::unique_ptr<BadWire>> wires;
  for (const auto* engine : {"vllm", "llama.cpp", "openai"}) {
    const auto& node = add_node({}, {{"engine", engine}});
    wires.push_back(std::make_unique<BadWire>(node.address(), seed() + wires.size()));
    config["nodes"].back()["url"] = "http://" + wires.back()->address() + "/v1";
  }
  config["relay"] = {{"first_token_timeout_ms", 500}, {"between_tokens_timeout_ms", 500}};
  // They fail all the time, and are asked all the same.
  config["scheduler"] = {{"probe_interval_ms", 600'000}, {"breaker_failures", 1'000'000}};
  start_gateway();
  const auto key = create_open_key();
  ASSERT_TRUE(eventually([&] { return ask(key, chat("x")).status == 200; }));
  const auto before = charges(key).size();
  for (const auto& wire : wires) wire->turn_bad();

  std::vector<std::set<std::string>> answered(kClients);
  std::vector<std::thread> clients;
  for (auto& jobs : answered) clients.emplace_back([&] { jobs = ask_bad_nodes(key, kRequests); });
  for (auto& client : clients) client.join();

  EXPECT_TRUE(no_hold_is_left());
  std::map<std::string, int> charged;
  const auto all = charges(key);
  for (const auto& charge : all) ++charged[charge["job_id"]];
  std::size_t to_the_end = 0;
  for (const auto& jobs : answered) {
    to_the_end += jobs.size();
    for (const auto& job : jobs) EXPECT_EQ(charged[job], 1) << job;
  }
  EXPECT_EQ(charged.size(), all.size()) << "a job was charged twice";
  EXPECT_EQ(all.front()["balance_usdc"], balance_usdc(key));
  EXPECT_LE(all.size() - before, std::size_t{kClients * kRequests});
  // Neither all good nor all bad, or it shows nothing.
  EXPECT_GT(to_the_end, std::size_t{kClients * kRequests / 4});
  EXPECT_GT(metric("turnpike_node_retries_total"), kClients * kRequests / 20);
}

TEST_F(Garbage, from_clients_disturbs_no_other) {
  constexpr int kClients = 6;
  constexpr int kConnections = 60;
  add_node();
  config["http"] = {{"head_timeout_ms", 1'000}, {"body_timeout_ms", 1'000}};
  start_gateway();
  const auto key = create_open_key();
  ASSERT_TRUE(eventually([&] { return ask(key, chat("x")).status == 200; }));

  const auto with_head = [&](const std::string& line, const std::string& body) {
    return line + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + key +
           "\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  };
  json vision = chat("x");
  vision["messages"][0]["content"] = {{{"type", "text"}, {"text", "what is it \u00e9"}},
                                      {{"type", "image_url"}, {"image_url", {{"url", "data:image/png;base64,AAAA"}}}}};
  vision["stream_options"] = {{"include_usage", true}};
  vision["stream"] = true;
  const std::vector<std::string> requests{
      with_head("POST /v1/chat/completions", chat("x").dump()),
      with_head("POST /v1/chat/completions", chat("[[sim interval_ms=5]] x", true).dump()),
      with_head("POST /v1/chat/completions", vision.dump()),
      with_head("POST /v1/completions", R"({"model":"m-1","prompt":["a","b"],"max_tokens":5,"n":2})"),
      with_head("POST /v1/embeddings", R"({"model":"m-1","input":[[1,2],[3]]})"),
      with_head("GET /v1/credits/history?limit=5&cursor=", ""),
      with_head("DELETE /v1/results/x", ""),
      "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"a\":\r\n2\r\n1}\r\n"
      "0\r\n\r\n"};
  const auto send_garbage = [&](std::uint64_t own_seed) {
    std::mt19937_64 random(own_seed);
    for (int i = 0; i < kConnections; ++i) {
      Client client(address, milliseconds(30));
      try {
        for (auto times = random() % 3 + 1; times > 0; --times) {
          const auto& request = requests.at(random() % requests.size());
          const auto bytes = random() % 3 == 0 ? request : garbled(request, random);
          const auto cut = random() % (bytes.size() + 1);
          client.send(bytes.substr(0, cut));
          client.send(bytes.substr(cut));
          if (random() % 3 != 0) client.read_answer();
        }
      } catch (const std::runtime_error&) {
        // Refused, or no answer while more of the request is waited for: what garbage gets, others' tests know.
      }
      if (random() % 2 == 0) client.reset();
    }
  };
  std::atomic<bool> over = false;
  int asked = 0;
  std::thread neighbour([&] {
    while (!over) {
      const bool stream = ++asked % 2 == 0;
      const auto answer = ask(key, chat("x", stream));
      EXPECT_EQ(answer.status, 200) << answer.body;
      EXPECT_TRUE(answer.complete && answer.done() == stream) << answer.body;
    }
  });
  std::vector<std::thread> clients;
  for (int i = 0; i < kClients; ++i) clients.emplace_back(send_garbage, seed() + static_cast<std::uint64_t>(i));
  for (auto& client : clients) client.join();
  over = true;
  neighbour.join();
  EXPECT_GT(asked, 10);
  EXPECT_TRUE(no_hold_is_left());
  EXPECT_TRUE(gateway->running());
}

}  // namespace
}  // namespace turnpike::test
