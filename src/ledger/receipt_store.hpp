// How the log of receipts is stored. Its SQL is in receipt_store.cpp.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ledger_store.hpp"
#include "turnpike/ledger/receipt_log.hpp"
#include "turnpike/proof/merkle.hpp"

namespace turnpike::ledger {

// The end of the log, where receipts are added. Database's thread only.
class ReceiptTail {
 public:
  // The hash of the receipt of `charge`, which must be the next one. Throws storage::StorageError when it is not.
  [[nodiscard]] Sha256 next(storage::Connection& connection, const NewEntry& charge);
  // It was written.
  void add(storage::Connection& connection, const Sha256& hash, std::int64_t entry_id);

 private:
  void load(storage::Connection& connection);

  std::int64_t size_ = -1;    // -1: not known
  Sha256 last_{};             // the last receipt's hash
  std::vector<Sha256> tile_;  // the hashes since the last whole tile
  std::string text_;          // its memory is used again
  Price price_;               // the last receipt's …
  std::string price_json_;    // … as it stands there; empty: none yet
};

// From a column. Throws storage::StorageError when it is none.
[[nodiscard]] Sha256 stored_hash(std::string_view bytes);

// How many receipts the log holds.
[[nodiscard]] std::int64_t count_receipts(storage::Connection& connection);

struct ReadReceipt final : storage::Operation {
  ReadReceipt(AccountId whose, std::string_view job) : account(whose), job_id(job) {}
  void run(storage::Connection& connection) override;
  AccountId account;
  std::string job_id;
  std::optional<StoredReceipt> found;
  bool charged = false;  // there is such a charge, with or without a receipt
};

struct ReadHead final : storage::Operation {
  void run(storage::Connection& connection) override;
  TreeHead head;
};

// `size` and `earlier` are left alone where the log does not have them.
struct ReadInclusion final : storage::Operation {
  ReadInclusion(AccountId whose, std::string_view job, std::optional<std::uint64_t> most)
      : account(whose), job_id(job), size(most) {}
  void run(storage::Connection& connection) override;
  AccountId account;
  std::string job_id;
  std::optional<std::uint64_t> size;
  std::optional<std::uint64_t> index;  // none: the account has no such receipt
  std::uint64_t log_size = 0;
  Inclusion proof;
};

struct ReadConsistency final : storage::Operation {
  ReadConsistency(std::uint64_t from, std::uint64_t to) : earlier(from), size(to) {}
  void run(storage::Connection& connection) override;
  std::uint64_t earlier;
  std::uint64_t size;
  std::uint64_t log_size = 0;
  std::vector<Sha256> proof;
};

// What is wrong with the log, a line each.
void audit_receipts(storage::Connection& connection, std::vector<std::string>& faults);

}  // namespace turnpike::ledger
