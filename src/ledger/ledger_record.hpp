// What the ledger writes ahead, in bytes: a kind, then the members in order; numbers as eight bytes and texts after
// their length, in the machine's byte order. An entry's earnings and events are part of its record, and come back with
// it. One that has neither is written as it always was, so that a journal which an older version left can be read.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <variant>

#include "ledger_store.hpp"

namespace turnpike::ledger {

// Replaces what `record` holds.
void write_record(std::string& record, const NewEntry& entry);
void write_record(std::string& record, const NewAccount& opened);

// What a record says. Throws storage::StorageError when it is none of ours.
using Recorded = std::variant<std::unique_ptr<NewEntry>, Account>;
[[nodiscard]] Recorded read_record(std::string_view record);

}  // namespace turnpike::ledger
