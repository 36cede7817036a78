// A server of a test's own that answers JSON posts as it is told: well, badly, late or not at all.
#pragma once

#include <openssl/ssl.h>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

namespace turnpike::test {

class JsonServer {
 public:
  struct Reply {
    int status = 200;
    std::string body = {};
    std::string head = {};  // more lines of it, each ending in CRLF
    bool hang_up = false;   // ends the connection instead of answering
  };
  struct Asked {
    std::string path;
    std::string head;
    std::string text;
    nlohmann::json body;
  };
  using Answer = std::function<Reply(const Asked& asked)>;

  // Answers by `answer`, on a thread for each connection; under TLS with the key and certificate (PEM) of that file.
  explicit JsonServer(Answer answer, const std::string& tls_file = {});
  ~JsonServer();
  JsonServer(const JsonServer&) = delete;
  JsonServer& operator=(const JsonServer&) = delete;

  [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  [[nodiscard]] int port() const { return port_; }
  void answer_by(Answer answer);
  // Answers wait until release().
  void hold();
  void release();
  // How often that path was asked for; counted before the answer.
  [[nodiscard]] int count(const std::string& path) const;
  [[nodiscard]] std::vector<Asked> asked() const;
  // TLS: how many peers said that they end their connection, after their answer.
  [[nodiscard]] int said_end() const;

 private:
  void serve(int socket);
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  Answer answer_;
  std::vector<Asked> asked_;
  int said_end_ = 0;
  bool held_ = false;
  bool stopping_ = false;
  std::shared_ptr<SSL_CTX> tls_;  // null: plain
  int listener_ = -1;
  int port_ = 0;
  std::vector<std::thread> serving_;
  std::thread accepting_;
};

}  // namespace turnpike::test
