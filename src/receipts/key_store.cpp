#include "key_store.hpp"

#include <string>
#include <string_view>

#include "turnpike/storage/connection.hpp"
#include "turnpike/storage/times.hpp"

namespace turnpike::receipts {

using storage::micros;
using storage::wall_time;

std::vector<PublicKey> load_keys(storage::Connection& connection) {
  std::vector<PublicKey> keys;
  auto row =
      connection.prepare("SELECT id, public_key, starts_at, ends_at FROM receipt_keys ORDER BY starts_at, rowid");
  while (row.step()) {
    PublicKey key{
        .id = std::string(row.text(0)), .public_key = std::string(row.text(1)), .from = wall_time(row.integer(2))};
    if (!row.is_null(3)) key.until = wall_time(row.integer(3));
    keys.push_back(std::move(key));
  }
  return keys;
}

void AddKey::run(storage::Connection& connection) {
  connection.prepare("UPDATE receipt_keys SET ends_at = ? WHERE ends_at IS NULL").bind(micros(key.from)).run();
  connection.prepare("INSERT INTO receipt_keys (id, public_key, starts_at) VALUES (?,?,?)")
      .bind(std::string_view(key.id))
      .bind_blob(key.public_key)
      .bind(micros(key.from))
      .run();
}

}  // namespace turnpike::receipts
