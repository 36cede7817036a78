#include "local_commands.hpp"

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <cstdio>
#include <expected>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>

#include "turnpike/base/encoding.hpp"
#include "turnpike/config/config.hpp"
#include "turnpike/dialect/dialect.hpp"
#include "turnpike/ledger/ledger.hpp"
#include "turnpike/receipts/verify.hpp"
#include "turnpike/storage/sqlite.hpp"

namespace turnpike::app {
namespace {

void put(const std::string& text, std::FILE* to = stdout) {
  std::fwrite(text.data(), 1, text.size(), to);
}

int tell(const config::Faults& faults) {
  for (const auto& fault : faults) put(fault + "\n", stderr);
  return 1;
}

}  // namespace

int check_config(const std::string& file) {
  const auto config = config::load(file);
  if (!config) return tell(config.error());
  const auto dialects = dialect::Dialects::load(config->network.dialects_dir, config->network.default_dialect);
  if (!dialects) return tell(dialects.error());
  put(file + ": without fault\n");
  return 0;
}

int print_config_docs() {
  put(config::documentation());
  return 0;
}

int print_config_schema() {
  put(config::json_schema());
  return 0;
}

int check_ledger(const GatewayPlace& place, Output output) {
  const auto found = config::find_gateway(place.config_file);
  if (!found) return tell(found.error());
  const std::filesystem::path data_dir = place.data_dir.empty() ? found->data_dir : place.data_dir;
  const auto file = data_dir / "turnpike.db";
  if (!std::filesystem::exists(file)) return complain("there is no " + file.string());
  boost::asio::io_context unused;
  storage::SqliteOptions options;
  options.file = file.string();
  auto database = storage::open_sqlite(unused.get_executor(), std::move(options));
  if (!database) return complain(database.error().message);
  const auto books = ledger::audit(**database);
  if (!books) return complain(books.error().message);
  const nlohmann::json found_books{{"accounts", books->accounts},
                                   {"entries", books->entries},
                                   {"open_holds", books->holds},
                                   {"balances_usdc", books->balances.to_usdc()},
                                   {"owners_usdc", books->owners.to_usdc()},
                                   {"network_usdc", books->network.to_usdc()},
                                   {"outside_usdc", books->outside.to_usdc()},
                                   {"faults", books->faults}};
  print_one(output,
            {{"Accounts", "accounts"},
             {"Entries", "entries"},
             {"Holds left", "open_holds"},
             {"Balances (USD)", "balances_usdc"},
             {"Earned by owners (USD)", "owners_usdc"},
             {"Kept by the network (USD)", "network_usdc"},
             {"Outside (USD)", "outside_usdc"},
             {"Faults", "faults"}},
            found_books);
  return books->faults.empty() ? 0 : 1;
}

namespace {

constexpr int kUnreadable = 2;
constexpr std::size_t kPublicKeyBytes = 32;

int cannot(std::string_view message) {
  complain(message);
  return kUnreadable;
}

std::optional<std::string> read_file(const std::string& file) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) return std::nullopt;
  return std::string((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
}

// The error is what to tell.
std::expected<std::vector<receipts::TrustedKey>, std::string> read_trust(const ReceiptTrust& trust) {
  std::vector<receipts::TrustedKey> keys;
  for (const auto& hex : trust.keys) {
    auto bytes = from_hex(hex);
    if (!bytes || bytes->size() != kPublicKeyBytes) {
      return std::unexpected("--key: expected the 64 hex digits of a public key, got " + hex);
    }
    keys.push_back({.id = {}, .public_key = *std::move(bytes)});
  }
  if (trust.keys_file.empty()) return keys;
  const auto text = read_file(trust.keys_file);
  if (!text) return std::unexpected("cannot read " + trust.keys_file);
  auto listed = receipts::trusted_keys(nlohmann::json::parse(*text, nullptr, false));
  if (!listed) return std::unexpected(trust.keys_file + ": " + listed.error().message);
  std::ranges::move(*listed, std::back_inserter(keys));
  return keys;
}

}  // namespace

int verify_receipts(const std::string& file, const ReceiptTrust& trust, Output output) {
  const auto keys = read_trust(trust);
  if (!keys) return cannot(keys.error());
  const auto text = read_file(file);
  if (!text) return cannot("cannot read " + file);
  const auto documents = receipts::read_documents(*text);
  if (!documents) return cannot(file + ": " + documents.error().message);
  const auto verdict = receipts::verify(*documents, *keys);
  nlohmann::json found{{"receipts", verdict.receipts},
                       {"links", verdict.links},
                       {"roots", verdict.heads},
                       {"proofs", verdict.proofs},
                       {"faults", verdict.faults}};
  if (output == Output::table) {
    for (const auto& fault : verdict.faults) put(fault + "\n");
    found["faults"] = verdict.faults.size();
  }
  print_one(output,
            {{"Receipts", "receipts"},
             {"Links of the chain", "links"},
             {"Roots", "roots"},
             {"Proofs that hold", "proofs"},
             {"Faults", "faults"}},
            found);
  return verdict.faults.empty() ? 0 : 1;
}

int print_version() {
  put("turnpike " TURNPIKE_VERSION "\n");
  return 0;
}

}  // namespace turnpike::app
