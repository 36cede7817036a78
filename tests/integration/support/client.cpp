#include "client.hpp"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <stdexcept>
#include <utility>

namespace turnpike::test {

std::vector<std::string> Answer::events() const {
  std::vector<std::string> out;
  std::size_t at = 0;
  while (true) {
    const auto end = body.find("\n\n", at);
    if (end == std::string::npos) return out;
    const auto event = body.substr(at, end - at);
    if (event.starts_with("data: ")) out.push_back(event.substr(6));
    at = end + 2;
  }
}

std::string Answer::streamed_text() const {
  std::string text;
  for (const auto& event : events()) {
    const auto chunk = nlohmann::json::parse(event, nullptr, false);
    if (!chunk.is_object() || !chunk.contains("choices") || chunk["choices"].empty()) continue;
    const auto& choice = chunk["choices"][0];
    const auto& holder = choice.contains("delta") ? choice["delta"] : choice;
    for (const auto* name : {"content", "text"}) {
      if (holder.contains(name) && holder[name].is_string()) text += holder[name].get<std::string>();
    }
  }
  return text;
}

bool Answer::done() const {
  const auto all = events();
  return !all.empty() && all.back() == "[DONE]";
}

Client::Client(const std::string& address, std::chrono::milliseconds patience) : patience_(patience) {
  const auto colon = address.rfind(':');
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(std::stoi(address.substr(colon + 1))));
  ::inet_pton(AF_INET, address.substr(0, colon).c_str(), &to.sin_addr);
  socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  void* raw = &to;
  if (::connect(socket_, static_cast<sockaddr*>(raw), sizeof to) != 0)
    throw std::runtime_error("cannot connect to " + address);
}

Client::Client(Client&& other) noexcept
    : socket_(std::exchange(other.socket_, -1)),
      patience_(other.patience_),
      buffer_(std::move(other.buffer_)),
      length_(other.length_),
      chunked_(other.chunked_),
      ended_(other.ended_),
      head_only_(other.head_only_) {}

Client::~Client() {
  close();
}

void Client::close() {
  if (socket_ >= 0) ::close(std::exchange(socket_, -1));
}

void Client::reset() {
  const linger now{1, 0};
  ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  close();
}

void Client::send(std::string_view bytes) {
  while (!bytes.empty()) {
    pollfd ready{socket_, POLLOUT, 0};
    if (::poll(&ready, 1, static_cast<int>(patience_.count())) != 1)
      throw std::runtime_error("the peer takes no bytes");
    const auto sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) return;  // the peer has ended it: what it said before can still be read
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

void Client::request(std::string_view method, std::string_view path, const Headers& headers, std::string_view body) {
  std::string text = std::string(method) + " " + std::string(path) + " HTTP/1.1\r\nHost: test\r\n";
  for (const auto& [name, value] : headers) text += name + ": " + value + "\r\n";
  if (!body.empty() || method == "POST") text += "Content-Length: " + std::to_string(body.size()) + "\r\n";
  head_only_ = method == "HEAD";
  send(text + "\r\n" + std::string(body));
}

bool Client::fill() {
  pollfd ready{socket_, POLLIN, 0};
  if (::poll(&ready, 1, static_cast<int>(patience_.count())) != 1) throw std::runtime_error("the peer is silent");
  std::string part(65536, '\0');
  const auto got = ::recv(socket_, part.data(), part.size(), 0);
  if (got <= 0) {
    ended_ = true;
    return false;
  }
  buffer_.append(part, 0, static_cast<std::size_t>(got));
  return true;
}

namespace {

// Takes a line of a head apart; its name in lower case.
void add_field(std::map<std::string, std::string>& fields, const std::string& line) {
  const auto colon = line.find(": ");
  if (colon == std::string::npos) return;
  std::string name = line.substr(0, colon);
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  fields[name] = line.substr(colon + 2);
}

}  // namespace

Answer Client::read_head() {
  Answer answer;
  std::size_t end = 0;
  while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
    if (!fill()) return answer;
  }
  const std::string head = buffer_.substr(0, end);
  buffer_.erase(0, end + 4);
  answer.status = std::stoi(head.substr(9, 3));
  std::size_t at = head.find("\r\n");
  while (at != std::string::npos) {
    const auto next = head.find("\r\n", at + 2);
    const auto line = head.substr(at + 2, next == std::string::npos ? std::string::npos : next - at - 2);
    add_field(answer.headers, line);
    at = next;
  }
  length_.reset();
  chunked_ = answer.header("transfer-encoding") == "chunked";
  if (answer.headers.contains("content-length")) length_ = std::stoul(answer.header("content-length"));
  if (head_only_ || answer.status == 204 || answer.status < 200) {
    length_ = 0;
    chunked_ = false;
  }
  if (length_ && *length_ == 0) answer.complete = true;
  return answer;
}

// Some more of the body; false when there is no more.
bool Client::read_more(Answer& answer) {
  if (answer.complete) return false;
  if (length_) {
    if (buffer_.empty() && !fill()) return false;
    const auto take = std::min(buffer_.size(), *length_ - answer.body.size());
    answer.body.append(buffer_, 0, take);
    buffer_.erase(0, take);
    answer.complete = answer.body.size() == *length_;
    return true;
  }
  if (!chunked_) {
    if (buffer_.empty() && !fill()) {
      answer.complete = true;
      return false;
    }
    answer.body += std::exchange(buffer_, {});
    return true;
  }
  std::size_t line = 0;
  while ((line = buffer_.find("\r\n")) == std::string::npos) {
    if (!fill()) return false;
  }
  const auto size = std::stoul(buffer_.substr(0, line), nullptr, 16);
  if (size == 0) {
    buffer_.erase(0, line + 2);
    return read_trailers(answer);
  }
  while (buffer_.size() < line + 2 + size + 2) {
    if (!fill()) return false;
  }
  answer.body.append(buffer_, line + 2, size);
  buffer_.erase(0, line + 2 + size + 2);
  return true;
}

// To the empty line behind the last chunk; false: the connection ended before it.
bool Client::read_trailers(Answer& answer) {
  while (true) {
    const auto end = buffer_.find("\r\n");
    if (end == std::string::npos) {
      if (!fill()) return false;
      continue;
    }
    const auto line = buffer_.substr(0, end);
    buffer_.erase(0, end + 2);
    if (line.empty()) break;
    add_field(answer.trailers, line);
  }
  answer.complete = true;
  return true;
}

bool Client::read_until(Answer& answer, std::string_view text) {
  while (answer.body.find(text) == std::string::npos) {
    if (!read_more(answer)) return false;
  }
  return true;
}

void Client::read_rest(Answer& answer) {
  while (read_more(answer)) {
  }
}

Answer Client::read_answer() {
  Answer answer = read_head();
  if (answer.status != 0) read_rest(answer);
  return answer;
}

bool Client::at_end() {
  while (!ended_) fill();
  return buffer_.empty();
}

Answer call(const std::string& address, std::string_view method, std::string_view path, const Headers& headers,
            std::string_view body) {
  Client client(address);
  client.request(method, path, headers, body);
  return client.read_answer();
}

}  // namespace turnpike::test
