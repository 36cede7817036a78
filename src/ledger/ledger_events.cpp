#include "ledger_events.hpp"

#include <nlohmann/json.hpp>

#include "turnpike/base/encoding.hpp"
#include "turnpike/storage/times.hpp"

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

events::Event completed_event(const NewEntry& charge, WallTime held_at) {
  const nlohmann::json data = {
      {"job_id", charge.job_id},
      {"model", charge.model},
      {"status", "settled"},
      {"usage", {{"prompt_tokens", charge.tokens.prompt}, {"completion_tokens", charge.tokens.completion}}},
      {"amount_usdc", (-charge.amount).to_usdc()},
      {"basis", to_string(charge.basis.value_or(Basis::none))},
      {"worker_address", charge.node_id},
      {"created_at", rfc3339(storage::micros(held_at))},
      {"completed_at", rfc3339(storage::micros(charge.created_at))}};
  return {.account = charge.account,
          .type = events::Type::job_completed,
          .data = data.dump(),
          .created_at = charge.created_at};
}

events::Event unpaid_event(const UnpaidJob& job, events::Type type) {
  const bool left = job.code.empty();
  const nlohmann::json data = {{"job_id", job.job_id},
                               {"model", job.model},
                               {"status", left ? "refunded" : "failed"},
                               {"error", left ? nlohmann::json(nullptr) : nlohmann::json{{"code", job.code}}},
                               {"amount_usdc", Money().to_usdc()},
                               {"created_at", rfc3339(storage::micros(job.created_at))},
                               {"completed_at", rfc3339(storage::micros(job.ended_at))}};
  return {.account = job.account, .type = type, .data = data.dump(), .created_at = job.ended_at};
}

}  // namespace turnpike::ledger
