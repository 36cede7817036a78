// What the ledger tells an account's webhooks.
#pragma once

#include "ledger_store.hpp"
#include "turnpike/events/event.hpp"

namespace turnpike::ledger {

// credit.topup: the entry of a payment, and what is `available` after it.
[[nodiscard]] events::Event topup_event(const NewEntry& entry, Money available);

// credit.low: the charge that took the balance below `threshold`.
[[nodiscard]] events::Event low_event(const NewEntry& charge, Money threshold);

}  // namespace turnpike::ledger
