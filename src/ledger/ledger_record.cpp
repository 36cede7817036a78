#include "ledger_record.hpp"

#include <cstring>
#include <utility>

#include "turnpike/storage/connection.hpp"

namespace turnpike::ledger {
namespace {

enum class RecordKind : std::uint8_t { account = 1, entry = 2, entry_with_more = 3, entry_with_receipt = 4 };

class Writer {
 public:
  Writer(std::string& into, RecordKind kind) : into_(into) { into_.assign(1, static_cast<char>(kind)); }
  Writer& number(std::int64_t value) {
    char bytes[sizeof value];
    std::memcpy(bytes, &value, sizeof value);
    into_.append(bytes, sizeof bytes);
    return *this;
  }
  Writer& text(std::string_view value) {
    number(static_cast<std::int64_t>(value.size()));
    into_ += value;
    return *this;
  }

 private:
  std::string& into_;
};

class Reader {
 public:
  explicit Reader(std::string_view record) : left_(record) {}
  std::uint8_t byte() { return static_cast<std::uint8_t>(take(1).front()); }
  std::int64_t number() {
    std::int64_t value = 0;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  std::string text() {
    const auto size = static_cast<std::uint64_t>(number());
    return std::string(take(size));
  }
  void end() const {
    if (!left_.empty()) raise();
  }
  [[noreturn]] static void raise() {
    throw storage::StorageError("the journal holds a record of another version of turnpike", false);
  }

 private:
  std::string_view take(std::uint64_t size) {
    if (size > left_.size()) raise();
    const std::string_view taken = left_.substr(0, size);
    left_.remove_prefix(size);
    return taken;
  }
  std::string_view left_;
};

template <class Enum>
Enum one_of(std::int64_t value, Enum last) {
  if (value < 0 || value > static_cast<std::int64_t>(last)) Reader::raise();
  return static_cast<Enum>(value);
}

TokenCounts read_tokens(Reader& reader) {
  TokenCounts tokens;
  tokens.prompt = static_cast<std::uint64_t>(reader.number());
  tokens.completion = static_cast<std::uint64_t>(reader.number());
  return tokens;
}

Payout read_payout(Reader& reader) {
  Payout payout;
  payout.owner = reader.number();
  payout.amount = Money::nanousd(reader.number());
  payout.tokens = read_tokens(reader);
  payout.node_id = reader.text();
  return payout;
}

}  // namespace

void write_record(std::string& record, const NewEntry& entry) {
  const bool explained = !entry.receipt.empty();
  const bool more = explained || !entry.payouts.empty() || !entry.events.empty();
  Writer writer(record, explained ? RecordKind::entry_with_receipt
                        : more    ? RecordKind::entry_with_more
                                  : RecordKind::entry);
  writer.number(entry.id)
      .number(entry.account)
      .number(static_cast<std::int64_t>(entry.type))
      .number(entry.amount.nanousd())
      .number(entry.balance.nanousd())
      .number(entry.basis ? static_cast<std::int64_t>(*entry.basis) : -1)
      .number(static_cast<std::int64_t>(entry.tokens.prompt))
      .number(static_cast<std::int64_t>(entry.tokens.completion))
      .number(entry.created_at.time_since_epoch().count())
      .number(entry.hold_id.value_or(-1))
      .text(entry.job_id)
      .text(entry.model)
      .text(entry.node_id)
      .text(entry.note);
  if (!more) return;
  writer.number(static_cast<std::int64_t>(entry.payouts.size()));
  for (const Payout& payout : entry.payouts) {
    writer.number(payout.owner)
        .number(payout.amount.nanousd())
        .number(static_cast<std::int64_t>(payout.tokens.prompt))
        .number(static_cast<std::int64_t>(payout.tokens.completion))
        .text(payout.node_id);
  }
  writer.number(static_cast<std::int64_t>(entry.events.size()));
  for (const auto& event : entry.events) writer.number(static_cast<std::int64_t>(event.type)).text(event.data);
  if (explained) writer.text(entry.receipt);
}

void write_record(std::string& record, const NewAccount& opened) {
  const Account& account = opened.account;
  Writer(record, RecordKind::account)
      .number(account.id)
      .number(account.created_at.time_since_epoch().count())
      .text(account.public_id)
      .text(account.name);
}

Recorded read_record(std::string_view record) {
  Reader reader(record);
  const auto kind = static_cast<RecordKind>(reader.byte());
  if (kind == RecordKind::account) {
    Account account;
    account.id = reader.number();
    account.created_at = WallTime(std::chrono::microseconds(reader.number()));
    account.public_id = reader.text();
    account.name = reader.text();
    reader.end();
    return account;
  }
  const bool explained = kind == RecordKind::entry_with_receipt;
  const bool more = explained || kind == RecordKind::entry_with_more;
  if (!more && kind != RecordKind::entry) Reader::raise();
  auto entry = std::make_unique<NewEntry>();
  entry->id = reader.number();
  entry->account = reader.number();
  entry->type = one_of(reader.number(), EntryType::adjustment);
  entry->amount = Money::nanousd(reader.number());
  entry->balance = Money::nanousd(reader.number());
  if (const auto basis = reader.number(); basis >= 0) entry->basis = one_of(basis, Basis::none);
  entry->tokens = read_tokens(reader);
  entry->created_at = WallTime(std::chrono::microseconds(reader.number()));
  if (const auto hold = reader.number(); hold >= 0) entry->hold_id = hold;
  entry->job_id = reader.text();
  entry->model = reader.text();
  entry->node_id = reader.text();
  entry->note = reader.text();
  if (more) {
    for (auto left = reader.number(); left > 0; --left) entry->payouts.push_back(read_payout(reader));
    for (auto left = reader.number(); left > 0; --left) {
      const auto type = one_of(reader.number(), events::Type::credit_topup);
      entry->events.push_back(
          {.account = entry->account, .type = type, .data = reader.text(), .created_at = entry->created_at});
    }
  }
  if (explained) entry->receipt = reader.text();
  reader.end();
  return entry;
}

}  // namespace turnpike::ledger
