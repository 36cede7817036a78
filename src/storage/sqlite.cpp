// The database's thread: everything that is waiting becomes one transaction, and reports back in one post.
#include "turnpike/storage/sqlite.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <condition_variable>
#include <exception>
#include <filesystem>
#include <iterator>
#include <memory>
#include <mutex>
#include <optional>
#include <ranges>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "journal.hpp"
#include "migration_store.hpp"
#include "sqlite_connection.hpp"
#include "turnpike/base/clock.hpp"

namespace turnpike::storage {
namespace {

// 8 MiB of log between checkpoints.
constexpr int kMostLogPages = 4096;

struct Item {
  std::shared_ptr<Operation> operation;
  bool is_write = false;
  bool guaranteed = false;
  std::uint64_t journaled = 0;             // the number of its record; 0: none
  std::unique_ptr<Error> error = nullptr;  // apart, for it is large and rare
};

Error refused(std::string message) {
  return {.fault = Fault::service_unavailable, .message = std::move(message)};
}

std::unique_ptr<Error> fault_of_ours(std::string message) {
  return std::make_unique<Error>(Error{.fault = Fault::internal_error, .message = std::move(message)});
}

Result<void> outcome_of(Item& item) {
  if (item.error == nullptr) return {};
  return std::unexpected(std::move(*item.error));
}

class SqliteDatabase final : public Database {
 public:
  // `complete` is out of reach for free functions: this lends it to the posted batch.
  using Database::complete;

  SqliteDatabase(boost::asio::any_io_executor loop, SqliteOptions options)
      : loop_(std::move(loop)), options_(std::move(options)), connection_(options_.file), commit_timer_(loop_) {
    configure();
    migrate(connection_, SystemClock().wall());
    // After the database, whose lock keeps others from this journal too.
    journal_.emplace(options_.file + "-journal", options_.journal_bytes);
    thread_ = std::thread([this] { run_thread(); });
  }
  ~SqliteDatabase() override { stop(); }

  Result<void> write(std::shared_ptr<Operation> operation, Queueing queueing) override;
  Result<bool> write_ahead(std::shared_ptr<Operation> operation, std::string_view record) override;
  Result<void> replay(const std::function<void(Connection&, std::string_view)>& apply) override;
  Result<void> read(std::shared_ptr<Operation> operation) override;
  Result<void> run_now(const std::function<void(Connection&)>& work) override;
  [[nodiscard]] std::size_t waiting() const override { return waiting_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::size_t queue_limit() const override { return options_.queue_limit; }
  [[nodiscard]] bool poisoned() const override { return poisoned_.load(std::memory_order_relaxed); }
  void close() override { stop(); }

 private:
  void configure();
  void enqueue(Item item);
  void enqueue_lazily(Item item);
  void gather();
  void gather_again();
  void hand_over();
  void stop();

  // The rest runs on the database's thread.
  void run_thread();
  void process(std::vector<Item>& items);
  void process_writes(std::span<Item> group);
  void run_in_transaction(std::span<Item> group);
  void process_read(Item& item);
  void forget_records(std::span<const Item> committed);
  void report(std::span<Item> items);
  void checkpoint();
  void poison(std::string_view what);

  boost::asio::any_io_executor loop_;
  SqliteOptions options_;
  std::mutex connection_mutex_;  // the thread's, but for run_now
  SqliteConnection connection_;
  std::optional<Journal> journal_;
  bool replayed_ = false;         // on the loop: what earlier runs left is in the database
  bool journal_is_open_ = false;  // … and records are added
  boost::asio::steady_timer commit_timer_;
  bool commit_is_due_ = false;  // the timer runs
  // On the loop: what goes to the thread together, once the loop has nothing more to add.
  std::vector<Item> gathered_;
  std::size_t gathered_before_ = 0;
  bool gathering_ = false;
  std::shared_ptr<void> alive_ = std::make_shared<char>();  // for what was posted and comes too late
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Item> queue_;  // under mutex_, as are the next two
  bool sleeping_ = false;
  bool stopping_ = false;
  std::atomic<std::size_t> waiting_ = 0;
  std::atomic<bool> poisoned_ = false;
  std::thread thread_;
};

void SqliteDatabase::configure() {
  // Small pages: a charge touches two, and each is copied into the log and summed there, whole.
  connection_.execute("PRAGMA page_size = 2048");
  // Exclusive: the file is this process's alone, and a transaction costs no file lock.
  connection_.execute(
      "PRAGMA busy_timeout = 200; PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL;"
      "PRAGMA cache_size = -1024; PRAGMA temp_store = MEMORY;");
  connection_.execute(options_.durability == Durability::power ? "PRAGMA synchronous = FULL"
                                                               : "PRAGMA synchronous = NORMAL");
  if (options_.max_pages > 0) {
    connection_.execute("PRAGMA max_page_count = " + std::to_string(options_.max_pages));
  }
}

Result<void> SqliteDatabase::write(std::shared_ptr<Operation> operation, Queueing queueing) {
  if (poisoned()) return std::unexpected(refused("Storage failed; no change is accepted."));
  if (queueing == Queueing::bounded && waiting() >= options_.queue_limit) {
    return std::unexpected(refused("Storage is behind; try again."));
  }
  const bool guaranteed = queueing == Queueing::guaranteed;
  enqueue({.operation = std::move(operation), .is_write = true, .guaranteed = guaranteed});
  return {};
}

Result<bool> SqliteDatabase::write_ahead(std::shared_ptr<Operation> operation, std::string_view record) {
  if (poisoned()) return std::unexpected(refused("Storage failed; no change is accepted."));
  const std::uint64_t number = journal_is_open_ ? journal_->append(record) : 0;
  Item item{.operation = std::move(operation), .is_write = true, .guaranteed = true, .journaled = number};
  if (number == 0) {
    enqueue(std::move(item));
  } else {
    enqueue_lazily(std::move(item));
  }
  return number != 0;
}

Result<void> SqliteDatabase::replay(const std::function<void(Connection&, std::string_view)>& apply) {
  if (replayed_) return {};
  auto done = run_now(
      [&](Connection& connection) { journal_->read([&](std::string_view record) { apply(connection, record); }); });
  if (!done) return done;
  replayed_ = true;
  // What is promised to survive the machine waits for its own transaction.
  journal_is_open_ = options_.durability == Durability::process;
  return done;
}

Result<void> SqliteDatabase::read(std::shared_ptr<Operation> operation) {
  if (waiting() >= options_.queue_limit) return std::unexpected(refused("Storage is behind; try again."));
  enqueue({.operation = std::move(operation)});
  return {};
}

void SqliteDatabase::enqueue(Item item) {
  gathered_.push_back(std::move(item));
  waiting_.fetch_add(1, std::memory_order_relaxed);
  if (gathering_) return;
  gathering_ = true;
  gathered_before_ = 0;
  gather_again();
}

// What the journal holds shares its transaction with whatever comes within the delay.
void SqliteDatabase::enqueue_lazily(Item item) {
  gathered_.push_back(std::move(item));
  waiting_.fetch_add(1, std::memory_order_relaxed);
  if (gathering_) return;
  if (gathered_.size() >= options_.max_batch) {
    hand_over();
  } else if (!commit_is_due_) {
    commit_is_due_ = true;
    commit_timer_.expires_after(options_.commit_delay);
    commit_timer_.async_wait([this, alive = std::weak_ptr<void>(alive_)](boost::system::error_code cancelled) {
      if (alive.expired() || cancelled) return;
      commit_is_due_ = false;
      if (!gathering_ && !gathered_.empty()) hand_over();
    });
  }
}

void SqliteDatabase::gather_again() {
  boost::asio::post(loop_, [this, alive = std::weak_ptr<void>(alive_)] {
    if (!alive.expired()) gather();
  });
}

// Behind what is ready on the loop now: while each look finds more than the one before, the loop is busy, and what it
// is about to queue shares the transaction. An idle loop hands over at once.
void SqliteDatabase::gather() {
  if (gathered_.size() > gathered_before_ && gathered_.size() < options_.max_batch) {
    gathered_before_ = gathered_.size();
    gather_again();
    return;
  }
  hand_over();
}

void SqliteDatabase::hand_over() {
  gathering_ = false;
  if (std::exchange(commit_is_due_, false)) commit_timer_.cancel();
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    if (queue_.empty()) {
      queue_.swap(gathered_);
    } else {
      std::ranges::move(gathered_, std::back_inserter(queue_));
    }
    wake = std::exchange(sleeping_, false);
  }
  gathered_.clear();
  if (wake) wake_.notify_one();
}

Result<void> SqliteDatabase::run_now(const std::function<void(Connection&)>& work) {
  // Queued like any other, so that the connection stays on its thread; what would be reported to the loop is waited
  // for.
  struct Now final : Operation {
    explicit Now(const std::function<void(Connection&)>& what) : work(what) {}
    void run(Connection& connection) override {
      try {
        work(connection);
      } catch (const std::exception& error) {
        // Whoever starts is told what is wrong; the database itself is well.
        what = error.what();
        throw StorageError(what, true);
      }
    }
    const std::function<void(Connection&)>& work;
    std::string what;
  };
  auto operation = std::make_shared<Now>(work);
  std::vector<Item> items;
  items.push_back({.operation = operation, .is_write = true});
  const std::lock_guard lock(connection_mutex_);
  process_writes(items);
  if (!operation->what.empty()) return fail(Fault::internal_error, options_.file + ": " + operation->what);
  return outcome_of(items.front());
}

void SqliteDatabase::stop() {
  if (!thread_.joinable()) return;
  commit_timer_.cancel();
  hand_over();
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    sleeping_ = false;
  }
  wake_.notify_one();
  thread_.join();
  if (poisoned()) return;
  try {
    connection_.execute("PRAGMA wal_checkpoint(TRUNCATE)");
    // All of it is in the database now. A journal that was never read is left for who does.
    if (replayed_) journal_->clear();
  } catch (const StorageError& error) {
    spdlog::error("storage: checkpoint at close failed: {}", error.what());
  }
}

void SqliteDatabase::run_thread() {
  std::vector<Item> items;
  while (true) {
    {
      std::unique_lock lock(mutex_);
      while (queue_.empty() && !stopping_) {
        sleeping_ = true;
        wake_.wait(lock);
      }
      sleeping_ = false;
      items.swap(queue_);
    }
    if (items.empty()) return;
    process(items);
    items.clear();
  }
}

void SqliteDatabase::process(std::vector<Item>& items) {
  std::span<Item> left = items;
  while (!left.empty()) {
    std::size_t length = 0;
    while (length < left.size() && length < options_.max_batch && left[length].is_write) ++length;
    {
      const std::lock_guard lock(connection_mutex_);
      if (length > 0) {
        process_writes(left.first(length));
        forget_records(left.first(length));
      } else {
        length = 1;
        process_read(left.front());
      }
    }
    waiting_.fetch_sub(length, std::memory_order_relaxed);
    report(left.first(length));
    left = left.subspan(length);
  }
  checkpoint();
}

void SqliteDatabase::checkpoint() {
  const std::lock_guard lock(connection_mutex_);
  if (poisoned() || connection_.log_pages() < kMostLogPages) return;
  try {
    connection_.checkpoint();
  } catch (const StorageError& error) {
    // The log is whole, so nothing is lost; the next one tries again.
    spdlog::error("storage: checkpoint failed: {}", error.what());
  }
}

void SqliteDatabase::process_writes(std::span<Item> group) {
  if (!poisoned()) {
    try {
      run_in_transaction(group);
      return;
    } catch (const StorageError& error) {
      connection_.roll_back();
      if (!error.constraint() || (group.size() == 1 && group.front().guaranteed)) {
        poison(error.what());
      } else if (group.size() == 1) {
        spdlog::error("storage: a change was refused: {}", error.what());
        group.front().error = fault_of_ours("The change conflicts with what is stored.");
        return;
      } else {
        // One of them is at fault: each gets a transaction of its own.
        for (std::size_t i = 0; i < group.size(); ++i) process_writes(group.subspan(i, 1));
        return;
      }
    } catch (const std::exception& error) {
      connection_.roll_back();
      poison(error.what());
    }
  }
  for (Item& item : group) item.error = std::make_unique<Error>(refused("The change could not be stored."));
}

void SqliteDatabase::run_in_transaction(std::span<Item> group) {
  connection_.begin();
  for (const Item& item : group) item.operation->run(connection_);
  if (options_.allow_commit && !options_.allow_commit()) throw StorageError("commit refused by a test", false);
  connection_.commit();
}

void SqliteDatabase::process_read(Item& item) {
  try {
    item.operation->run(connection_);
  } catch (const std::exception& error) {
    spdlog::error("storage: a read failed: {}", error.what());
    item.error = fault_of_ours("The storage could not be read.");
  }
}

void SqliteDatabase::forget_records(std::span<const Item> committed) {
  if (poisoned()) return;
  for (const Item& item : committed | std::views::reverse) {
    if (item.journaled == 0) continue;
    journal_->committed(item.journaled);
    return;
  }
}

void SqliteDatabase::report(std::span<Item> items) {
  std::vector<Item> over(std::make_move_iterator(items.begin()), std::make_move_iterator(items.end()));
  boost::asio::post(loop_, [batch = std::move(over)]() mutable {
    for (Item& item : batch) complete(*item.operation, std::move(item.error));
  });
}

void SqliteDatabase::poison(std::string_view what) {
  poisoned_.store(true, std::memory_order_relaxed);
  spdlog::critical("storage: a commit failed, no change is accepted until a restart: {}", what);
}

}  // namespace

Result<std::unique_ptr<Database>> open_sqlite(boost::asio::any_io_executor loop, SqliteOptions options) {
  const std::string file = options.file;
  try {
    // SQLite keeps no account of its memory, which would cost a lock an allocation; a connection has one thread at a
    // time.
    static const int configured =
        sqlite3_config(SQLITE_CONFIG_MULTITHREAD) | sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    std::ignore = configured;
    const auto folder = std::filesystem::path(file).parent_path();
    if (!folder.empty() && std::filesystem::create_directories(folder)) {
      std::filesystem::permissions(folder, std::filesystem::perms::owner_all);
    }
    return std::make_unique<SqliteDatabase>(std::move(loop), std::move(options));
  } catch (const std::exception& error) {
    const std::string_view what = error.what();
    const bool busy = what.find("locked") != std::string_view::npos;
    return fail(Fault::internal_error, file + ": " + (busy ? "in use by another process" : std::string(what)));
  }
}

}  // namespace turnpike::storage
