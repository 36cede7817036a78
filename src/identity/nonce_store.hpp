// What RequestSignatures asks of the database. All its SQL is in nonce_store.cpp.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "turnpike/base/encoding.hpp"
#include "turnpike/storage/database.hpp"

namespace turnpike::identity {

struct UsedNonce {
  Sha256 digest{};
  std::string key_id;
  std::int64_t ends_at = 0;  // Unix time
};

// Writes a nonce down, and drops those that ended by `now`.
struct UsedNonceRow final : storage::Operation {
  UsedNonceRow(UsedNonce used, std::int64_t unix_now) : nonce(std::move(used)), now(unix_now) {}
  void run(storage::Connection& connection) override;
  UsedNonce nonce;
  std::int64_t now;
};

// Those that end after `now`.
std::vector<UsedNonce> load_used_nonces(storage::Connection& connection, std::int64_t now);

}  // namespace turnpike::identity
