// turnpike-bench-sse: streams from a server as fast as it gives them. Each of N keep-alive connections asks for one
// stream after the other; a stream counts when it answered 200 and ended with "data: [DONE]" and the last chunk. Prints
// one line of JSON: streams, seconds, requests_per_second, p50_us and p99_us (request written to end read), errors.
//   turnpike-bench-sse --connect ADDRESS:PORT [--key KEY] [--model M] [--connections N] [--seconds S]
//   turnpike-bench-sse --connect ADDRESS:PORT [--key KEY] --hold N     opens N streams of the model m-hold, prints
//                                                                      "holding N" when each has begun, waits for stdin
#include <unistd.h>

#include <array>
#include <chrono>
#include <unordered_map>
#include <vector>

#include "socket.hpp"

namespace {

using SteadyClock = std::chrono::steady_clock;

struct Stream {
  SteadyClock::time_point started;
  std::string tail;  // the last bytes of the answer: enough to see its end
  bool good_status = false;
  bool begun = false;
};

class Load {
 public:
  Load(const std::string& server, std::string request)
      : epoll_(epoll_create1(EPOLL_CLOEXEC)), server_(bench::parse_address(server)), request_(std::move(request)) {}

  void open(int count) {
    for (int i = 0; i < count; ++i) start(dial());
  }

  // Streams back to back until `seconds` have passed.
  void run(double seconds) {
    const auto begin = SteadyClock::now();
    const auto end = begin + std::chrono::duration_cast<SteadyClock::duration>(std::chrono::duration<double>(seconds));
    while (SteadyClock::now() < end) turn(100, true);
    report(std::chrono::duration<double>(SteadyClock::now() - begin).count());
  }

  // Waits until each stream has sent something, then for the end of standard input.
  int hold() {
    while (begun_ < streams_.size() && errors_ == 0) turn(1000, false);
    if (errors_ != 0) {
      std::fprintf(stderr, "a stream to hold ended: %s\n", last_failure_.c_str());
      return 1;
    }
    std::printf("holding %zu\n", streams_.size());
    std::fflush(stdout);
    std::array<char, 16> bytes{};
    while (read(STDIN_FILENO, bytes.data(), bytes.size()) > 0) {
    }
    return 0;
  }

 private:
  int dial() {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const auto* generic = reinterpret_cast<const sockaddr*>(&server_);
    if (fd < 0 || connect(fd, generic, sizeof server_) != 0) bench::give_up("connect");
    bench::no_delay(fd);
    bench::watch(epoll_, EPOLL_CTL_ADD, fd, EPOLLIN);
    return fd;
  }

  void start(int fd) {
    Stream& stream = streams_[fd];
    stream = {.started = SteadyClock::now(), .tail = {}, .good_status = false, .begun = false};
    // A request is far smaller than a socket's buffer: it goes out whole or not at all.
    if (send(fd, request_.data(), request_.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request_.size())) {
      fail(fd, "the request was not taken");
    }
  }

  void turn(int timeout_ms, bool again) {
    std::array<epoll_event, 512> events{};
    const int count = epoll_wait(epoll_, events.data(), events.size(), timeout_ms);
    for (int i = 0; i < count; ++i) read_some(events[static_cast<std::size_t>(i)].data.fd, again);
  }

  void read_some(int fd, bool again) {
    static std::array<char, 65536> bytes{};
    Stream& stream = streams_[fd];
    const ssize_t count = recv(fd, bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (count < 0 && errno == EAGAIN) return;
    if (count <= 0) {
      fail(fd, "the connection ended");
      if (again) start(dial());
      return;
    }
    const std::string_view part(bytes.data(), static_cast<std::size_t>(count));
    if (stream.tail.empty()) {
      stream.good_status = part.starts_with("HTTP/1.1 200");
      if (!stream.good_status) {
        fail(fd, std::string(part.substr(0, 300)));
        if (again) start(dial());
        return;
      }
    }
    if (!stream.begun && part.find("data: ") != std::string_view::npos) {
      stream.begun = true;
      ++begun_;
    }
    keep_tail(stream.tail, part);
    if (!ended(stream.tail)) return;
    if (stream.tail.find("data: [DONE]") == std::string::npos) {
      fail(fd, "a stream ended without [DONE]");
      if (again) start(dial());
      return;
    }
    latencies_us_.push_back(static_cast<std::uint32_t>(
        std::chrono::duration_cast<std::chrono::microseconds>(SteadyClock::now() - stream.started).count()));
    if (again) start(fd);
  }

  static void keep_tail(std::string& tail, std::string_view part) {
    constexpr std::size_t tail_bytes = 512;
    if (part.size() >= tail_bytes) {
      tail.assign(part.substr(part.size() - tail_bytes));
      return;
    }
    tail += part;
    if (tail.size() > tail_bytes) tail.erase(0, tail.size() - tail_bytes);
  }

  // The last chunk, with trailers or without.
  static bool ended(const std::string& tail) {
    return tail.ends_with("\r\n\r\n") && tail.rfind("\r\n0\r\n") != std::string::npos;
  }

  void fail(int fd, std::string why) {
    ++errors_;
    last_failure_ = std::move(why);
    close(fd);
    streams_.erase(fd);
  }

  void report(double seconds) {
    std::ranges::sort(latencies_us_);
    const auto at = [this](std::size_t percent) -> std::uint32_t {
      return latencies_us_.empty() ? 0 : latencies_us_[(latencies_us_.size() - 1) * percent / 100];
    };
    const auto streams = latencies_us_.size();
    std::printf(
        "{\"streams\":%zu,\"seconds\":%.3f,\"requests_per_second\":%.1f,\"p50_us\":%u,\"p99_us\":%u,\"errors\":%zu}\n",
        streams, seconds, static_cast<double>(streams) / seconds, at(50), at(99), errors_);
    if (errors_ != 0) std::fprintf(stderr, "%zu errors, the last: %s\n", errors_, last_failure_.c_str());
  }

  int epoll_;
  sockaddr_in server_;
  std::string request_;
  std::unordered_map<int, Stream> streams_;
  std::vector<std::uint32_t> latencies_us_;
  std::size_t begun_ = 0;
  std::size_t errors_ = 0;
  std::string last_failure_;
};

std::string make_request(const std::string& key, const std::string& model) {
  const std::string body =
      R"({"model":")" + model +
      R"(","stream":true,"stream_options":{"include_usage":true},"max_tokens":256,)"
      R"("messages":[{"role":"system","content":"You are terse."},)"
      R"({"role":"user","content":"Say words, please: as many as you are asked for, and no more."}]})";
  std::string out = "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n";
  if (!key.empty()) out += "Authorization: Bearer " + key + "\r\n";
  return out + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

}  // namespace

int main(int argc, char** argv) {
  bench::raise_descriptor_limit();
  const auto option = [&](const char* name, const char* fallback) { return bench::option(argc, argv, name, fallback); };
  const int hold = std::stoi(option("--hold", "0"));
  Load load(option("--connect", "127.0.0.1:8080"),
            make_request(option("--key", ""), hold > 0 ? "m-hold" : option("--model", "m-one-write")));
  if (hold > 0) {
    load.open(hold);
    return load.hold();
  }
  load.open(std::stoi(option("--connections", "1")));
  load.run(std::stod(option("--seconds", "4")));
  return 0;
}
