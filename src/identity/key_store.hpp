// What the key ring asks of the database. All SQL of identity is in key_store.cpp.
#pragma once

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
};

struct NewKeyRow final : storage::Operation {
  explicit NewKeyRow(StoredKey made) : key(std::move(made)) {}
  void run(storage::Connection& connection) override;
  StoredKey key;
};

struct RevokeKeyRow final : storage::Operation {
  RevokeKeyRow(std::string key_id, WallTime now) : id(std::move(key_id)), at(now) {}
  void run(storage::Connection& connection) override;
  std::string id;
  WallTime at;
};

std::vector<StoredKey> load_keys(storage::Connection& connection);

}  // namespace turnpike::identity
