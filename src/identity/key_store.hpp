// What the key ring asks of the database. All SQL of keys is in key_store.cpp.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "turnpike/base/encoding.hpp"
#include "turnpike/identity/key_ring.hpp"
#include "turnpike/storage/database.hpp"

namespace turnpike::identity {

struct StoredKey {
  KeyInfo info;
  Sha256 digest{};
  bool use_unwritten = false;  // it is among the keys whose last use write_last_used() will write
};

struct KeyExpiry {
  std::string id;
  WallTime at;
};

// A new key, and what it changes for others of its account.
struct NewKeyRow final : storage::Operation {
  explicit NewKeyRow(StoredKey made) : key(std::move(made)) {}
  void run(storage::Connection& connection) override;
  StoredKey key;
  std::optional<KeyExpiry> replaces;  // the key that it stands in for, and when that one ends
  std::string forgets;                // the id of a dead key whose place it takes; empty: none
};

struct ExpireKeyRow final : storage::Operation {
  explicit ExpireKeyRow(KeyExpiry when) : expiry(std::move(when)) {}
  void run(storage::Connection& connection) override;
  KeyExpiry expiry;
};

struct RevokeKeyRow final : storage::Operation {
  RevokeKeyRow(std::string key_id, WallTime now) : id(std::move(key_id)), at(now) {}
  void run(storage::Connection& connection) override;
  std::string id;
  WallTime at;
};

struct LastUseRows final : storage::Operation {
  void run(storage::Connection& connection) override;
  struct Use {
    std::string id;
    WallTime at;
  };
  std::vector<Use> uses;
};

std::vector<StoredKey> load_keys(storage::Connection& connection);

}  // namespace turnpike::identity
