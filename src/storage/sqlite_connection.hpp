// One SQLite connection with its prepared statements.
#pragma once

#include <sqlite3.h>

#include <memory>
#include <string>
#include <unordered_map>

#include "turnpike/storage/connection.hpp"

namespace turnpike::storage {

class SqliteConnection final : public Connection {
 public:
  // Opens or makes the file, with mode 0600. Throws StorageError.
  explicit SqliteConnection(const std::string& file);
  ~SqliteConnection() override;
  SqliteConnection(const SqliteConnection&) = delete;
  SqliteConnection& operator=(const SqliteConnection&) = delete;

  [[nodiscard]] Statement prepare(Sql sql) override;
  [[nodiscard]] std::int64_t changes() const override;

  // Pages in the write-ahead log after the last commit.
  [[nodiscard]] int log_pages() const { return log_pages_; }
  // Moves the log into the database file; waits for the disk. Throws StorageError.
  void checkpoint();

  // Statements that are used once: pragmas and the text of migrations.
  void execute(const std::string& script);

  void begin();
  void commit();
  // Never throws: a transaction that cannot be rolled back ends with the connection.
  void roll_back() noexcept;

 private:
  sqlite3_stmt* prepared(const char* text);
  sqlite3* connection_ = nullptr;
  int log_pages_ = 0;
  std::unordered_map<const char*, sqlite3_stmt*> statements_;
};

}  // namespace turnpike::storage
