// Checks what the receipts' routes answered, offline: signatures, the chain, proofs, and that each charge follows from
// what its receipt says. Pure but for OpenSSL's verifying.
#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "turnpike/base/clock.hpp"
#include "turnpike/base/error.hpp"

namespace turnpike::receipts {

// A key that whoever checks believes in.
struct TrustedKey {
  std::string id;          // empty: whatever was signed says it was by this one
  std::string public_key;  // 32 bytes
  std::optional<WallTime> from = {};
  std::optional<WallTime> until = {};
};

// The `receipt_keys` of /.well-known/turnpike. Error: invalid_request, when it has none or one that is malformed.
[[nodiscard]] Result<std::vector<TrustedKey>> trusted_keys(const nlohmann::json& well_known);

// What was found; no faults: all of it holds.
struct Verdict {
  std::size_t receipts = 0;
  std::size_t links = 0;  // receipts whose predecessor was there too
  std::size_t heads = 0;
  std::size_t proofs = 0;                // of inclusion and of consistency
  std::vector<std::string> faults = {};  // a line each
};

// `documents`: answers of GET /v1/jobs/{id}/receipt, /v1/receipts/root, /v1/receipts/{id}/proof and
// /v1/receipts/consistency, in any order, or lists of such. A receipt may have its `proof` and `root` as members, and
// `tx_signature` and `settlement_tx` as the headers of its answer had them. Each proof needs what it is about: its
// receipt and the root of its size, or both roots.
[[nodiscard]] Verdict verify(std::span<const nlohmann::json> documents, std::span<const TrustedKey> keys);

// JSON text, or JSON lines, as documents. Error: invalid_request.
[[nodiscard]] Result<std::vector<nlohmann::json>> read_documents(std::string_view text);

}  // namespace turnpike::receipts
