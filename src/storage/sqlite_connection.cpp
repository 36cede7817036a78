#include "sqlite_connection.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cassert>
#include <utility>

namespace turnpike::storage {
namespace {

sqlite3* as_connection(void* pointer) {
  return static_cast<sqlite3*>(pointer);
}
sqlite3_stmt* as_statement(void* pointer) {
  return static_cast<sqlite3_stmt*>(pointer);
}

// Nobody reads SQLite's statistics of its memory, which cost a sixteenth of a charge's row. Before its first use only.
void configure_sqlite_once() {
  static const int done = sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);  // NOLINT(*-vararg)
  static_cast<void>(done);
}

[[noreturn]] void raise_error(sqlite3* connection) {
  throw StorageError(sqlite3_errmsg(connection), (sqlite3_extended_errcode(connection) & 0xff) == SQLITE_CONSTRAINT);
}

}  // namespace

Statement::~Statement() {
  sqlite3_reset(as_statement(statement_));
}

void Statement::raise() const {
  raise_error(as_connection(connection_));
}

void Statement::check(int code) const {
  if (code != SQLITE_OK) raise();
}

Statement& Statement::bind(std::int64_t value) {
  check(sqlite3_bind_int64(as_statement(statement_), ++next_, value));
  return *this;
}

Statement& Statement::bind(std::string_view text) {
  // A null pointer would bind NULL.
  const char* bytes = text.data() == nullptr ? "" : text.data();
  check(sqlite3_bind_text(as_statement(statement_), ++next_, bytes, static_cast<int>(text.size()), SQLITE_STATIC));
  return *this;
}

Statement& Statement::bind(std::optional<std::int64_t> value) {
  if (value) return bind(*value);
  check(sqlite3_bind_null(as_statement(statement_), ++next_));
  return *this;
}

Statement& Statement::bind_blob(std::string_view bytes) {
  check(sqlite3_bind_blob(as_statement(statement_), ++next_, bytes.data(), static_cast<int>(bytes.size()),
                          SQLITE_STATIC));
  return *this;
}

Statement& Statement::bind_text_or_null(std::string_view text) {
  if (!text.empty()) return bind(text);
  return bind(std::optional<std::int64_t>());
}

bool Statement::step() {
  // What the last use bound is still there, and what it points to is not.
  if (next_ != sqlite3_bind_parameter_count(as_statement(statement_))) {
    throw StorageError("a statement lacks values", false);
  }
  const int code = sqlite3_step(as_statement(statement_));
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  raise();
}

void Statement::run() {
  while (step()) {
  }
}

std::int64_t Statement::integer(int column) const {
  return sqlite3_column_int64(as_statement(statement_), column);
}

std::string_view Statement::text(int column) const {
  const void* bytes = sqlite3_column_blob(as_statement(statement_), column);
  if (bytes == nullptr) return {};
  return {static_cast<const char*>(bytes),
          static_cast<std::size_t>(sqlite3_column_bytes(as_statement(statement_), column))};
}

bool Statement::is_null(int column) const {
  return sqlite3_column_type(as_statement(statement_), column) == SQLITE_NULL;
}

SqliteConnection::SqliteConnection(const std::string& file) {
  configure_sqlite_once();
  // SQLite gives its journal files the mode of the database file.
  const int made = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);  // NOLINT(*-vararg)
  if (made < 0) throw StorageError("cannot open " + file, false);
  ::close(made);
  const int code = sqlite3_open_v2(file.c_str(), &connection_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  if (code != SQLITE_OK) {
    const StorageError error(connection_ != nullptr ? sqlite3_errmsg(connection_) : "out of memory", false);
    sqlite3_close(std::exchange(connection_, nullptr));
    throw error;
  }
  // In place of SQLite's own checkpoints, which come in the middle of a commit.
  const auto count_pages = [](void* pages, sqlite3*, const char*, int now) {
    *static_cast<int*>(pages) = now;
    return SQLITE_OK;
  };
  sqlite3_wal_hook(connection_, count_pages, &log_pages_);
}

SqliteConnection::~SqliteConnection() {
  for (const auto& [text, statement] : statements_) sqlite3_finalize(statement);
  sqlite3_close(connection_);
}

sqlite3_stmt* SqliteConnection::prepared(const char* text) {
  auto& statement = statements_[text];
  if (statement == nullptr) {
    const int code = sqlite3_prepare_v3(connection_, text, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
    if (code != SQLITE_OK) raise_error(connection_);
  }
  return statement;
}

Statement SqliteConnection::prepare(Sql sql) {
  sqlite3_stmt* statement = prepared(sql.text());
  assert(sqlite3_stmt_busy(statement) == 0);
  return make(connection_, statement);
}

std::int64_t SqliteConnection::changes() const {
  return sqlite3_changes64(connection_);
}

void SqliteConnection::execute(const std::string& script) {
  if (sqlite3_exec(connection_, script.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) raise_error(connection_);
}

void SqliteConnection::checkpoint() {
  const int code = sqlite3_wal_checkpoint_v2(connection_, nullptr, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
  if (code != SQLITE_OK) raise_error(connection_);
  log_pages_ = 0;
}

void SqliteConnection::begin() {
  prepare("BEGIN IMMEDIATE").run();
}

void SqliteConnection::commit() {
  prepare("COMMIT").run();
}

void SqliteConnection::roll_back() noexcept {
  if (sqlite3_get_autocommit(connection_) != 0) return;
  sqlite3_exec(connection_, "ROLLBACK", nullptr, nullptr, nullptr);
}

}  // namespace turnpike::storage
