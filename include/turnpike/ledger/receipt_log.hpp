// The receipts of all charges as a log: each names the one before it by its hash, and all are leaves of one Merkle tree
// (proof/merkle.hpp). A receipt is written with its charge and is the same whenever it is read.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "turnpike/ledger/ledger.hpp"
#include "turnpike/ledger/receipt.hpp"

namespace turnpike::ledger {

struct StoredReceipt {
  std::string json;  // as RFC 8785 writes it
  Sha256 hash{};     // proof::leaf_hash of it
  std::uint64_t index = 0;
  Entry charge;
  std::string account;  // the public id
  Money held;
  WallTime held_at{};
};

struct TreeHead {
  std::uint64_t size = 0;
  Sha256 root{};
};

struct Inclusion {
  std::uint64_t index = 0;
  std::uint64_t size = 0;
  Sha256 leaf{};
  std::vector<Sha256> path = {};
};

// Loop thread only. Each call sees all that was charged before it. Errors: not_found, where the account has no such
// charge, or it is from before there were receipts; invalid_request, for a size that the log does not have;
// internal_error and service_unavailable, as of Database.
class ReceiptLog {
 public:
  explicit ReceiptLog(storage::Database& database) : database_(database) {}

  [[nodiscard]] boost::asio::awaitable<Result<StoredReceipt>> find(AccountId account, std::string_view job_id);
  [[nodiscard]] boost::asio::awaitable<Result<TreeHead>> head();
  // In the tree of the first `size` receipts; none: of all.
  [[nodiscard]] boost::asio::awaitable<Result<Inclusion>> inclusion(AccountId account, std::string_view job_id,
                                                                    std::optional<std::uint64_t> size);
  // That the first `size` receipts begin with the first `earlier`.
  [[nodiscard]] boost::asio::awaitable<Result<std::vector<Sha256>>> consistency(std::uint64_t earlier,
                                                                                std::uint64_t size);

 private:
  storage::Database& database_;
};

}  // namespace turnpike::ledger
