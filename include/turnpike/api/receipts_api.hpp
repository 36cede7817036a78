// GET /v1/jobs/{id}/receipt; GET /v1/receipts/root, /v1/receipts/consistency, /v1/receipts/{job id}/proof.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <optional>
#include <string>

#include "turnpike/api/guard.hpp"
#include "turnpike/base/clock.hpp"
#include "turnpike/http/router.hpp"
#include "turnpike/ledger/receipt_log.hpp"
#include "turnpike/receipts/keys.hpp"

namespace turnpike::api {

// Receipts and proofs are their account's. The log's root and its consistency are anybody's: who watches the log need
// not be a customer, and is counted by address.
//
// Loop thread only.
class ReceiptsApi {
 public:
  ReceiptsApi(const Guard& guard, ledger::ReceiptLog& log, const receipts::Keys& keys, const Clock& clock)
      : guard_(guard), log_(log), keys_(keys), clock_(clock) {}
  void add_routes(http::Router& router);

  // {"receipt":{…},"key_id","signature"}; the receipt stands there as it is signed, to the byte.
  [[nodiscard]] boost::asio::awaitable<http::Response> receipt(const http::Request& request) const;
  // {"type":"tree_head","tree_size","root_hash","timestamp","key_id","signature"}
  [[nodiscard]] boost::asio::awaitable<http::Response> root(const http::Request& request);
  // {"leaf_index","tree_size","leaf_hash","audit_path":[…]}
  [[nodiscard]] boost::asio::awaitable<http::Response> proof(const http::Request& request) const;
  // {"from","to","proof":[…]}
  [[nodiscard]] boost::asio::awaitable<http::Response> consistency(const http::Request& request) const;

 private:
  struct Head {
    std::uint64_t size = 0;
    Instant signed_at{};
    std::string body;
  };

  const Guard& guard_;
  ledger::ReceiptLog& log_;
  const receipts::Keys& keys_;
  const Clock& clock_;
  std::optional<Head> head_;  // the last one that was signed
};

}  // namespace turnpike::api
