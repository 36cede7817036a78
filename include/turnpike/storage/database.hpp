// Durable storage behind a narrow interface: operations go in on the loop, run on the database's own thread many to a
// transaction, and report back on the loop. A second engine fits behind it.
//
// Thread: the loop's, but where a line says otherwise.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "turnpike/base/error.hpp"

namespace turnpike::storage {

class Connection;

// One change, or one question: the statements that belong together. A store derives from it, fills in values before it
// is submitted, and reads what run() found after it completed.
class Operation {
 public:
  Operation();
  virtual ~Operation();
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;

  // On the database's thread, inside a transaction. May run twice: when another operation of the batch fails, the batch
  // is rolled back and each of its operations is run in a transaction of its own. Throws StorageError to fail.
  virtual void run(Connection& connection) = 0;

  // On the loop: true once it is over, and then what run() found may be read.
  [[nodiscard]] bool completed() const { return completed_; }
  // … and how.
  [[nodiscard]] Result<void> outcome() const;

 private:
  friend class Database;
  friend boost::asio::awaitable<Result<void>> finished(std::shared_ptr<Operation> operation);
  struct Waiter;  // nearly no charge has one
  bool completed_ = false;
  std::unique_ptr<Error> error_;
  std::unique_ptr<Waiter> waiter_;
};

enum class Queueing : std::uint8_t {
  // Refused with service_unavailable when the queue is full; one that fails (a row that is there already) fails alone.
  bounded,
  // Always taken. For what is true in memory already: one that fails poisons the database, so that what is stored stays
  // a prefix of what happened. Its caller sees to it that there are not too many (a hold limits captures).
  guaranteed,
};

class Database {
 public:
  virtual ~Database() = default;

  // Queues a change. Operations take effect in the order they were queued. `operation` may be dropped by the caller:
  // the queue shares it.
  virtual Result<void> write(std::shared_ptr<Operation> operation, Queueing queueing) = 0;

  // Queues a change as `guaranteed`, and first writes `record` to the journal where there is one: then the change is
  // durable when the call returns, and its transaction may take its time. Should the program end before that, replay()
  // hands the record out at the next start. Returns whether it is durable already; false: finished() tells when.
  // Errors: service_unavailable once poisoned.
  virtual Result<bool> write_ahead(std::shared_ptr<Operation> operation, std::string_view record) = 0;

  // Hands out the records that earlier runs wrote ahead, oldest first, in one transaction; the journal is used from
  // then on. Their changes may be in the database already: `apply` must see to it. Throws what `apply` throws as an
  // error. Blocks: call it at start only; once it is done, it does nothing more.
  virtual Result<void> replay(const std::function<void(Connection&, std::string_view record)>& apply) = 0;

  // Queues a question: run between transactions, and sees every write queued before it.
  virtual Result<void> read(std::shared_ptr<Operation> operation) = 0;

  // Runs at once in a transaction of its own and blocks until it is committed: for the start and for commands, before
  // anything is queued.
  virtual Result<void> run_now(const std::function<void(Connection&)>& work) = 0;

  [[nodiscard]] virtual std::size_t waiting() const = 0;
  [[nodiscard]] virtual std::size_t queue_limit() const = 0;

  // True once a commit failed: every later write is refused. Any thread.
  [[nodiscard]] virtual bool poisoned() const = 0;

  // Waits until everything queued is committed, then closes the file. Blocks; nothing may be queued afterwards.
  virtual void close() = 0;

 protected:
  // For engines: reports on the loop that `operation` is over.
  static void complete(Operation& operation, std::unique_ptr<Error> error);  // null: it is done
};

// Completes when the operation is over: at once when it already is. The wait takes no cancellation; dropping it has no
// effect on the operation. At most one wait an operation.
[[nodiscard]] boost::asio::awaitable<Result<void>> finished(std::shared_ptr<Operation> operation);

}  // namespace turnpike::storage
