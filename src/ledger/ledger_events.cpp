#include "ledger_events.hpp"

#include <nlohmann/json.hpp>

namespace turnpike::ledger {

events::Event topup_event(const NewEntry& entry, Money available) {
  const nlohmann::json data = {{"credits_added", entry.amount.whole_credits()},
                               {"amount_usdc", entry.amount.to_usdc()},
                               {"balance", available.whole_credits()},
                               {"balance_usdc", available.to_usdc()},
                               {"payment_id", entry.job_id},
                               {"txHash", entry.note}};
  return {.account = entry.account,
          .type = events::Type::credit_topup,
          .data = data.dump(),
          .created_at = entry.created_at};
}

events::Event low_event(const NewEntry& charge, Money threshold) {
  const nlohmann::json data = {{"threshold_usdc", threshold.to_usdc()},
                               {"balance", charge.balance.whole_credits()},
                               {"balance_usdc", charge.balance.to_usdc()},
                               {"job_id", charge.job_id}};
  return {.account = charge.account,
          .type = events::Type::credit_low,
          .data = data.dump(),
          .created_at = charge.created_at};
}

}  // namespace turnpike::ledger
