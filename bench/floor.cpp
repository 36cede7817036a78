// turnpike-bench-floor: what is left of a gateway when all that makes it one is gone. It passes on bytes between a
// client and a node without reading them, takes the three SHA-256 that a receipt needs, and stores one row a request,
// many rows a transaction, on a thread of its own. Nothing that charges by durable receipts can cost less, whatever it
// is written in. No use but to be measured: a message is trusted to come in reads that end where it ends. Prints
// "listening on ADDRESS:PORT" first.
//   turnpike-bench-floor --node ADDRESS:PORT --data-dir DIR [--listen ADDRESS:PORT]
#include <openssl/evp.h>
#include <sqlite3.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "socket.hpp"

namespace {

// As Turnpike's are.
constexpr std::size_t kReceiptBytes = 800;  // of JSON, which is digested
constexpr std::size_t kFactsBytes = 133;    // of it that are stored
constexpr std::size_t kMostRows = 512;      // a transaction
constexpr std::chrono::milliseconds kCommitDelay{20};

using Digest = std::array<unsigned char, 32>;

void check(bool good, const char* what) {
  if (good) return;
  std::fprintf(stderr, "%s failed\n", what);
  std::_Exit(1);  // another thread runs
}

class Sha256 {
 public:
  void begin() { check(EVP_DigestInit_ex2(context_.get(), algorithm(), nullptr) == 1, "SHA-256"); }
  void add(std::string_view bytes) {
    check(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1, "SHA-256");
  }
  Digest end() {
    Digest digest{};
    check(EVP_DigestFinal_ex(context_.get(), digest.data(), nullptr) == 1, "SHA-256");
    return digest;
  }

 private:
  static EVP_MD* algorithm() {
    static EVP_MD* const fetched = EVP_MD_fetch(nullptr, "SHA256", nullptr);
    return fetched;
  }
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_{EVP_MD_CTX_new(), EVP_MD_CTX_free};
};

// The thread that stores what was charged.
class Rows {
 public:
  explicit Rows(const std::string& file) {
    check(sqlite3_open(file.c_str(), &database_) == SQLITE_OK, "sqlite3_open");
    execute(
        "PRAGMA page_size = 2048; PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL;"
        "PRAGMA synchronous = NORMAL; CREATE TABLE entries (id INTEGER PRIMARY KEY, previous_id INTEGER, account_id "
        "INTEGER, type TEXT, amount INTEGER, balance INTEGER, job_id TEXT, model TEXT, basis TEXT, prompt_tokens "
        "INTEGER, completion_tokens INTEGER, node_id TEXT, created_at INTEGER, receipt BLOB, receipt_hash BLOB) STRICT;"
        "CREATE UNIQUE INDEX entries_by_job ON entries (job_id)");
    const char* sql =
        "INSERT INTO entries VALUES (?,?,1,'charge',-344000,?,?,'m-1','node_usage',24,160,'node-1',?,?,?)";
    check(sqlite3_prepare_v3(database_, sql, -1, SQLITE_PREPARE_PERSISTENT, &insert_, nullptr) == SQLITE_OK, sql);
    std::thread([this] { store(); }).detach();
  }

  void add(const Digest& request, const Digest& response) {
    bool wake = false;
    {
      const std::lock_guard lock(mutex_);
      waiting_.emplace_back(request, response);
      wake = waiting_.size() == kMostRows;
    }
    if (wake) wake_.notify_one();
  }

 private:
  void execute(const char* sql) { check(sqlite3_exec(database_, sql, nullptr, nullptr, nullptr) == SQLITE_OK, sql); }

  [[noreturn]] void store() {
    std::vector<std::pair<Digest, Digest>> rows;
    for (;;) {
      {
        std::unique_lock lock(mutex_);
        wake_.wait_for(lock, kCommitDelay, [this] { return waiting_.size() >= kMostRows; });
        rows.swap(waiting_);
      }
      if (rows.empty()) continue;
      execute("BEGIN");
      for (const auto& [request, response] : rows) insert(request, response);
      execute("COMMIT");
      rows.clear();
    }
  }

  void insert(const Digest& request, const Digest& response) {
    ++id_;
    std::ranges::copy(response, std::ranges::copy(request, receipt_.begin()).out);
    sha256_.begin();
    sha256_.add(receipt_);
    const Digest hash = sha256_.end();
    std::array<char, 32> job{};
    const int job_bytes = std::snprintf(job.data(), job.size(), "gen-%024llu", static_cast<unsigned long long>(id_));
    sqlite3_bind_int64(insert_, 1, id_);
    sqlite3_bind_int64(insert_, 2, id_ - 1);
    sqlite3_bind_int64(insert_, 3, 1'000'000'000'000 - id_);
    sqlite3_bind_text(insert_, 4, job.data(), job_bytes, SQLITE_STATIC);
    sqlite3_bind_int64(insert_, 5, 1'700'000'000'000'000 + id_);
    sqlite3_bind_blob(insert_, 6, receipt_.data(), kFactsBytes, SQLITE_STATIC);
    sqlite3_bind_blob(insert_, 7, hash.data(), static_cast<int>(hash.size()), SQLITE_STATIC);
    check(sqlite3_step(insert_) == SQLITE_DONE, "INSERT");
    sqlite3_reset(insert_);
  }

  sqlite3* database_ = nullptr;
  sqlite3_stmt* insert_ = nullptr;
  sqlite3_int64 id_ = 0;
  std::string receipt_ = std::string(kReceiptBytes, 'r');
  Sha256 sha256_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::pair<Digest, Digest>> waiting_;
};

// A client's connection and the one to the node that is its own.
struct Pair {
  int client = -1;
  int node = -1;
  bool chunked = false;  // the answer that is passed on
  Digest request{};
  Sha256 response;
};

class Floor {
 public:
  Floor(const std::string& listen, const std::string& node, const std::string& folder)
      : epoll_(epoll_create1(EPOLL_CLOEXEC)),
        node_(bench::parse_address(node)),
        rows_(folder + "/floor.db"),
        listener_(bench::listen_at(listen, epoll_)) {}

  [[noreturn]] void run() {
    std::array<epoll_event, 128> events{};
    for (;;) {
      const int count = epoll_wait(epoll_, events.data(), events.size(), -1);
      for (int i = 0; i < count; ++i) {
        const int fd = events.at(static_cast<std::size_t>(i)).data.fd;
        fd == listener_ ? accept_all() : pass_on(fd);
      }
    }
  }

 private:
  void accept_all() {
    for (;;) {
      const int client = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (client < 0) return;
      auto pair = std::make_shared<Pair>();
      pair->client = client;
      pair->node = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      if (connect(pair->node, reinterpret_cast<sockaddr*>(&node_), sizeof node_) != 0) bench::give_up("connect");
      for (const int fd : {pair->client, pair->node}) {
        bench::no_delay(fd);
        bench::watch(epoll_, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLET);
        if (pairs_.size() <= static_cast<std::size_t>(fd)) pairs_.resize(static_cast<std::size_t>(fd) + 1);
        pairs_.at(static_cast<std::size_t>(fd)) = pair;
      }
    }
  }

  void pass_on(int fd) {
    // Closed in the same turn.
    const auto pair = pairs_.at(static_cast<std::size_t>(fd));
    if (!pair) return;
    const ssize_t count = recv(fd, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
    if (count < 0 && errno == EAGAIN) return;
    if (count <= 0) {
      close(*pair);
      return;
    }
    const std::string_view bytes(buffer_.data(), static_cast<std::size_t>(count));
    const bool asks = fd == pair->client;
    asks ? take_request(*pair, bytes) : take_answer(*pair, bytes);
    // What a client that left is owed is nothing, and the rest finds room: the load waits for each answer.
    (void)send(asks ? pair->node : pair->client, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }

  static void take_request(Pair& pair, std::string_view bytes) {
    pair.response.begin();
    pair.response.add(bytes);
    pair.request = pair.response.end();
    pair.response.begin();
  }

  void take_answer(Pair& pair, std::string_view bytes) {
    constexpr std::size_t kMostHeadBytes = 256;
    if (bytes.starts_with("HTTP/")) pair.chunked = bytes.substr(0, kMostHeadBytes).find("chunked\r\n") != bytes.npos;
    pair.response.add(bytes);
    if (!pair.chunked || bytes.ends_with("\r\n0\r\n\r\n")) rows_.add(pair.request, pair.response.end());
  }

  void close(const Pair& pair) {
    for (const int fd : {pair.client, pair.node}) {
      pairs_.at(static_cast<std::size_t>(fd)).reset();
      ::close(fd);
    }
  }

  int epoll_;
  sockaddr_in node_;
  Rows rows_;
  int listener_;
  std::vector<std::shared_ptr<Pair>> pairs_;  // by either descriptor
  std::array<char, 65536> buffer_{};
};

}  // namespace

int main(int argc, char** argv) {
  bench::raise_descriptor_limit();
  const auto node = bench::option(argc, argv, "--node", "");
  const auto folder = bench::option(argc, argv, "--data-dir", "");
  if (node.empty() || folder.empty()) {
    std::fputs("turnpike-bench-floor --node ADDRESS:PORT --data-dir DIR [--listen ADDRESS:PORT]\n", stderr);
    return 2;
  }
  Floor(bench::option(argc, argv, "--listen", "127.0.0.1:0"), node, folder).run();
}
