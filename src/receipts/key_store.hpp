// The public keys as they are stored. All SQL of this room is in key_store.cpp.
#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "turnpike/receipts/keys.hpp"
#include "turnpike/storage/database.hpp"

namespace turnpike::receipts {

// Oldest first.
[[nodiscard]] std::vector<PublicKey> load_keys(storage::Connection& connection);

// A key that is current from now on: whichever was ends there.
struct AddKey final : storage::Operation {
  explicit AddKey(PublicKey made) : key(std::move(made)) {}
  void run(storage::Connection& connection) override;
  PublicKey key;
};

}  // namespace turnpike::receipts
