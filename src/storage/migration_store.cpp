#include "migration_store.hpp"

#include <span>
#include <string>

#include "sqlite_connection.hpp"
#include "turnpike/base/embedded.hpp"
#include "turnpike/base/encoding.hpp"

namespace turnpike::storage {

// src/storage/migrations/*.sql: NNNN_name.sql, numbered from 1 without a gap, never edited after release.
std::span<const EmbeddedFile> migrations();

namespace {

std::string checksum_of(const EmbeddedFile& file) {
  const Sha256 digest = sha256(file.text);
  return to_hex({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

// The checksum under which a migration was applied; empty: it was not.
std::string applied(SqliteConnection& connection, std::string_view name) {
  auto query = connection.prepare("SELECT checksum FROM schema_migrations WHERE name = ?");
  query.bind(name);
  return query.step() ? std::string(query.text(0)) : std::string();
}

void apply(SqliteConnection& connection, const EmbeddedFile& file, const std::string& checksum, WallTime now) {
  connection.begin();
  try {
    connection.execute(std::string(file.text));
    connection.prepare("INSERT INTO schema_migrations (name, checksum, applied_at) VALUES (?, ?, ?)")
        .bind(file.name)
        .bind(std::string_view(checksum))
        .bind(std::int64_t{now.time_since_epoch().count()})
        .run();
    connection.commit();
  } catch (...) {
    connection.roll_back();
    throw;
  }
}

}  // namespace

void migrate(SqliteConnection& connection, WallTime now) {
  connection.execute(
      "CREATE TABLE IF NOT EXISTS schema_migrations "
      "(name TEXT PRIMARY KEY, checksum TEXT NOT NULL, applied_at INTEGER NOT NULL) STRICT");
  std::size_t known = 0;
  for (const EmbeddedFile& file : migrations()) {
    const std::string checksum = checksum_of(file);
    const std::string before = applied(connection, file.name);
    if (before.empty()) {
      apply(connection, file, checksum, now);
    } else if (before != checksum) {
      throw StorageError("migration " + std::string(file.name) + " is not the one that was applied", false);
    }
    ++known;
  }
  auto count = connection.prepare("SELECT count(*) FROM schema_migrations");
  count.step();
  if (count.integer(0) != static_cast<std::int64_t>(known)) {
    throw StorageError("the database was made by a newer version of the program", false);
  }
}

}  // namespace turnpike::storage
