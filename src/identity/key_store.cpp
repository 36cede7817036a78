#include "key_store.hpp"

#include <algorithm>

#include "turnpike/storage/connection.hpp"
#include "turnpike/storage/times.hpp"

namespace turnpike::identity {
namespace {

using storage::micros;
using storage::wall_time;

std::optional<std::int64_t> micros(std::optional<WallTime> at) {
  return at.transform([](WallTime time) { return micros(time); });
}

std::optional<WallTime> time_or_none(const storage::Statement& row, int column) {
  if (row.is_null(column)) return std::nullopt;
  return wall_time(row.integer(column));
}

// A public key that cannot be read any more must not open what it closed.
Signing signing_of(const storage::Statement& row) {
  if (row.is_null(11)) return {};
  auto key = PublicKey::parse(row.text(11));
  if (!key) throw storage::StorageError("a key's public key is damaged", false);
  return {.public_key = *std::move(key), .required = row.integer(12) != 0};
}

void write_expiry(storage::Connection& connection, const KeyExpiry& expiry) {
  connection.prepare("UPDATE api_keys SET expires_at = ? WHERE public_id = ?")
      .bind(micros(expiry.at))
      .bind(std::string_view(expiry.id))
      .run();
}

}  // namespace

void NewKeyRow::run(storage::Connection& connection) {
  const KeyInfo& info = key.info;
  const auto* digest = reinterpret_cast<const char*>(key.digest.data());
  if (!forgets.empty()) {
    connection.prepare("DELETE FROM api_keys WHERE public_id = ?").bind(std::string_view(forgets)).run();
  }
  if (replaces) write_expiry(connection, *replaces);
  connection
      .prepare(
          "INSERT INTO api_keys (public_id, account_id, digest, display, dialect, tier, scopes, created_at, "
          "expires_at, public_key, require_signature) VALUES (?,?,?,?,?,?,?,?,?,?,?)")
      .bind(std::string_view(info.id))
      .bind(info.account_id)
      .bind_blob({digest, key.digest.size()})
      .bind(std::string_view(info.display))
      .bind(std::string_view(info.dialect))
      .bind(std::string_view(info.tier))
      .bind(std::int64_t{info.scopes.bits()})
      .bind(micros(info.created_at))
      .bind(micros(info.expires_at))
      .bind_text_or_null(info.signing.public_key ? std::string_view(info.signing.public_key->pem())
                                                 : std::string_view())
      .bind(std::int64_t{info.signing.required ? 1 : 0})
      .run();
}

void ExpireKeyRow::run(storage::Connection& connection) {
  write_expiry(connection, expiry);
}

void RevokeKeyRow::run(storage::Connection& connection) {
  connection.prepare("UPDATE api_keys SET revoked_at = ? WHERE public_id = ? AND revoked_at IS NULL")
      .bind(micros(at))
      .bind(std::string_view(id))
      .run();
}

void LastUseRows::run(storage::Connection& connection) {
  for (const Use& use : uses) {
    connection.prepare("UPDATE api_keys SET last_used_at = ? WHERE public_id = ?")
        .bind(micros(use.at))
        .bind(std::string_view(use.id))
        .run();
  }
}

std::vector<StoredKey> load_keys(storage::Connection& connection) {
  std::vector<StoredKey> keys;
  auto query = connection.prepare(
      "SELECT public_id, account_id, digest, display, dialect, tier, scopes, created_at, expires_at, revoked_at, "
      "last_used_at, public_key, require_signature FROM api_keys ORDER BY id");
  while (query.step()) {
    StoredKey& key = keys.emplace_back();
    key.info.id = query.text(0);
    key.info.account_id = query.integer(1);
    const std::string_view digest = query.text(2);
    std::ranges::copy(digest.substr(0, key.digest.size()), key.digest.begin());
    key.info.display = query.text(3);
    key.info.dialect = query.text(4);
    key.info.tier = query.text(5);
    key.info.scopes = Scopes(static_cast<std::uint8_t>(query.integer(6)));
    key.info.created_at = wall_time(query.integer(7));
    key.info.expires_at = time_or_none(query, 8);
    key.info.revoked_at = time_or_none(query, 9);
    key.info.last_used_at = time_or_none(query, 10);
    key.info.signing = signing_of(query);
  }
  return keys;
}

}  // namespace turnpike::identity
