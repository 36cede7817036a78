// A gateway and its nodes as real processes, with a real database in a folder of their own.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "client.hpp"
#include "common/temp_folder.hpp"
#include "process.hpp"

namespace turnpike::test {

// A simulated node.
class SimNode {
 public:
  SimNode(const TempFolder& folder, const std::string& name, std::vector<std::string> flags = {});
  [[nodiscard]] const std::string& address() const { return address_; }
  [[nodiscard]] nlohmann::json stats() const;
  // What its last request was: head fields and body.
  [[nodiscard]] nlohmann::json last() const;
  Child& process() { return *child_; }

 private:
  std::unique_ptr<Child> child_;
  std::string address_;
};

class NetworkTest : public testing::Test {
 protected:
  NetworkTest();
  void TearDown() override;

  // Adds a node `node-N` that serves m-1 and starts it.
  SimNode& add_node(std::vector<std::string> flags = {}, const nlohmann::json& more = nlohmann::json::object());
  // Starts `turnpike serve` with `config` as it is then.
  void start_gateway(ChildOptions options = {});
  // Ends it by SIGTERM; its exit code.
  int stop_gateway();
  std::string create_key(const std::string& credits, std::vector<std::string> flags = {});
  // Two files in PEM: a certificate of localhost, signed by its own key.
  void make_certificate(const std::string& certificate, const std::string& private_key) const;

  Answer ask(const std::string& key, const nlohmann::json& body,
             const std::string& path = "/v1/chat/completions") const;
  // A connection on which a stream was asked for, and its head read.
  std::pair<Client, Answer> open_stream(const std::string& key, const nlohmann::json& body) const;
  [[nodiscard]] nlohmann::json get(const std::string& key, const std::string& path) const;
  [[nodiscard]] std::string balance_usdc(const std::string& key) const;
  // The account's charges, newest first.
  [[nodiscard]] std::vector<nlohmann::json> charges(const std::string& key) const;
  // Value of a metric without labels.
  [[nodiscard]] double metric(const std::string& name) const;
  [[nodiscard]] bool no_hold_is_left() const;
  static Headers bearer(const std::string& key);
  static nlohmann::json chat(const std::string& prompt, bool stream = false);

  TempFolder folder;
  nlohmann::json config;
  std::string address;
  std::string admin;
  std::vector<std::unique_ptr<SimNode>> nodes;
  std::unique_ptr<Child> gateway;
  bool expect_clean_exit = true;
};

}  // namespace turnpike::test
