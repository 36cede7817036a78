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

}  // namespace turnpike::ledger
