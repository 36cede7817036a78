// A plain HTTP/1.1 client over a blocking socket, that shows a test every byte and every chunk.
#pragma once

#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace turnpike::test {

using Headers = std::vector<std::pair<std::string, std::string>>;

struct Answer {
  int status = 0;                              // 0: the connection ended before a head
  std::map<std::string, std::string> headers;  // names in lower case
  std::map<std::string, std::string> trailers = {};
  std::string body;
  bool complete = false;  // its framing ended as it should
  [[nodiscard]] nlohmann::json json() const { return nlohmann::json::parse(body, nullptr, false); }
  [[nodiscard]] std::string header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? "" : found->second;
  }
  [[nodiscard]] std::string trailer(const std::string& name) const {
    const auto found = trailers.find(name);
    return found == trailers.end() ? "" : found->second;
  }
  // The data of its events.
  [[nodiscard]] std::vector<std::string> events() const;
  // The text of a chat or completion stream's chunks.
  [[nodiscard]] std::string streamed_text() const;
  [[nodiscard]] bool done() const;
};

// One connection. Every wait is at most `patience`, then it throws.
class Client {
 public:
  explicit Client(const std::string& address, std::chrono::milliseconds patience = std::chrono::seconds(20));
  ~Client();
  Client(Client&& other) noexcept;
  Client& operator=(Client&&) = delete;
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void send(std::string_view bytes);
  // A whole request with a Content-Length.
  void request(std::string_view method, std::string_view path, const Headers& headers, std::string_view body = {});

  Answer read_answer();
  // The head of an answer; its body is read by read_until() or read_rest().
  Answer read_head();
  // Reads body bytes into `answer` until it holds `text`; false when it ended before.
  bool read_until(Answer& answer, std::string_view text);
  void read_rest(Answer& answer);
  // True when the peer has ended the connection and no byte is left.
  bool at_end();
  // Ends the connection: politely, or by a reset.
  void close();
  void reset();

 private:
  bool fill();  // false: the connection ended
  bool read_more(Answer& answer);
  bool read_trailers(Answer& answer);
  int socket_ = -1;
  std::chrono::milliseconds patience_;
  std::string buffer_;
  std::optional<std::size_t> length_;
  bool chunked_ = false;
  bool ended_ = false;
  bool head_only_ = false;
};

// One request on a connection of its own.
Answer call(const std::string& address, std::string_view method, std::string_view path, const Headers& headers,
            std::string_view body = {});

}  // namespace turnpike::test
