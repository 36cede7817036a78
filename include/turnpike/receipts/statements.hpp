// What the gateway signs beside receipts, byte for byte: RFC 8785 forms of small objects, each of a `type` of its own.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "turnpike/base/clock.hpp"
#include "turnpike/ledger/receipt_log.hpp"

namespace turnpike::receipts {

// Of one job: that credits are held for it, or that it was charged.
struct Movement {
  std::string_view account;  // the public id
  std::string_view job_id;
  std::string_view model;
  ledger::Money amount;
  WallTime at{};
};

// {"account","amount_usdc","at","job_id","model","type":"hold"}, and the same of type "charge".
[[nodiscard]] std::string hold_statement(const Movement& hold);
[[nodiscard]] std::string charge_statement(const Movement& charge);

// {"root_hash","timestamp","tree_size","type":"tree_head"}
[[nodiscard]] std::string head_statement(const ledger::TreeHead& head, WallTime at);

}  // namespace turnpike::receipts
