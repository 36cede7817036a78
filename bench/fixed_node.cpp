// turnpike-bench-node: a node that costs next to nothing, so that what is measured is the proxy before it. Every answer
// is made at start. The model of the request picks it: without "stream":true a 1 KB chat answer; with it a stream of 34
// events (a role, 30 pieces of text, the end, the usage, [DONE]) in one write for any model, event by event (a write
// each, in turn among the open streams) for m-event-write; for m-hold one event and then silence until the client
// closes. Prints "listening on ADDRESS:PORT" first.
//   turnpike-bench-node [--listen ADDRESS:PORT]
#include <unistd.h>

#include <array>
#include <memory>
#include <unordered_map>
#include <vector>

#include "socket.hpp"

namespace {

struct Answers {
  std::string whole;               // head and body
  std::string stream;              // head and every event
  std::vector<std::size_t> steps;  // where each write of an event-by-event stream ends in `stream`
  std::string models;
};

std::string with_head(const std::string& body) {
  return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + body;
}

std::string in_chunk(const std::string& data) {
  const std::string event = "data: " + data + "\n\n";
  std::array<char, 16> size{};
  char* const end = std::to_chars(size.data(), size.data() + size.size(), event.size(), 16).ptr;
  return std::string(size.data(), end) + "\r\n" + event + "\r\n";
}

std::string delta(const std::string& inner, const std::string& reason) {
  return R"({"id":"chatcmpl-8f14e45fceea167a","object":"chat.completion.chunk","created":1704067200,"model":"m-1",)"
         R"("choices":[{"index":0,"delta":)" +
         inner + R"(,"finish_reason":)" + reason + "}]}";
}

Answers make_answers() {
  constexpr std::size_t answer_bytes = 1024;
  constexpr int text_events = 30;
  Answers out;
  const std::string before =
      R"({"id":"chatcmpl-8f14e45fceea167a","object":"chat.completion","created":1704067200,"model":"m-1",)"
      R"("choices":[{"index":0,"message":{"role":"assistant","content":")";
  const std::string after = R"("},"finish_reason":"stop"}],"usage":{"prompt_tokens":24,"completion_tokens":160,)"
                            R"("total_tokens":184}})";
  std::string text;
  while (before.size() + text.size() + after.size() < answer_bytes) text += "words ";
  text.resize(answer_bytes - before.size() - after.size());
  out.whole = with_head(before + text + after);

  out.stream = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
  const auto add = [&out](const std::string& data) {
    out.stream += in_chunk(data);
    out.steps.push_back(out.stream.size());
  };
  add(delta(R"({"role":"assistant","content":""})", "null"));
  for (int i = 0; i < text_events; ++i) add(delta(R"({"content":" words"})", "null"));
  add(delta("{}", R"("stop")"));
  add(R"({"id":"chatcmpl-8f14e45fceea167a","object":"chat.completion.chunk","created":1704067200,"model":"m-1",)"
      R"("choices":[],"usage":{"prompt_tokens":24,"completion_tokens":30,"total_tokens":54}})");
  add("[DONE]");
  out.stream += "0\r\n\r\n";
  out.steps.back() = out.stream.size();

  std::string models;
  for (const char* model : {"m-1", "m-one-write", "m-event-write", "m-hold"}) {
    models += std::string(models.empty() ? "" : ",") + R"({"id":")" + model + R"(","object":"model"})";
  }
  out.models = with_head(R"({"object":"list","data":[)" + models + "]}");
  return out;
}

struct Client {
  std::string in;
  std::string_view out;  // what is still to be written
  std::size_t step = 0;  // of an event-by-event stream
  bool by_event = false;
  bool blocked = false;
};

class FixedNode {
 public:
  explicit FixedNode(const std::string& listen)
      : epoll_(epoll_create1(EPOLL_CLOEXEC)), listener_(bench::listen_at(listen, epoll_)), answers_(make_answers()) {}

  [[noreturn]] void run() {
    std::array<epoll_event, 512> events{};
    for (;;) {
      const int count = epoll_wait(epoll_, events.data(), events.size(), streaming_.empty() ? -1 : 0);
      for (int i = 0; i < count; ++i) {
        const epoll_event& event = events[static_cast<std::size_t>(i)];
        if (event.data.fd == listener_) {
          accept_all();
        } else {
          ready(event.data.fd, event.events);
        }
      }
      step_streams();
    }
  }

 private:
  void accept_all() {
    for (;;) {
      const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) return;
      bench::no_delay(fd);
      clients_[fd] = std::make_unique<Client>();
      bench::watch(epoll_, EPOLL_CTL_ADD, fd, EPOLLIN);
    }
  }

  void ready(int fd, std::uint32_t events) {
    const auto found = clients_.find(fd);
    if (found == clients_.end()) return;
    Client& client = *found->second;
    if ((events & EPOLLOUT) != 0) {
      bench::watch(epoll_, EPOLL_CTL_MOD, fd, EPOLLIN);
      client.blocked = false;
      if (!write_out(fd, client)) return;
    }
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0) return;
    std::array<char, 16384> bytes{};
    const ssize_t count = recv(fd, bytes.data(), bytes.size(), 0);
    if (count == 0 || (count < 0 && errno != EAGAIN)) {
      drop(fd);
      return;
    }
    if (count > 0) client.in.append(bytes.data(), static_cast<std::size_t>(count));
    if (client.out.empty()) (void)take_request(fd, client);
  }

  // Answers the first whole request in the buffer, if there is one. The next is taken when this one is written.
  // False when the client was dropped.
  bool take_request(int fd, Client& client) {
    const std::size_t head_end = client.in.find("\r\n\r\n");
    if (head_end == std::string::npos) return true;
    const std::string_view head = std::string_view(client.in).substr(0, head_end);
    const std::size_t body_start = head_end + 4;
    const std::size_t body_bytes = content_length(head);
    if (client.in.size() < body_start + body_bytes) return true;
    const std::string_view body = std::string_view(client.in).substr(body_start, body_bytes);
    const auto has = [&body](std::string_view what) { return body.find(what) != std::string_view::npos; };
    client.by_event = false;
    if (head.starts_with("GET ")) {
      client.out = answers_.models;
    } else if (!has("\"stream\":true") && !has("\"stream\": true")) {
      client.out = answers_.whole;
    } else if (has("m-hold")) {
      client.out = std::string_view(answers_.stream).substr(0, answers_.steps[0]);
    } else {
      client.out = answers_.stream;
      client.by_event = has("m-event-write");
      client.step = 0;
    }
    client.in.erase(0, body_start + body_bytes);
    if (!client.by_event) return write_out(fd, client);
    streaming_.push_back(fd);
    return true;
  }

  static std::size_t content_length(std::string_view head) {
    constexpr std::string_view name = "\r\ncontent-length:";
    const auto same = [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a + 32 : a) == b; };
    const auto found = std::ranges::search(head, name, same);
    if (found.empty()) return 0;
    std::string_view value(found.end(), head.end());
    value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
    std::size_t out = 0;
    std::from_chars(value.data(), value.data() + value.size(), out);
    return out;
  }

  // False when the client was dropped.
  bool write_out(int fd, Client& client) {
    while (!client.out.empty() && !client.blocked) {
      std::size_t bytes = client.out.size();
      if (client.by_event) bytes -= answers_.stream.size() - answers_.steps[client.step];
      const ssize_t count = send(fd, client.out.data(), bytes, MSG_NOSIGNAL);
      if (count < 0 && errno != EAGAIN) {
        drop(fd);
        return false;
      }
      if (count > 0) client.out.remove_prefix(static_cast<std::size_t>(count));
      if (count < static_cast<ssize_t>(bytes)) {
        client.blocked = true;
        bench::watch(epoll_, EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLOUT);
      } else if (client.by_event) {
        ++client.step;
        return true;
      }
    }
    if (client.out.empty() && !client.in.empty()) return take_request(fd, client);
    return true;
  }

  // One event for each open event-by-event stream.
  void step_streams() {
    const std::vector<int> turn = std::move(streaming_);
    streaming_.clear();
    for (const int fd : turn) {
      const auto found = clients_.find(fd);
      if (found == clients_.end() || found->second->out.empty()) continue;
      if (!write_out(fd, *found->second)) continue;
      if (!found->second->out.empty()) streaming_.push_back(fd);
    }
  }

  void drop(int fd) {
    close(fd);
    clients_.erase(fd);
  }

  int epoll_;
  int listener_;
  Answers answers_;
  std::unordered_map<int, std::unique_ptr<Client>> clients_;
  std::vector<int> streaming_;
};

}  // namespace

int main(int argc, char** argv) {
  bench::raise_descriptor_limit();
  FixedNode node(bench::option(argc, argv, "--listen", "127.0.0.1:0"));
  node.run();
}
