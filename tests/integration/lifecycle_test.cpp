// A gateway's life under its operator's signals, and TLS on both sides.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <sstream>

#include "support/network.hpp"

namespace turnpike::test {
namespace {

using nlohmann::json;

class Lifecycle : public NetworkTest {
 protected:
  void rewrite_config() { std::ofstream(folder.file("turnpike.json")) << config.dump(2); }
  [[nodiscard]] std::string about_memory(const std::string& file) const {
    std::ifstream in("/proc/" + std::to_string(gateway->id()) + "/" + file);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  // As smaps has it (proc(5)): what may be held in huge pages.
  [[nodiscard]] bool may_use_huge_pages() const {
    std::istringstream areas(about_memory("smaps"));
    for (std::string line; std::getline(areas, line);) {
      if (line.starts_with("VmFlags:") && line.contains(" hg")) return true;
    }
    return false;
  }
  // So many clients connected at once, each of them served.
  std::vector<Client> connect(std::size_t count) const {
    std::vector<Client> clients;
    for (std::size_t i = 0; i < count; ++i) {
      clients.emplace_back(address).request("GET", "/livez", {});
      EXPECT_EQ(clients.back().read_answer().status, 200);
    }
    return clients;
  }
};

TEST_F(Lifecycle, sigterm_lets_a_running_stream_end_and_takes_no_new_one) {
  add_node();
  start_gateway();
  const auto key = create_key("100");
  auto [client, answer] = open_stream(key, chat("[[sim tokens=40 interval_ms=20]] x", true));
  ASSERT_TRUE(client.read_until(answer, "\"content\":\" "));
  gateway->signal(SIGTERM);
  gateway->wait_for_output("draining");
  EXPECT_THROW(Client{address}, std::runtime_error);
  client.read_rest(answer);
  EXPECT_TRUE(answer.done()) << "what ran is finished";
  EXPECT_EQ(gateway->wait(), 0);
  start_gateway();
  EXPECT_EQ(charges(key).size(), 1U) << "and charged";
}

TEST_F(Lifecycle, what_runs_past_the_drain_timeout_is_ended_and_charged_for_what_was_relayed) {
  auto& node = add_node();
  config["drain_timeout_ms"] = 300;
  start_gateway();
  const auto key = create_key("100");
  auto [client, answer] = open_stream(key, chat("[[sim tokens=100000 ignore_max_tokens=1 interval_ms=20]] x", true));
  ASSERT_TRUE(client.read_until(answer, "\"content\":\" "));
  gateway->signal(SIGTERM);
  client.read_rest(answer);
  EXPECT_FALSE(answer.done());
  EXPECT_EQ(gateway->wait(), 0);
  EXPECT_TRUE(eventually([&] { return node.stats()["in_flight"] == 0; }));
  start_gateway();
  const auto rows = charges(key);
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0]["basis"], "relayed");
}

TEST_F(Lifecycle, sighup_takes_models_prices_and_nodes_while_requests_run) {
  add_node();
  start_gateway();
  const auto key = create_key("100");
  auto [client, answer] = open_stream(key, chat("[[sim tokens=30 interval_ms=20]] x", true));
  ASSERT_TRUE(client.read_until(answer, "content"));
  config["models"].push_back(config["models"][0]);
  config["models"][1]["id"] = "m-2";
  config["nodes"][0]["models"] = {"m-1", "m-2"};
  rewrite_config();
  gateway->signal(SIGHUP);
  EXPECT_TRUE(eventually([&] { return get(key, "/v1/models")["data"].size() == 2; }));
  auto body = chat("x");
  body["model"] = "m-2";
  EXPECT_EQ(ask(key, body).status, 200);
  client.read_rest(answer);
  EXPECT_TRUE(answer.done());
}

TEST_F(Lifecycle, a_faulty_or_too_large_change_is_not_taken_at_all) {
  add_node();
  start_gateway();
  const auto key = create_key("100");
  config["models"][0]["id"] = "m-other";
  config["nodes"][0]["models"] = {"m-other"};
  config["nodes"][0]["capacity"] = -1;
  rewrite_config();
  gateway->signal(SIGHUP);
  gateway->wait_for_output("not reloaded: ");
  config["nodes"][0]["capacity"] = 1;
  config["listen"] = "127.0.0.1:1";
  rewrite_config();
  gateway->signal(SIGHUP);
  gateway->wait_for_output("/listen");
  EXPECT_EQ(get(key, "/v1/models")["data"][0]["id"], "m-1");
  EXPECT_EQ(ask(key, chat("x")).status, 200);
}

TEST_F(Lifecycle, faults_of_a_configuration_are_named_all_at_once) {
  config["models"][0]["context_window"] = "big";
  config["surprise"] = 1;
  rewrite_config();
  const auto checked =
      run({std::string(TURNPIKE_BINARY_DIR) + "/turnpike", "config", "check", folder.file("turnpike.json")},
          folder.file("check.log"));
  EXPECT_NE(checked.code, 0);
  EXPECT_THAT(checked.output, testing::HasSubstr("/models/0/context_window"));
  EXPECT_THAT(checked.output, testing::HasSubstr("/surprise"));
}

TEST_F(Lifecycle, the_heap_of_a_busy_gateway_is_held_in_huge_pages_and_that_of_an_idle_one_is_not) {
  if (!std::filesystem::exists("/sys/kernel/mm/transparent_hugepage")) GTEST_SKIP() << "a kernel without huge pages";
  add_node();
  config["memory"]["huge_pages_from_connections"] = 8;
  start_gateway();
  if (!about_memory("maps").contains("mimalloc")) GTEST_SKIP() << "a gateway with a sanitizer's allocator";
  const auto key = create_key("100");
  {
    const auto few = connect(4);
    EXPECT_FALSE(may_use_huge_pages());
  }
  const auto many = connect(8);
  EXPECT_TRUE(may_use_huge_pages());
  EXPECT_EQ(ask(key, chat("x")).status, 200);
}

TEST_F(Lifecycle, no_heap_is_held_in_huge_pages_where_the_configuration_says_never) {
  config["memory"]["huge_pages_from_connections"] = 0;
  start_gateway();
  const auto many = connect(32);
  EXPECT_FALSE(may_use_huge_pages());
}

// A client under TLS that trusts anybody.
class TlsClient {
 public:
  explicit TlsClient(const std::string& address) : context_(SSL_CTX_new(TLS_client_method()), &SSL_CTX_free) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    void* raw = &at;
    EXPECT_EQ(::connect(socket_, static_cast<sockaddr*>(raw), sizeof at), 0);
    SSL_set_fd(tls_.get(), socket_);
    EXPECT_EQ(SSL_connect(tls_.get()), 1);
  }
  ~TlsClient() { ::close(socket_); }
  TlsClient(const TlsClient&) = delete;
  TlsClient& operator=(const TlsClient&) = delete;

  void send(const std::string& bytes) { SSL_write(tls_.get(), bytes.data(), static_cast<int>(bytes.size())); }
  std::string read() {
    char piece[4096];
    const int got = SSL_read(tls_.get(), piece, sizeof piece);
    return {piece, static_cast<std::size_t>(std::max(got, 0))};
  }
  // Reads to the end. True: the server said that it ends the connection (RFC 8446, section 6.1).
  bool is_told_the_end() {
    while (!read().empty()) continue;
    return (SSL_get_shutdown(tls_.get()) & SSL_RECEIVED_SHUTDOWN) != 0;
  }

 private:
  int socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_;
  std::unique_ptr<SSL, decltype(&SSL_free)> tls_{SSL_new(context_.get()), &SSL_free};
};

TEST_F(Lifecycle, a_tls_connection_does_not_end_in_silence) {
  const auto certificate = folder.file("cert.pem");
  ASSERT_NO_FATAL_FAILURE(make_certificate(certificate, folder.file("key.pem")));
  config["tls"] = {{"certificate_file", certificate}, {"private_key_file", folder.file("key.pem")}};
  start_gateway();
  TlsClient last_request(address);
  last_request.send("GET /livez HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(last_request.is_told_the_end());
  TlsClient malformed(address);
  malformed.send("nonsense\r\n\r\n");
  EXPECT_TRUE(malformed.is_told_the_end());
  TlsClient idle(address);
  idle.send("GET /livez HTTP/1.1\r\nHost: t\r\n\r\n");
  EXPECT_THAT(idle.read(), testing::StartsWith("HTTP/1.1 200"));
  EXPECT_EQ(stop_gateway(), 0);
  EXPECT_TRUE(idle.is_told_the_end());
}

// One gateway is the other's node, over TLS, with a key of its own.
TEST_F(Lifecycle, tls_is_spoken_to_clients_and_to_nodes_whose_certificates_are_checked) {
  const auto certificate = folder.file("cert.pem");
  ASSERT_NO_FATAL_FAILURE(make_certificate(certificate, folder.file("key.pem")));
  add_node();
  config["tls"] = {{"certificate_file", certificate}, {"private_key_file", folder.file("key.pem")}};
  start_gateway();
  const auto inner_key = create_key("100");
  const auto inner_port = address.substr(address.rfind(':'));
  const auto inner = std::move(gateway);

  config.erase("tls");
  config["data_dir"] = folder.file("outer");
  config["nodes"] = {{{"id", "inner"},
                      {"url", "https://localhost" + inner_port + "/v1"},
                      {"models", {"m-1"}},
                      {"capacity", 8},
                      {"api_key_file", folder.file("inner.key")}}};
  std::ofstream(folder.file("inner.key")) << inner_key;
  const auto start_outer = [&](const std::string& trusted) {
    rewrite_config();
    gateway =
        std::make_unique<Child>(std::vector<std::string>{std::string(TURNPIKE_BINARY_DIR) + "/turnpike", "serve",
                                                         "--config", folder.file("turnpike.json")},
                                folder.file("gateway.log"), ChildOptions{.environment = {{"SSL_CERT_FILE", trusted}}});
    gateway->wait_for_output("admin on http://");
    address = json::parse(std::ifstream(folder.file("outer/listening.json")))["listen"];
  };
  start_outer(certificate);
  const auto key = create_key("100");
  const auto whole = ask(key, chat("x"));
  EXPECT_EQ(whole.status, 200) << whole.body;
  EXPECT_EQ(whole.json()["metadata"]["node_id"], "inner");
  EXPECT_TRUE(ask(key, chat("x", true)).done());
  EXPECT_EQ(stop_gateway(), 0);
  // A certificate that nobody vouches for is no node.
  start_outer("/dev/null");
  EXPECT_NE(ask(key, chat("x")).status, 200);
  EXPECT_EQ(stop_gateway(), 0);
  inner->signal(SIGTERM);
  EXPECT_EQ(inner->wait(), 0);
}

TEST_F(Lifecycle, a_node_is_reached_by_whichever_address_of_its_name_takes_a_connection) {
  add_node();
  const auto at = nodes.back()->address();
  config["nodes"][0]["url"] = "http://both.example" + at.substr(at.rfind(':')) + "/v1";
  // One probe at the start has to do.
  config["scheduler"] = {{"probe_interval_ms", 600'000}};
  start_gateway({.environment = {{"LD_PRELOAD", TURNPIKE_TEST_NAMES},
                                 {"TURNPIKE_TEST_NAMES", "both.example=127.0.0.2+127.0.0.3+127.0.0.1"}}});
  const auto key = create_key("100");
  ASSERT_TRUE(eventually([&] { return ask(key, chat("x")).status == 200; }));
  EXPECT_TRUE(ask(key, chat("x", true)).done());
}

TEST_F(Lifecycle, a_node_whose_name_takes_long_to_resolve_delays_no_other) {
  const auto fifo = folder.file("slow");
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  add_node();
  const auto at = nodes.back()->address();
  config["nodes"][0]["url"] = "http://quick.example" + at.substr(at.rfind(':')) + "/v1";
  auto slow = config["nodes"][0];
  slow["id"] = "slow";
  slow["url"] = "http://slow.example/v1";
  config["nodes"].insert(config["nodes"].begin(), slow);
  // Asked for once.
  config["scheduler"] = {{"probe_interval_ms", 600'000}};
  start_gateway({.environment = {{"LD_PRELOAD", TURNPIKE_TEST_NAMES},
                                 {"TURNPIKE_TEST_NAMES", "slow.example=" + fifo + ";quick.example=127.0.0.1"}}});
  const auto key = create_key("100");
  EXPECT_TRUE(eventually([&] { return ask(key, chat("x")).status == 200; }));
  const int answer = ::open(fifo.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);  // NOLINT(*-vararg)
  EXPECT_GE(answer, 0) << "nobody asks for the slow name any more";
  ::close(answer);
}

TEST_F(Lifecycle, a_gateway_ends_while_a_name_is_being_resolved) {
  const auto fifo = folder.file("slow");
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  add_node();
  config["nodes"][0]["url"] = "http://slow.example/v1";
  start_gateway(
      {.environment = {{"LD_PRELOAD", TURNPIKE_TEST_NAMES}, {"TURNPIKE_TEST_NAMES", "slow.example=" + fifo}}});
  // There is a reader once the name is asked for. It waits for the end, which does not come.
  int asked = -1;
  ASSERT_TRUE(eventually([&] {
    asked = ::open(fifo.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);  // NOLINT(*-vararg)
    return asked >= 0;
  }));
  EXPECT_EQ(stop_gateway(), 0);
  ::close(asked);
}

}  // namespace
}  // namespace turnpike::test
