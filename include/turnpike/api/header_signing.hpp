// Which answers say their hold and charge in signed headers (docs/receipts.md).
#pragma once

#include <cstdint>

#include "turnpike/ledger/ledger.hpp"
#include "turnpike/receipts/keys.hpp"

namespace turnpike::api {

enum class SignedHeaders : std::uint8_t { dialect, always, never };

// What signs an answer's hold and charge, and for whom.
struct HeaderSigning {
  const receipts::Keys& keys;
  const ledger::Ledger& ledger;
  SignedHeaders when = SignedHeaders::dialect;
};

}  // namespace turnpike::api
