// The SQLite engine: one thread, one connection, WAL, group commit.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "turnpike/base/error.hpp"
#include "turnpike/storage/database.hpp"

namespace turnpike::storage {

enum class Durability : std::uint8_t {
  process,  // the journal, and synchronous=NORMAL: survives any crash of the program
  power,    // no journal, synchronous=FULL: survives the machine's
};

struct SqliteOptions {
  std::string file = {};  // made with mode 0600, and its folder with 0700, when it is not there
  Durability durability = Durability::process;
  std::size_t queue_limit = 65'536;  // writes waiting
  std::size_t max_batch = 512;       // writes a transaction
  // How long a change that the journal holds may wait for others to share its transaction.
  std::chrono::milliseconds commit_delay{100};
  std::size_t journal_bytes = 1 << 20;  // each of the journal's two files; `file`-journal-0 and -1
  // For tests: called on the database's thread before each commit of queued writes; false makes the commit fail.
  std::function<bool()> allow_commit = nullptr;
  // For tests: the file may grow to this many pages, as on a full disk. 0: no limit.
  std::int64_t max_pages = 0;
};

// Opens the file, applies the migrations that it lacks, and starts the thread. Completions are posted to `loop`. The
// file belongs to this process until it is closed: a second opener is refused, for two ledgers on one file would each
// be wrong. Blocks. Errors: internal_error with what is wrong with the file.
[[nodiscard]] Result<std::unique_ptr<Database>> open_sqlite(boost::asio::any_io_executor loop, SqliteOptions options);

}  // namespace turnpike::storage
