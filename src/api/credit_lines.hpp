// What an answer's head says of its job and its credits, as lines that end in CRLF.
#pragma once

#include <string>
#include <string_view>

#include "turnpike/api/guard.hpp"
#include "turnpike/api/header_signing.hpp"
#include "turnpike/inference/inference.hpp"
#include "turnpike/receipts/statements.hpp"

namespace turnpike::api {

// `x-turnpike-job-id` and its like, with the dialect's prefix.
void append_job_lines(std::string& head, const dialect::Dialect& dialect, std::string_view job_id,
                      std::string_view node_id);

// A job and what was held for it. Views: must outlive whoever has it.
struct PricedJob {
  std::string_view id;
  std::string_view model;
  ledger::Money held;
  WallTime held_at{};
};

// The lines of one job that say what became of its credits: some when it is held, some when it is charged.
class CreditLines {
 public:
  // Signs the hold, where that is wanted.
  CreditLines(const HeaderSigning& signing, const Caller& caller, const PricedJob& job);

  void append_head(std::string& head) const { head.append(of_hold_); }
  // The names of what append_settled() appends, for a stream that ends in them.
  void announce(std::string& head) const;
  void append_settled(std::string& lines, const inference::Settled& settled) const;

 private:
  [[nodiscard]] receipts::Movement movement(ledger::Money amount, WallTime at) const;
  void append_signature(std::string& lines, std::string_view name, const std::string& statement, WallTime at) const;

  const receipts::Keys& keys_;
  std::string_view prefix_;
  PricedJob job_;
  const ledger::Account* account_ = nullptr;  // null: nothing is signed
  std::string of_hold_;
};

}  // namespace turnpike::api
