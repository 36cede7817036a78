// What the ledger tells an account's webhooks.
#pragma once

#include "ledger_store.hpp"
#include "turnpike/events/event.hpp"

namespace turnpike::ledger {

// credit.topup: the entry of a payment, and what is `available` after it.
[[nodiscard]] events::Event topup_event(const NewEntry& entry, Money available);

// credit.low: the charge that took the balance below `threshold`.
[[nodiscard]] events::Event low_event(const NewEntry& charge, Money threshold);

// job.completed: the charge, and what was held for it since when.
[[nodiscard]] events::Event completed_event(const NewEntry& charge, WallTime held_at);

// job.failed or job.timeout: a job that ended without a charge.
[[nodiscard]] events::Event unpaid_event(const UnpaidJob& job, events::Type type);

}  // namespace turnpike::ledger
