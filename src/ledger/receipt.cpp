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

// How stored facts begin: with the digests of content, or without.
constexpr unsigned char kWithContent = 1;
constexpr unsigned char kWithoutContent = 2;
constexpr std::size_t kMostNodes = 1024;
constexpr std::size_t kPriceIdBytes = 8;
constexpr int kNanoDigits = 9;
constexpr std::uint64_t kNanoPerDollar = 1'000'000'000;
constexpr std::uint64_t kMostExact = std::uint64_t{1} << 53;  // that JSON is sure to keep

std::string_view bytes_of(const Sha256& hash) {
  return {static_cast<const char*>(static_cast<const void*>(hash.data())), hash.size()};
}

// ---- the facts as they are stored ----

constexpr std::size_t kMostNumberBytes = 10;

char* put_number(char* at, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7U) *at++ = static_cast<char>(value | 0x80U);
  *at++ = static_cast<char>(value);
  return at;
}
char* put_bytes(char* at, std::string_view bytes) {
  return std::ranges::copy(bytes, at).out;
}
char* put_money(char* at, Money amount) {
  return put_number(at, static_cast<std::uint64_t>(amount.nanousd()));
}
char* put_tokens(char* at, const TokenCounts& tokens) {
  return put_number(put_number(at, tokens.prompt), tokens.completion);
}
char* put_text(char* at, std::string_view text) {
  return put_bytes(put_number(at, text.size()), text);
}

// Where there is room.
char* put_facts(char* at, const ReceiptFacts& facts) {
  const Evidence& evidence = facts.evidence;
  *at++ = static_cast<char>(evidence.content ? kWithContent : kWithoutContent);
  if (evidence.content) {
    at = put_bytes(at, bytes_of(evidence.content->request));
    at = put_bytes(at, bytes_of(evidence.content->response));
  }
  *at++ = static_cast<char>(evidence.work);
  *at++ = static_cast<char>(evidence.stream ? 1 : 0);
  *at++ = static_cast<char>(evidence.ended);
  at = put_money(at, evidence.price.prompt_per_million);
  at = put_money(at, evidence.price.completion_per_million);
  at = put_money(at, evidence.price.per_request);
  at = put_number(at, evidence.price.included_output_tokens);
  at = put_money(at, evidence.price.per_thousand_beyond);
  at = put_tokens(at, evidence.most);
  at = put_money(at, facts.held);
  at = put_number(at, static_cast<std::uint64_t>(storage::micros(facts.held_at)));
  at = put_text(at, facts.account);
  at = put_number(at, facts.nodes.size());
  for (const NodePart& node : facts.nodes) at = put_tokens(put_text(at, node.id), node.tokens);
  return at;
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

// Room for all of a receipt but its texts.
constexpr std::size_t kMostBytesAside = 1'600;
constexpr std::size_t kMostNodeBytesAside = 96;

constexpr auto kHexPairs = [] {
  std::array<std::array<char, 2>, 256> pairs{};
  for (std::size_t i = 0; i < pairs.size(); ++i) pairs[i] = {"0123456789abcdef"[i / 16], "0123456789abcdef"[i % 16]};
  return pairs;
}();

void put_padded(char* at, unsigned value, std::size_t width) {
  for (std::size_t place = width; place > 0; --place, value /= 10) at[place - 1] = static_cast<char>('0' + value % 10);
}

// A time as rfc3339() has it, in quotes. Receipts come many to a second, which is taken apart once.
std::string_view time_text(WallTime at) {
  using namespace std::chrono;
  struct Last {
    sys_seconds second{};
    std::array<char, 26> text{};
  };
  thread_local Last last;
  const auto second = floor<seconds>(at);
  if (second != last.second || last.text.front() == 0) {
    last.second = second;
    const auto day = floor<days>(second);
    const year_month_day date(day);
    const hh_mm_ss time(second - day);
    std::ranges::copy(std::string_view("\"0000-00-00T00:00:00.000Z\""), last.text.begin());
    put_padded(&last.text[1], static_cast<unsigned>(static_cast<int>(date.year())), 4);
    put_padded(&last.text[6], static_cast<unsigned>(date.month()), 2);
    put_padded(&last.text[9], static_cast<unsigned>(date.day()), 2);
    put_padded(&last.text[12], static_cast<unsigned>(time.hours().count()), 2);
    put_padded(&last.text[15], static_cast<unsigned>(time.minutes().count()), 2);
    put_padded(&last.text[18], static_cast<unsigned>(time.seconds().count()), 2);
  }
  put_padded(&last.text[21], static_cast<unsigned>(floor<milliseconds>(at - second).count()), 3);
  return {last.text.data(), last.text.size()};
}

// Writes where there is room enough.
class Pen {
 public:
  explicit Pen(char* at) : at_(at) {}
  [[nodiscard]] char* at() const { return at_; }

  Pen& put(std::string_view text) {
    std::memcpy(at_, text.data(), text.size());
    at_ += text.size();
    return *this;
  }
  Pen& string(std::string_view text) {
    at_ = proof::put_string(at_, text);
    return *this;
  }
  template <std::integral Number>
  Pen& digits(Number number) {
    at_ = std::to_chars(at_, at_ + kMostDigits, number).ptr;
    return *this;
  }
  // As JSON is sure to keep it.
  Pen& count(std::uint64_t count) { return digits(std::min(count, kMostExact)); }
  Pen& tokens(const TokenCounts& tokens) {
    return put(R"({"completion_tokens":)")
        .count(tokens.completion)
        .put(R"(,"prompt_tokens":)")
        .count(tokens.prompt)
        .put("}");
  }
  Pen& time(WallTime at) { return put(time_text(at)); }
  Pen& hex(const Sha256& hash) {
    for (const auto byte : hash) {
      std::memcpy(at_, kHexPairs[byte].data(), 2);
      at_ += 2;
    }
    return *this;
  }
  // Dollars with 2 to 9 decimals, as Money::to_usdc() has them, in quotes.
  Pen& usd(Money amount) {
    const auto signed_amount = amount.nanousd();
    const auto nanousd =
        signed_amount < 0 ? ~static_cast<std::uint64_t>(signed_amount) + 1 : static_cast<std::uint64_t>(signed_amount);
    if (nanousd == 0) return put("\"0.00\"");
    put(signed_amount < 0 ? "\"-" : "\"").digits(nanousd / kNanoPerDollar).put(".");
    put_padded(at_, static_cast<unsigned>(nanousd % kNanoPerDollar), kNanoDigits);
    std::size_t length = kNanoDigits;
    while (length > 2 && at_[length - 1] == '0') --length;
    at_ += length;
    return put("\"");
  }

 private:
  static constexpr std::size_t kMostDigits = 20;
  char* at_;
};

void put_price(Pen& pen, const Price& price, std::string_view id) {
  pen.put(R"({"completion_per_million_usd":)").usd(price.completion_per_million);
  if (!id.empty()) pen.put(R"(,"id":)").string(id);
  pen.put(R"(,"included_output_tokens":)").count(price.included_output_tokens);
  pen.put(R"(,"per_request_usd":)").usd(price.per_request);
  pen.put(R"(,"per_thousand_beyond_usd":)").usd(price.per_thousand_beyond);
  pen.put(R"(,"prompt_per_million_usd":)").usd(price.prompt_per_million).put("}");
}

void put_nodes(Pen& pen, std::span<const NodePart> nodes) {
  pen.put("[");
  for (const NodePart& node : nodes) {
    pen.put(&node == &nodes.front() ? R"({"completion_tokens":)" : R"(,{"completion_tokens":)");
    pen.count(node.tokens.completion).put(R"(,"id":)").string(node.id);
    pen.put(R"(,"prompt_tokens":)").count(node.tokens.prompt).put("}");
  }
  pen.put("]");
}

void put_receipt(Pen& pen, const Receipt& receipt, std::string_view price) {
  const ReceiptFacts& facts = receipt.facts;
  const Evidence& evidence = facts.evidence;
  pen.put(R"({"account":)").string(facts.account);
  pen.put(R"(,"amounts":{"charged_usdc":)").usd(receipt.charged);
  pen.put(R"(,"held_usdc":)").usd(facts.held);
  pen.put(R"(,"released_usdc":)").usd(facts.held - receipt.charged);
  pen.put(R"(},"basis":)").string(receipt.basis);
  pen.put(R"(,"captured_at":)").time(receipt.captured_at);
  pen.put(R"(,"ended":")").put(to_string(evidence.ended));
  pen.put(R"(","entry":"txn_)").digits(receipt.entry_id);
  pen.put(R"(","held_at":)").time(facts.held_at);
  pen.put(R"(,"index":)").digits(receipt.index);
  pen.put(R"(,"job_id":)").string(receipt.job_id);
  pen.put(R"(,"model":)").string(receipt.model);
  pen.put(R"(,"nodes":)");
  put_nodes(pen, facts.nodes);
  if (receipt.previous == Sha256()) {
    pen.put(R"(,"previous":null,"price":)");
  } else {
    pen.put(R"(,"previous":"sha256:)").hex(receipt.previous).put(R"(","price":)");
  }
  pen.put(price).put(R"(,"quote":)").tokens(evidence.most);
  if (evidence.content) {
    pen.put(R"(,"request_sha256":")").hex(evidence.content->request);
    pen.put(R"(","response_sha256":")").hex(evidence.content->response).put("\"");
  }
  pen.put(evidence.stream ? R"(,"stream":true,"type":"receipt","usage":)"
                          : R"(,"stream":false,"type":"receipt","usage":)");
  pen.tokens(receipt.tokens);
  pen.put(R"(,"version":1,"work":")").put(to_string(evidence.work)).put("\"}");
}

// Appends what `write` writes with a pen, for which `most` bytes are room enough.
template <class Write>
void append_by_pen(std::string& out, std::size_t most, Write write) {
  const auto before = out.size();
  out.resize_and_overwrite(before + most, [&](char* bytes, std::size_t /*room*/) {
    Pen pen(bytes + before);
    write(pen);
    return static_cast<std::size_t>(pen.at() - bytes);
  });
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
  std::size_t most = 2 * sizeof(Sha256) + 12 * kMostNumberBytes + facts.account.size();
  for (const NodePart& node : facts.nodes) most += node.id.size() + 3 * kMostNumberBytes;
  bytes.resize_and_overwrite(most, [&](char* begin, std::size_t /*room*/) {
    return static_cast<std::size_t>(put_facts(begin, facts) - begin);
  });
}

ReceiptFacts decode_facts(std::string_view bytes) {
  FactsReader reader(bytes);
  ReceiptFacts facts;
  Evidence& evidence = facts.evidence;
  const auto version = reader.byte();
  if (version != kWithContent && version != kWithoutContent) FactsReader::raise();
  if (version == kWithContent) {
    auto& content = evidence.content.emplace();
    content.request = reader.hash();
    content.response = reader.hash();
  }
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

std::string price_json(const Price& price, std::string_view id) {
  std::string out;
  append_by_pen(out, kMostBytesAside + proof::most_string_bytes(id), [&](Pen& pen) { put_price(pen, price, id); });
  return out;
}

std::string price_id(const Price& price) {
  const auto digest = sha256(price_json(price, {}));
  return "price_" + to_hex(bytes_of(digest).substr(0, kPriceIdBytes));
}

void append_receipt(std::string& out, const Receipt& receipt, std::string_view price) {
  std::size_t most = kMostBytesAside + price.size();
  for (const auto text : {receipt.facts.account, receipt.job_id, receipt.model, receipt.basis}) {
    most += proof::most_string_bytes(text);
  }
  for (const NodePart& node : receipt.facts.nodes) most += kMostNodeBytesAside + proof::most_string_bytes(node.id);
  append_by_pen(out, most, [&](Pen& pen) { put_receipt(pen, receipt, price); });
}

}  // namespace turnpike::ledger
