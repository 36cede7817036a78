// Brings a database up to the program's schema.
#pragma once

#include "turnpike/base/clock.hpp"

namespace turnpike::storage {

class SqliteConnection;

// Applies the built-in migrations that the database lacks, each in a transaction. Throws StorageError when one fails,
// when one was edited after it was applied, or when the database was made by a newer program.
void migrate(SqliteConnection& connection, WallTime now);

}  // namespace turnpike::storage
