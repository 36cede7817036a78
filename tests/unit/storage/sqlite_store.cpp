// A table for the tests of storage. In a *_store.cpp, where SQL belongs.
#include "sqlite_store.hpp"

#include "turnpike/storage/connection.hpp"

namespace turnpike::storage::test {

void make_table(Connection& connection) {
  connection.prepare("CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT").run();
}

void Put::run(Connection& connection) {
  connection.prepare("INSERT INTO notes (id, text) VALUES (?, ?)").bind(id).bind(std::string_view(text)).run();
}

void Count::run(Connection& connection) {
  auto query = connection.prepare("SELECT count(*), coalesce(max(length(text)), 0) FROM notes");
  query.step();
  rows = query.integer(0);
}

}  // namespace turnpike::storage::test
