#include "receipt_store.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "turnpike/storage/connection.hpp"
#include "turnpike/storage/times.hpp"

namespace turnpike::ledger {
namespace {

using proof::kTileWidth;
using storage::Connection;
using storage::Statement;
using storage::StorageError;
using storage::wall_time;

std::string_view bytes_of(const Sha256& hash) {
  return {static_cast<const char*>(static_cast<const void*>(hash.data())), hash.size()};
}

[[noreturn]] void raise_gap() {
  throw StorageError("the receipts' log has a gap: run turnpike ledger check", true);
}

// The whole tiles of leaves, and the last entry in them.
struct Whole {
  std::int64_t tiles = 0;
  std::int64_t last_entry_id = 0;
};

Whole whole_tiles(Connection& connection) {
  auto row = connection.prepare(
      "SELECT position + 1, last_entry_id FROM receipt_tiles WHERE level = 1 ORDER BY position DESC LIMIT 1");
  if (row.step()) return {.tiles = row.integer(0), .last_entry_id = row.integer(1)};
  auto began = connection.prepare("SELECT began_after FROM receipt_log");
  began.step();
  return {.tiles = 0, .last_entry_id = began.integer(0)};
}

// The hashes of receipts between two entries, the second among them; null: to the end.
std::vector<Sha256> hashes_between(Connection& connection, std::int64_t after, std::optional<std::int64_t> last,
                                   std::int64_t first_index) {
  std::vector<Sha256> hashes;
  auto rows = connection.prepare(
      "SELECT receipt_index, receipt_hash FROM entries WHERE id > ? AND id <= coalesce(?, 0x7fffffffffffffff) AND "
      "receipt_index IS NOT NULL ORDER BY id");
  rows.bind(after).bind(last);
  while (rows.step()) {
    if (rows.integer(0) != first_index + static_cast<std::int64_t>(hashes.size())) raise_gap();
    hashes.push_back(stored_hash(rows.text(1)));
  }
  return hashes;
}

std::optional<std::int64_t> last_entry_of(Connection& connection, std::int64_t tile) {
  auto row = connection.prepare("SELECT last_entry_id FROM receipt_tiles WHERE level = 1 AND position = ?");
  if (!row.bind(tile).step()) return std::nullopt;
  return row.integer(0);
}

// The tree as it is stored: leaves in their entries, the levels above as roots of tiles.
class StoredTiles final : public proof::Tiles {
 public:
  explicit StoredTiles(Connection& connection) : connection_(connection) {}

  [[nodiscard]] std::vector<Sha256> read(unsigned level, std::uint64_t first, std::uint64_t count) const override {
    std::vector<Sha256> hashes;
    if (level == 0) {
      const std::uint64_t place = first % kTileWidth;
      const auto& tile = leaves(static_cast<std::int64_t>(first / kTileWidth));
      if (tile.size() < place + count) raise_gap();
      const auto begin = tile.begin() + static_cast<std::ptrdiff_t>(place);
      hashes.assign(begin, begin + static_cast<std::ptrdiff_t>(count));
      return hashes;
    }
    auto rows = connection_.prepare(
        "SELECT root FROM receipt_tiles WHERE level = ? AND position >= ? AND position < ? ORDER BY position");
    rows.bind(static_cast<std::int64_t>(level))
        .bind(static_cast<std::int64_t>(first))
        .bind(static_cast<std::int64_t>(first + count));
    while (rows.step()) hashes.push_back(stored_hash(rows.text(0)));
    if (hashes.size() != count) raise_gap();
    return hashes;
  }

 private:
  // A proof reads one tile of leaves again and again.
  const std::vector<Sha256>& leaves(std::int64_t tile) const {
    if (tile_ != tile) {
      const auto before = tile == 0 ? std::optional(began_after()) : last_entry_of(connection_, tile - 1);
      if (!before) raise_gap();
      leaves_ = hashes_between(connection_, *before, last_entry_of(connection_, tile),
                               tile * static_cast<std::int64_t>(kTileWidth));
      tile_ = tile;
    }
    return leaves_;
  }
  [[nodiscard]] std::int64_t began_after() const {
    auto row = connection_.prepare("SELECT began_after FROM receipt_log");
    row.step();
    return row.integer(0);
  }

  Connection& connection_;
  mutable std::int64_t tile_ = -1;
  mutable std::vector<Sha256> leaves_;
};

Receipt receipt_of(const NewEntry& charge, const Sha256& previous) {
  return {.index = static_cast<std::uint64_t>(charge.receipt_index),
          .previous = previous,
          .entry_id = charge.id,
          .job_id = charge.job_id,
          .model = charge.model,
          .basis = to_string(charge.basis.value_or(Basis::none)),
          .charged = -charge.amount,
          .tokens = charge.tokens,
          .captured_at = charge.created_at,
          .facts = decode_facts(charge.receipt)};
}

void write_tile(Connection& connection, std::int64_t level, std::int64_t position, const Sha256& root,
                std::int64_t last_entry_id) {
  connection.prepare("INSERT INTO receipt_tiles (level, position, root, last_entry_id) VALUES (?,?,?,?)")
      .bind(level)
      .bind(position)
      .bind_blob(bytes_of(root))
      .bind(last_entry_id)
      .run();
}

// The hash of the receipt before the one of this entry; zeros: there is none.
Sha256 hash_before(Connection& connection, std::int64_t entry_id) {
  auto row = connection.prepare(
      "SELECT receipt_hash FROM entries WHERE id < ? AND receipt_index IS NOT NULL ORDER BY id DESC LIMIT 1");
  return row.bind(entry_id).step() ? stored_hash(row.text(0)) : Sha256();
}

// From a row of: id, receipt_index, receipt, receipt_hash, job_id, model, basis, amount, prompt and completion tokens,
// created_at, node_id.
StoredReceipt stored_receipt(Connection& connection, const Statement& row) {
  StoredReceipt found;
  found.charge.id = row.integer(0);
  found.index = static_cast<std::uint64_t>(row.integer(1));
  const ReceiptFacts facts = decode_facts(row.text(2));
  found.hash = stored_hash(row.text(3));
  found.charge.job_id = row.text(4);
  found.charge.model = row.text(5);
  found.charge.basis = row.text(6);
  found.charge.amount = Money::nanousd(row.integer(7));
  found.charge.tokens = {.prompt = static_cast<std::uint64_t>(row.integer(8)),
                         .completion = static_cast<std::uint64_t>(row.integer(9))};
  found.charge.created_at = wall_time(row.integer(10));
  found.charge.node_id = row.text(11);
  found.account = facts.account;
  found.held = facts.held;
  found.held_at = facts.held_at;
  append_receipt(found.json,
                 {.index = found.index,
                  .previous = found.index == 0 ? Sha256() : hash_before(connection, found.charge.id),
                  .entry_id = found.charge.id,
                  .job_id = found.charge.job_id,
                  .model = found.charge.model,
                  .basis = found.charge.basis,
                  .charged = -found.charge.amount,
                  .tokens = found.charge.tokens,
                  .captured_at = found.charge.created_at,
                  .facts = facts},
                 price_json(facts.evidence.price, price_id(facts.evidence.price)));
  return found;
}

}  // namespace

Sha256 stored_hash(std::string_view bytes) {
  Sha256 hash{};
  if (bytes.size() != hash.size()) throw StorageError("a hash of the receipts' log is damaged", true);
  std::memcpy(hash.data(), bytes.data(), hash.size());
  return hash;
}

Sha256 ReceiptTail::next(Connection& connection, const NewEntry& charge) {
  // A transaction that was rolled back, or a start: what is here is not what is stored.
  if (size_ != charge.receipt_index) load(connection);
  if (size_ != charge.receipt_index) raise_gap();
  const Receipt receipt = receipt_of(charge, last_);
  if (price_json_.empty() || price_ != receipt.facts.evidence.price) {
    price_ = receipt.facts.evidence.price;
    price_json_ = price_json(price_, price_id(price_));
  }
  text_.clear();
  append_receipt(text_, receipt, price_json_);
  return proof::leaf_hash(text_);
}

void ReceiptTail::add(Connection& connection, const Sha256& hash, std::int64_t entry_id) {
  ++size_;
  last_ = hash;
  tile_.push_back(hash);
  if (tile_.size() < kTileWidth) return;
  constexpr auto kWidth = static_cast<std::int64_t>(kTileWidth);
  std::int64_t level = 1;
  std::int64_t position = size_ / kWidth - 1;
  write_tile(connection, level, position, proof::root_of(tile_), entry_id);
  tile_.clear();
  while (position % kWidth == kWidth - 1) {
    const auto first = static_cast<std::uint64_t>(position - kWidth + 1);
    const auto below = StoredTiles(connection).read(static_cast<unsigned>(level), first, kTileWidth);
    ++level;
    position /= kWidth;
    write_tile(connection, level, position, proof::root_of(below), entry_id);
  }
}

void ReceiptTail::load(Connection& connection) {
  const Whole whole = whole_tiles(connection);
  const std::int64_t first = whole.tiles * static_cast<std::int64_t>(kTileWidth);
  tile_ = hashes_between(connection, whole.last_entry_id, std::nullopt, first);
  size_ = first + static_cast<std::int64_t>(tile_.size());
  last_ = !tile_.empty() ? tile_.back() : size_ == 0 ? Sha256() : hash_before(connection, whole.last_entry_id + 1);
}

std::int64_t count_receipts(Connection& connection) {
  const Whole whole = whole_tiles(connection);
  auto row = connection.prepare("SELECT count(*) FROM entries WHERE id > ? AND receipt_index IS NOT NULL");
  row.bind(whole.last_entry_id).step();
  return whole.tiles * static_cast<std::int64_t>(kTileWidth) + row.integer(0);
}

void ReadReceipt::run(Connection& connection) {
  auto row = connection.prepare(
      "SELECT id, receipt_index, receipt, receipt_hash, job_id, model, basis, amount_nanousd, prompt_tokens, "
      "completion_tokens, created_at, node_id FROM entries WHERE job_id = ? AND account_id = ? AND type = 'charge'");
  charged = row.bind(std::string_view(job_id)).bind(account).step();
  if (!charged || row.is_null(1)) return;
  found = stored_receipt(connection, row);
  if (proof::leaf_hash(found->json) != found->hash) {
    throw StorageError("the receipt of " + job_id + " is not as it was written: run turnpike ledger check", true);
  }
}

void ReadHead::run(Connection& connection) {
  head.size = static_cast<std::uint64_t>(count_receipts(connection));
  head.root = proof::root(StoredTiles(connection), head.size);
}

void ReadInclusion::run(Connection& connection) {
  log_size = static_cast<std::uint64_t>(count_receipts(connection));
  auto row = connection.prepare("SELECT receipt_index, receipt_hash FROM entries WHERE job_id = ? AND account_id = ?");
  if (!row.bind(std::string_view(job_id)).bind(account).step() || row.is_null(0)) return;
  index = static_cast<std::uint64_t>(row.integer(0));
  proof = {.index = *index, .size = size.value_or(log_size), .leaf = stored_hash(row.text(1))};
  if (*index < proof.size && proof.size <= log_size) {
    proof.path = proof::inclusion_proof(StoredTiles(connection), *index, proof.size);
  }
}

void ReadConsistency::run(Connection& connection) {
  log_size = static_cast<std::uint64_t>(count_receipts(connection));
  if (earlier == 0 || earlier > size || size > log_size) return;
  proof = proof::consistency_proof(StoredTiles(connection), earlier, size);
}

namespace {

// Every tile's root, from the hashes below it.
void audit_tiles(Connection& connection, std::vector<std::string>& faults) {
  auto rows = connection.prepare("SELECT level, position, root FROM receipt_tiles ORDER BY level, position");
  while (rows.step()) {
    const auto level = static_cast<unsigned>(rows.integer(0));
    const auto first = static_cast<std::uint64_t>(rows.integer(1)) * kTileWidth;
    bool right = false;
    try {
      // A statement has one use at a time: the levels above the first are read by another.
      std::vector<Sha256> below;
      if (level == 1) {
        below = StoredTiles(connection).read(0, first, kTileWidth);
      } else {
        auto roots = connection.prepare(
            "SELECT root FROM receipt_tiles WHERE level = ? - 1 AND position / 256 = ? ORDER BY position");
        roots.bind(rows.integer(0)).bind(rows.integer(1));
        while (roots.step()) below.push_back(stored_hash(roots.text(0)));
      }
      right = below.size() == kTileWidth && proof::root_of(below) == stored_hash(rows.text(2));
    } catch (const StorageError&) {
      right = false;
    }
    if (right) continue;
    faults.push_back("tile " + std::to_string(rows.integer(1)) + " of level " + std::to_string(level) +
                     " of the receipts' log: its root is not that of what is below it");
  }
}

}  // namespace

void audit_receipts(Connection& connection, std::vector<std::string>& faults) {
  auto rows = connection.prepare(
      "SELECT id, receipt_index, receipt, receipt_hash, job_id, model, basis, amount_nanousd, prompt_tokens, "
      "completion_tokens, created_at, node_id FROM entries WHERE type = 'charge' AND "
      "(receipt_index IS NOT NULL OR id > (SELECT min(id) FROM entries WHERE receipt_index IS NOT NULL)) ORDER BY id");
  std::int64_t next = 0;
  while (rows.step()) {
    const std::string entry = "entry " + std::to_string(rows.integer(0));
    if (rows.is_null(1)) {
      faults.push_back(entry + ": a charge without a receipt");
      continue;
    }
    if (rows.integer(1) != next) faults.push_back(entry + ": its receipt is out of its place in the log");
    next = rows.integer(1) + 1;
    try {
      const auto receipt = stored_receipt(connection, rows);
      if (proof::leaf_hash(receipt.json) == receipt.hash) continue;
      faults.push_back(entry + ": its receipt is not as it was written");
    } catch (const StorageError&) {
      faults.push_back(entry + ": its receipt cannot be read");
    }
  }
  audit_tiles(connection, faults);
  auto strays = connection.prepare("SELECT id FROM entries WHERE type <> 'charge' AND receipt_index IS NOT NULL");
  while (strays.step()) faults.push_back("entry " + std::to_string(strays.integer(0)) + ": a receipt of no charge");
  const auto whole = whole_tiles(connection);
  if (whole.tiles != next / static_cast<std::int64_t>(kTileWidth)) {
    faults.emplace_back("the receipts' log: it has not a tile for each 256 receipts");
  }
}

}  // namespace turnpike::ledger
