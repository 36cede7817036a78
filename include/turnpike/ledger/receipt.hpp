// What a charge is explained by: its receipt. Which bytes it covers and what stands in it is docs/receipts.md's to say.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "turnpike/base/clock.hpp"
#include "turnpike/base/encoding.hpp"
#include "turnpike/ledger/money.hpp"
#include "turnpike/ledger/price.hpp"

namespace turnpike::ledger {

// What was asked for. The order is stored: new ones go to the end.
enum class Work : std::uint8_t { chat, completion, embedding };
[[nodiscard]] std::string_view to_string(Work work);

// How it ended: whole; the client left before; no node could go on. The order is stored.
enum class Ended : std::uint8_t { complete, client_left, broken };
[[nodiscard]] std::string_view to_string(Ended ended);

// SHA-256 of what was asked and answered.
struct ContentDigests {
  Sha256 request = {};   // of the request's body, as it came
  Sha256 response = {};  // of the answer's body, as it was handed to the client's connection
  bool operator==(const ContentDigests&) const = default;
};

// What whoever made a charge knows of it beside its amount.
struct Evidence {
  std::optional<ContentDigests> content = {};  // nullopt: none are taken
  Work work = Work::chat;
  bool stream = false;
  Ended ended = Ended::complete;
  Price price = {};       // quoted when the job was held
  TokenCounts most = {};  // that the hold was quoted for
};

// One node's part, as a receipt has it.
struct NodePart {
  std::string_view id;
  TokenCounts tokens = {};
};

// What a receipt says beside its charge, as it is stored with it.
struct ReceiptFacts {
  std::string_view account;  // the public id
  Evidence evidence = {};
  Money held = {};
  WallTime held_at{};
  std::vector<NodePart> nodes = {};  // in the order they served
};

// The facts in a few hundred bytes, and back; views of what decode_facts() finds are into `bytes`. Throws
// storage::StorageError when they are none.
void encode_facts(std::string& bytes, const ReceiptFacts& facts);
[[nodiscard]] ReceiptFacts decode_facts(std::string_view bytes);

// A receipt, with all that stands in it.
struct Receipt {
  std::uint64_t index = 0;  // in the log
  Sha256 previous = {};     // the hash of the receipt before it; zeros: it is the first
  std::int64_t entry_id = 0;
  std::string_view job_id = {};
  std::string_view model = {};
  std::string_view basis = {};
  Money charged = {};
  TokenCounts tokens = {};
  WallTime captured_at{};
  ReceiptFacts facts = {};
};

// A price as RFC 8785 writes it; `id` is a member where it is not empty.
[[nodiscard]] std::string price_json(const Price& price, std::string_view id);
// What names a price: "price_" and 16 hex digits of the SHA-256 of price_json() without an id.
[[nodiscard]] std::string price_id(const Price& price);

// Appends a receipt as RFC 8785 writes it. `price`: price_json() of its evidence's, with its id.
void append_receipt(std::string& out, const Receipt& receipt, std::string_view price);

}  // namespace turnpike::ledger
