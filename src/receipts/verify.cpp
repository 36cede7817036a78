#include "turnpike/receipts/verify.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "turnpike/base/encoding.hpp"
#include "turnpike/ledger/money.hpp"
#include "turnpike/ledger/price.hpp"
#include "turnpike/ledger/receipt.hpp"
#include "turnpike/proof/canonical_json.hpp"
#include "turnpike/proof/merkle.hpp"

namespace turnpike::receipts {
namespace {

using ledger::Money;
using nlohmann::json;

constexpr std::size_t kKeyBytes = 32;
constexpr std::string_view kHashPrefix = "sha256:";

// Thrown inside this file alone: what is wrong with the document that is being looked at.
struct Wrong {
  std::string what;
};

const unsigned char* bytes_of(std::string_view text) {
  return static_cast<const unsigned char*>(static_cast<const void*>(text.data()));
}

bool verifies(const std::string& public_key, std::string_view message, std::string_view signature) {
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(
      EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, bytes_of(public_key), public_key.size()), &EVP_PKEY_free);
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  return key && context && EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1 &&
         EVP_DigestVerify(context.get(), bytes_of(signature), signature.size(), bytes_of(message), message.size()) == 1;
}

// ---- members of documents ----

const json& member(const json& document, const char* name) {
  const auto found = document.find(name);
  if (found == document.end()) throw Wrong{"it has no member " + std::string(name)};
  return *found;
}

std::string text(const json& document, const char* name) {
  const json& found = member(document, name);
  if (!found.is_string()) throw Wrong{std::string(name) + " is no string"};
  return found.get<std::string>();
}

std::uint64_t count(const json& document, const char* name) {
  const json& found = member(document, name);
  if (!found.is_number_unsigned()) throw Wrong{std::string(name) + " is no whole number"};
  return found.get<std::uint64_t>();
}

Money money(const json& document, const char* name) {
  const auto amount = Money::from_usdc(text(document, name));
  if (!amount || *amount < Money()) throw Wrong{std::string(name) + " is no amount of dollars"};
  return *amount;
}

ledger::TokenCounts tokens(const json& document) {
  return {.prompt = count(document, "prompt_tokens"), .completion = count(document, "completion_tokens")};
}

WallTime time(const json& document, const char* name) {
  const auto micros = parse_rfc3339(text(document, name));
  if (!micros) throw Wrong{std::string(name) + " is no time"};
  return WallTime(std::chrono::microseconds(*micros));
}

Sha256 hash_from(const std::optional<std::string>& bytes, const std::string& name) {
  Sha256 hash{};
  if (!bytes || bytes->size() != hash.size()) throw Wrong{name + " is no hash"};
  std::memcpy(hash.data(), bytes->data(), hash.size());
  return hash;
}

Sha256 base64_hash(const json& document, const char* name) {
  return hash_from(from_base64(text(document, name)), name);
}

std::vector<Sha256> base64_hashes(const json& document, const char* name) {
  std::vector<Sha256> hashes;
  const json& list = member(document, name);
  if (!list.is_array()) throw Wrong{std::string(name) + " is no list"};
  for (const json& each : list) {
    if (!each.is_string()) throw Wrong{std::string(name) + " holds what is no hash"};
    hashes.push_back(hash_from(from_base64(each.get<std::string>()), name));
  }
  return hashes;
}

std::string canonical(const json& document) {
  auto form = proof::canonical_json(document);
  if (!form) throw Wrong{"it has no canonical form: " + form.error()};
  return *std::move(form);
}

// ---- what the amounts say ----

ledger::Price price(const json& from) {
  return {.prompt_per_million = money(from, "prompt_per_million_usd"),
          .completion_per_million = money(from, "completion_per_million_usd"),
          .per_request = money(from, "per_request_usd"),
          .included_output_tokens = count(from, "included_output_tokens"),
          .per_thousand_beyond = money(from, "per_thousand_beyond_usd")};
}

// The charge is what the tokens cost at the price that was quoted, and no more than was held.
void check_amounts(const json& receipt) {
  const auto quoted = price(member(receipt, "price"));
  if (text(member(receipt, "price"), "id") != ledger::price_id(quoted)) throw Wrong{"the price is not the one named"};
  const json& amounts = member(receipt, "amounts");
  const auto held = money(amounts, "held_usdc");
  const auto charged = money(amounts, "charged_usdc");
  const auto used = tokens(member(receipt, "usage"));
  if (held != quoted.cost(tokens(member(receipt, "quote")))) throw Wrong{"what was held is not what was quoted"};
  if (charged != std::min(quoted.cost(used), held)) throw Wrong{"the charge does not follow from price and usage"};
  if (money(amounts, "released_usdc") != held - charged) throw Wrong{"held is not charged and released"};
  const json& nodes = member(receipt, "nodes");
  if (!nodes.is_array() || nodes.empty()) throw Wrong{"it names no node"};
  ledger::TokenCounts of_nodes;
  for (const json& node : nodes) {
    const auto part = tokens(node);
    of_nodes.prompt += part.prompt;
    of_nodes.completion += part.completion;
  }
  if (of_nodes != used) throw Wrong{"the nodes' tokens do not add up to the usage"};
}

}  // namespace

// ---- the whole ----

namespace {

struct Seen {
  std::string name;  // the job's id
  Sha256 hash{};
  std::optional<Sha256> previous;
};

class Verification {
 public:
  explicit Verification(std::span<const TrustedKey> keys) : keys_(keys) {}

  void take(const json& document, const std::string& name);
  Verdict finish();

 private:
  void note(const std::string& name, const std::string& what) { verdict_.faults.push_back(name + ": " + what); }
  void check_signature(const std::string& statement, const std::string& base64, const std::string& key_id,
                       WallTime at) const;
  void take_receipt(const json& document, std::string& name);
  void take_head(const json& document);
  void check_movements(const json& document, const json& receipt) const;
  void check_chain();
  void check_inclusion(const json& proof);
  void check_consistency(const json& proof);
  const Sha256& root_of(std::uint64_t size) const;

  std::span<const TrustedKey> keys_;
  Verdict verdict_;
  std::map<std::uint64_t, Seen> receipts_;  // by their index
  std::map<std::uint64_t, Sha256> roots_;   // by their tree's size
  std::vector<std::pair<std::string, json>> inclusions_;
  std::vector<std::pair<std::string, json>> consistencies_;
};

// `key_id` may be empty: any key of that time.
void Verification::check_signature(const std::string& statement, const std::string& base64, const std::string& key_id,
                                   WallTime at) const {
  const auto signature = from_base64(base64);
  if (!signature) throw Wrong{"the signature is no base64"};
  bool known = false;
  bool current = false;
  for (const TrustedKey& key : keys_) {
    if (!key.id.empty() && !key_id.empty() && key.id != key_id) continue;
    known = true;
    if ((key.from && at < *key.from) || (key.until && at >= *key.until)) continue;
    current = true;
    if (verifies(key.public_key, statement, *signature)) return;
  }
  if (!known) throw Wrong{"the key " + key_id + " is not among those that are believed"};
  throw Wrong{current ? "the signature is not of this text" : "the key was not current at that time"};
}

void Verification::check_movements(const json& document, const json& receipt) const {
  const json& amounts = member(receipt, "amounts");
  const auto check = [&](const char* name, const char* type, const char* amount, const char* at) {
    if (!document.contains(name)) return;
    const json statement = {
        {"account", member(receipt, "account")}, {"amount_usdc", member(amounts, amount)}, {"at", member(receipt, at)},
        {"job_id", member(receipt, "job_id")},   {"model", member(receipt, "model")},      {"type", type}};
    check_signature(canonical(statement), text(document, name), {}, time(receipt, at));
  };
  check("tx_signature", "hold", "held_usdc", "held_at");
  check("settlement_tx", "charge", "charged_usdc", "captured_at");
}

void Verification::take_receipt(const json& document, std::string& name) {
  const json& receipt = member(document, "receipt");
  if (!receipt.is_object()) throw Wrong{"the receipt is no object"};
  name = text(receipt, "job_id");
  ++verdict_.receipts;
  const std::string form = canonical(receipt);
  check_signature(form, text(document, "signature"), text(document, "key_id"), time(receipt, "captured_at"));
  if (text(receipt, "type") != "receipt" || count(receipt, "version") != 1) throw Wrong{"it is of another version"};
  Seen seen{.name = name, .hash = proof::leaf_hash(form), .previous = std::nullopt};
  const auto index = count(receipt, "index");
  if (const json& previous = member(receipt, "previous"); !previous.is_null()) {
    const auto named = text(receipt, "previous");
    if (!named.starts_with(kHashPrefix)) throw Wrong{"previous is no hash"};
    seen.previous = hash_from(from_hex(std::string_view(named).substr(kHashPrefix.size())), "previous");
  }
  if (seen.previous.has_value() == (index == 0)) throw Wrong{"the first receipt alone has none before it"};
  const auto [other, is_new] = receipts_.emplace(index, seen);
  if (!is_new && other->second.hash != seen.hash) {
    throw Wrong{"another receipt has its place in the log: " + other->second.name};
  }
  check_amounts(receipt);
  check_movements(document, receipt);
}

void Verification::take_head(const json& document) {
  ++verdict_.heads;
  json statement = document;
  statement.erase("key_id");
  statement.erase("signature");
  check_signature(canonical(statement), text(document, "signature"), text(document, "key_id"),
                  time(document, "timestamp"));
  const auto size = count(document, "tree_size");
  const auto [other, is_new] = roots_.emplace(size, base64_hash(document, "root_hash"));
  if (!is_new && other->second != base64_hash(document, "root_hash")) {
    throw Wrong{"there are two roots of the first " + std::to_string(size) + " receipts"};
  }
}

void Verification::take(const json& document, const std::string& place) {
  std::string name = place;
  try {
    if (document.is_array()) {
      for (std::size_t i = 0; i < document.size(); ++i) take(document[i], place + "[" + std::to_string(i) + "]");
    } else if (document.is_object() && document.contains("receipt")) {
      for (const char* part : {"proof", "root"}) {
        if (document.contains(part)) take(document[part], place + " " + part);
      }
      take_receipt(document, name);
    } else if (document.is_object() && document.contains("root_hash")) {
      take_head(document);
    } else if (document.is_object() && document.contains("audit_path")) {
      inclusions_.emplace_back(place, document);
    } else if (document.is_object() && document.contains("proof")) {
      consistencies_.emplace_back(place, document);
    } else {
      throw Wrong{"it is no receipt, root or proof"};
    }
  } catch (const Wrong& wrong) {
    note(name, wrong.what);
  } catch (const std::exception&) {  // amounts that do not fit
    note(name, "it holds an absurd number");
  }
}

const Sha256& Verification::root_of(std::uint64_t size) const {
  const auto found = roots_.find(size);
  if (found == roots_.end()) throw Wrong{"there is no root of the first " + std::to_string(size) + " receipts"};
  return found->second;
}

void Verification::check_inclusion(const json& proof) {
  const auto index = count(proof, "leaf_index");
  const auto size = count(proof, "tree_size");
  const auto leaf = base64_hash(proof, "leaf_hash");
  const auto receipt = receipts_.find(index);
  if (receipt == receipts_.end()) throw Wrong{"it is for receipt " + std::to_string(index) + ", which is not here"};
  if (receipt->second.hash != leaf) throw Wrong{"it is for another receipt than " + receipt->second.name};
  if (!proof::is_included(leaf, index, size, base64_hashes(proof, "audit_path"), root_of(size))) {
    throw Wrong{"it does not show that " + receipt->second.name + " is in the log"};
  }
  ++verdict_.proofs;
}

void Verification::check_consistency(const json& proof) {
  const auto from = count(proof, "from");
  const auto to = count(proof, "to");
  if (!proof::is_consistent(from, root_of(from), to, root_of(to), base64_hashes(proof, "proof"))) {
    throw Wrong{"it does not show that the log of " + std::to_string(to) + " receipts begins with that of " +
                std::to_string(from)};
  }
  ++verdict_.proofs;
}

void Verification::check_chain() {
  for (auto next = receipts_.begin(); next != receipts_.end(); ++next) {
    if (next == receipts_.begin()) continue;
    const auto& [index, before] = *std::prev(next);
    if (index + 1 != next->first) continue;
    if (next->second.previous == before.hash) {
      ++verdict_.links;
    } else {
      note(next->second.name, "it does not follow from the receipt before it, " + before.name);
    }
  }
}

Verdict Verification::finish() {
  check_chain();
  const auto check = [this](const auto& proofs, void (Verification::*one)(const json&)) {
    for (const auto& [place, proof] : proofs) {
      try {
        (this->*one)(proof);
      } catch (const Wrong& wrong) {
        note(place, wrong.what);
      }
    }
  };
  check(inclusions_, &Verification::check_inclusion);
  check(consistencies_, &Verification::check_consistency);
  if (verdict_.receipts + verdict_.heads == 0) verdict_.faults.emplace_back("there is no receipt and no root");
  return std::move(verdict_);
}

}  // namespace

Result<std::vector<TrustedKey>> trusted_keys(const json& well_known) {
  const auto malformed = [] { return fail(Fault::invalid_request, "it lists no receipt_keys as they should be"); };
  const auto listed = well_known.is_object() ? well_known.find("receipt_keys") : well_known.end();
  if (listed == well_known.end() || !listed->is_array() || listed->empty()) return malformed();
  std::vector<TrustedKey> keys;
  try {
    for (const json& each : *listed) {
      TrustedKey key{.id = text(each, "key_id"), .public_key = from_base64(text(each, "public_key")).value_or("")};
      if (key.public_key.size() != kKeyBytes || text(each, "alg") != "Ed25519") return malformed();
      key.from = time(each, "from");
      if (!member(each, "until").is_null()) key.until = time(each, "until");
      keys.push_back(std::move(key));
    }
  } catch (const Wrong&) {
    return malformed();
  }
  return keys;
}

Verdict verify(std::span<const json> documents, std::span<const TrustedKey> keys) {
  Verification verification(keys);
  for (std::size_t i = 0; i < documents.size(); ++i) {
    verification.take(documents[i], "document " + std::to_string(i + 1));
  }
  return verification.finish();
}

Result<std::vector<json>> read_documents(std::string_view text) {
  if (auto whole = proof::parse_strictly(text)) return std::vector<json>{*std::move(whole)};
  std::vector<json> documents;
  std::size_t number = 0;
  while (!text.empty()) {
    const auto line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    auto document = proof::parse_strictly(line);
    if (!document) return fail(Fault::invalid_request, "line " + std::to_string(number) + ": " + document.error());
    documents.push_back(*std::move(document));
  }
  if (documents.empty()) return fail(Fault::invalid_request, "it is empty");
  return documents;
}

}  // namespace turnpike::receipts
