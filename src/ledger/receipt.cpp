// Written by hand, member by member, for every charge has one; the tests hold it to the general writer
// (proof::canonical_json).
#include "turnpike/ledger/receipt.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstring>
#include <limits>

#include "turnpike/proof/canonical_json.hpp"
#include "turnpike/storage/connection.hpp"
#include "turnpike/storage/times.hpp"

namespace turnpike::ledger {
namespace {

constexpr unsigned char kFactsVersion = 1;
constexpr std::size_t kMostNodes = 1024;
constexpr std::size_t kPriceIdBytes = 8;
constexpr int kNanoDigits = 9;
constexpr std::uint64_t kNanoPerDollar = 1'000'000'000;
constexpr std::uint64_t kMostExact = std::uint64_t{1} << 53;  // that JSON is sure to keep

std::string_view bytes_of(const Sha256& hash) {
  return {static_cast<const char*>(static_cast<const void*>(hash.data())), hash.size()};
}

// ---- the facts as they are stored ----

void put_number(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7U) out += static_cast<char>(value | 0x80U);
  out += static_cast<char>(value);
}
void put_money(std::string& out, Money amount) {
  put_number(out, static_cast<std::uint64_t>(amount.nanousd()));
}
void put_tokens(std::string& out, const TokenCounts& tokens) {
  put_number(out, tokens.prompt);
  put_number(out, tokens.completion);
}
void put_text(std::string& out, std::string_view text) {
  put_number(out, text.size());
  out += text;
}

class FactsReader {
 public:
  explicit FactsReader(std::string_view bytes) : left_(bytes) {}
  std::string_view take(std::uint64_t size) {
    if (size > left_.size()) raise();
    const auto taken = left_.substr(0, size);
    left_.remove_prefix(size);
    return taken;
  }
  unsigned byte() { return static_cast<unsigned char>(take(1).front()); }
  std::uint64_t number() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const unsigned next = byte();
      value |= std::uint64_t{next & 0x7FU} << shift;
      if (next < 0x80) return value;
    }
    raise();
  }
  Money money() { return Money::nanousd(static_cast<std::int64_t>(number())); }
  TokenCounts tokens() {
    TokenCounts counts;
    counts.prompt = number();
    counts.completion = number();
    return counts;
  }
  std::string_view text() { return take(number()); }
  Sha256 hash() {
    Sha256 read{};
    std::memcpy(read.data(), take(read.size()).data(), read.size());
    return read;
  }
  template <class Enum>
  Enum one_of(unsigned value, Enum last) {
    if (value > static_cast<unsigned>(last)) raise();
    return static_cast<Enum>(value);
  }
  void end() const {
    if (!left_.empty()) raise();
  }
  [[noreturn]] static void raise() {
    throw storage::StorageError("a receipt is not as it was written, or of another version of turnpike", true);
  }

 private:
  std::string_view left_;
};

// ---- the receipt as JSON ----

template <std::integral Number>
void append_digits(std::string& out, Number number) {
  std::array<char, 24> text{};
  out.append(text.data(), std::to_chars(text.data(), text.data() + text.size(), number).ptr);
}

// A count as JSON is sure to keep it.
void append_count(std::string& out, std::uint64_t count) {
  append_digits(out, std::min(count, kMostExact));
}

// Dollars with 2 to 9 decimals, as Money::to_usdc() has them, in quotes.
void append_usd(std::string& out, Money amount) {
  const auto signed_amount = amount.nanousd();
  const auto nanousd =
      signed_amount < 0 ? ~static_cast<std::uint64_t>(signed_amount) + 1 : static_cast<std::uint64_t>(signed_amount);
  out.append(signed_amount < 0 ? "\"-" : "\"");
  append_digits(out, nanousd / kNanoPerDollar);
  std::array<char, kNanoDigits + 1> decimals{'.'};
  auto left = nanousd % kNanoPerDollar;
  for (std::size_t at = kNanoDigits; at > 0; --at, left /= 10) decimals[at] = static_cast<char>('0' + left % 10);
  std::size_t length = decimals.size();
  while (length > 3 && decimals[length - 1] == '0') --length;
  out.append(decimals.data(), length).append("\"");
}

void append_padded(std::string& out, unsigned value, std::size_t width) {
  std::array<char, 4> digits{};
  for (std::size_t at = width; at > 0; --at, value /= 10) digits[at - 1] = static_cast<char>('0' + value % 10);
  out.append(digits.data(), width);
}

// As rfc3339() has it, in quotes.
void append_time(std::string& out, WallTime at) {
  using namespace std::chrono;
  const auto whole = floor<milliseconds>(at);
  const auto day = floor<days>(whole);
  const year_month_day date(day);
  const hh_mm_ss time(whole - day);
  out += '"';
  append_padded(out, static_cast<unsigned>(static_cast<int>(date.year())), 4);
  out += '-';
  append_padded(out, static_cast<unsigned>(date.month()), 2);
  out += '-';
  append_padded(out, static_cast<unsigned>(date.day()), 2);
  out += 'T';
  append_padded(out, static_cast<unsigned>(time.hours().count()), 2);
  out += ':';
  append_padded(out, static_cast<unsigned>(time.minutes().count()), 2);
  out += ':';
  append_padded(out, static_cast<unsigned>(time.seconds().count()), 2);
  out += '.';
  append_padded(out, static_cast<unsigned>(time.subseconds().count()), 3);
  out += "Z\"";
}

void append_hex(std::string& out, const Sha256& hash) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::array<char, 2 * sizeof(Sha256)> text{};
  for (std::size_t i = 0; i < hash.size(); ++i) {
    text[2 * i] = kDigits[hash[i] >> 4U];
    text[2 * i + 1] = kDigits[hash[i] & 0xFU];
  }
  out.append(text.data(), text.size());
}

void append_text(std::string& out, std::string_view text) {
  proof::append_string(out, text);
}

void append_nodes(std::string& out, std::span<const NodePart> nodes) {
  out += '[';
  for (const NodePart& node : nodes) {
    if (&node != &nodes.front()) out += ',';
    out += R"({"completion_tokens":)";
    append_count(out, node.tokens.completion);
    out += R"(,"id":)";
    append_text(out, node.id);
    out += R"(,"prompt_tokens":)";
    append_count(out, node.tokens.prompt);
    out += '}';
  }
  out += ']';
}

}  // namespace

std::string_view to_string(Work work) {
  switch (work) {
    case Work::chat:
      return "chat";
    case Work::completion:
      return "completion";
    case Work::embedding:
      break;
  }
  return "embedding";
}

std::string_view to_string(Ended ended) {
  switch (ended) {
    case Ended::complete:
      return "complete";
    case Ended::client_left:
      return "client_left";
    case Ended::broken:
      break;
  }
  return "broken";
}

void encode_facts(std::string& bytes, const ReceiptFacts& facts) {
  const Evidence& evidence = facts.evidence;
  bytes.clear();
  bytes.reserve(192);
  bytes += static_cast<char>(kFactsVersion);
  bytes.append(bytes_of(evidence.request)).append(bytes_of(evidence.response));
  bytes += static_cast<char>(evidence.work);
  bytes += static_cast<char>(evidence.stream ? 1 : 0);
  bytes += static_cast<char>(evidence.ended);
  put_money(bytes, evidence.price.prompt_per_million);
  put_money(bytes, evidence.price.completion_per_million);
  put_money(bytes, evidence.price.per_request);
  put_number(bytes, evidence.price.included_output_tokens);
  put_money(bytes, evidence.price.per_thousand_beyond);
  put_tokens(bytes, evidence.most);
  put_money(bytes, facts.held);
  put_number(bytes, static_cast<std::uint64_t>(storage::micros(facts.held_at)));
  put_text(bytes, facts.account);
  put_number(bytes, facts.nodes.size());
  for (const NodePart& node : facts.nodes) {
    put_text(bytes, node.id);
    put_tokens(bytes, node.tokens);
  }
}

ReceiptFacts decode_facts(std::string_view bytes) {
  FactsReader reader(bytes);
  ReceiptFacts facts;
  Evidence& evidence = facts.evidence;
  if (reader.byte() != kFactsVersion) FactsReader::raise();
  evidence.request = reader.hash();
  evidence.response = reader.hash();
  evidence.work = reader.one_of(reader.byte(), Work::embedding);
  evidence.stream = reader.byte() == 1;
  evidence.ended = reader.one_of(reader.byte(), Ended::broken);
  evidence.price.prompt_per_million = reader.money();
  evidence.price.completion_per_million = reader.money();
  evidence.price.per_request = reader.money();
  evidence.price.included_output_tokens = reader.number();
  evidence.price.per_thousand_beyond = reader.money();
  evidence.most = reader.tokens();
  facts.held = reader.money();
  facts.held_at = storage::wall_time(static_cast<std::int64_t>(reader.number()));
  facts.account = reader.text();
  const auto nodes = reader.number();
  if (nodes > kMostNodes) FactsReader::raise();
  facts.nodes.reserve(nodes);
  for (std::uint64_t i = 0; i < nodes; ++i) {
    const auto id = reader.text();
    facts.nodes.push_back({.id = id, .tokens = reader.tokens()});
  }
  reader.end();
  return facts;
}

void append_price(std::string& out, const Price& price, std::string_view id) {
  out += R"({"completion_per_million_usd":)";
  append_usd(out, price.completion_per_million);
  if (!id.empty()) {
    out += R"(,"id":)";
    append_text(out, id);
  }
  out += R"(,"included_output_tokens":)";
  append_count(out, price.included_output_tokens);
  out += R"(,"per_request_usd":)";
  append_usd(out, price.per_request);
  out += R"(,"per_thousand_beyond_usd":)";
  append_usd(out, price.per_thousand_beyond);
  out += R"(,"prompt_per_million_usd":)";
  append_usd(out, price.prompt_per_million);
  out += '}';
}

std::string price_id(const Price& price) {
  std::string text;
  append_price(text, price, {});
  return "price_" + to_hex(bytes_of(sha256(text)).substr(0, kPriceIdBytes));
}

void append_receipt(std::string& out, const Receipt& receipt, std::string_view price_id) {
  const ReceiptFacts& facts = receipt.facts;
  const Evidence& evidence = facts.evidence;
  const auto tokens = [&out](const TokenCounts& counts) {
    out += R"({"completion_tokens":)";
    append_count(out, counts.completion);
    out += R"(,"prompt_tokens":)";
    append_count(out, counts.prompt);
    out += '}';
  };
  out += R"({"account":)";
  append_text(out, facts.account);
  out += R"(,"amounts":{"charged_usdc":)";
  append_usd(out, receipt.charged);
  out += R"(,"held_usdc":)";
  append_usd(out, facts.held);
  out += R"(,"released_usdc":)";
  append_usd(out, facts.held - receipt.charged);
  out += R"(},"basis":)";
  append_text(out, receipt.basis);
  out += R"(,"captured_at":)";
  append_time(out, receipt.captured_at);
  out.append(R"(,"ended":")").append(to_string(evidence.ended)).append(R"(","entry":"txn_)");
  append_digits(out, receipt.entry_id);
  out += R"(","held_at":)";
  append_time(out, facts.held_at);
  out += R"(,"index":)";
  append_digits(out, receipt.index);
  out += R"(,"job_id":)";
  append_text(out, receipt.job_id);
  out += R"(,"model":)";
  append_text(out, receipt.model);
  out += R"(,"nodes":)";
  append_nodes(out, facts.nodes);
  out += R"(,"previous":)";
  if (receipt.previous == Sha256()) {
    out += "null";
  } else {
    out += R"("sha256:)";
    append_hex(out, receipt.previous);
    out += '"';
  }
  out += R"(,"price":)";
  append_price(out, evidence.price, price_id);
  out += R"(,"quote":)";
  tokens(evidence.most);
  out += R"(,"request_sha256":")";
  append_hex(out, evidence.request);
  out += R"(","response_sha256":")";
  append_hex(out, evidence.response);
  out.append(evidence.stream ? R"(","stream":true,"type":"receipt","usage":)"
                             : R"(","stream":false,"type":"receipt","usage":)");
  tokens(receipt.tokens);
  out.append(R"(,"version":1,"work":")").append(to_string(evidence.work)).append("\"}");
}

}  // namespace turnpike::ledger
