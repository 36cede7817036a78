#include "turnpike/receipts/statements.hpp"

#include <nlohmann/json.hpp>

#include "turnpike/base/encoding.hpp"
#include "turnpike/proof/canonical_json.hpp"
#include "turnpike/storage/times.hpp"

namespace turnpike::receipts {
namespace {

using nlohmann::json;

std::string statement(const Movement& movement, const char* type) {
  return proof::canonical_json({{"account", movement.account},
                                {"amount_usdc", movement.amount.to_usdc()},
                                {"at", rfc3339(storage::micros(movement.at))},
                                {"job_id", movement.job_id},
                                {"model", movement.model},
                                {"type", type}})
      .value();
}

}  // namespace

std::string hold_statement(const Movement& hold) {
  return statement(hold, "hold");
}

std::string charge_statement(const Movement& charge) {
  return statement(charge, "charge");
}

std::string head_statement(const ledger::TreeHead& head, WallTime at) {
  const std::string_view root(static_cast<const char*>(static_cast<const void*>(head.root.data())), head.root.size());
  return proof::canonical_json({{"root_hash", to_base64(root)},
                                {"timestamp", rfc3339(storage::micros(at))},
                                {"tree_size", head.size},
                                {"type", "tree_head"}})
      .value();
}

}  // namespace turnpike::receipts
