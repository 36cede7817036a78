#include "turnpike/identity/key_ring.hpp"

#include <cstring>
#include <deque>
#include <unordered_map>
#include <utility>

#include "key_store.hpp"
#include "turnpike/base/encoding.hpp"
#include "turnpike/base/random.hpp"
#include "turnpike/storage/database.hpp"

namespace turnpike::identity {
namespace {

constexpr std::size_t kSecretLength = 32;
constexpr std::size_t kDisplayLength = 12;
constexpr std::size_t kIdLength = 20;

struct ScopeName {
  Scope scope;
  std::string_view name;
};
constexpr ScopeName kScopes[] = {{Scope::chat_write, "chat:write"},
                                 {Scope::chat_read, "chat:read"},
                                 {Scope::models_read, "models:read"},
                                 {Scope::usage_read, "usage:read"},
                                 {Scope::keys_manage, "keys:manage"}};

std::string_view as_text(const Sha256& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

// A digest is uniform already: its first bytes hash it.
std::uint64_t slot_of(const Sha256& digest) {
  std::uint64_t slot = 0;
  std::memcpy(&slot, digest.data(), sizeof slot);
  return slot;
}

boost::asio::awaitable<Result<CreatedKey>> refused(Error error) {
  co_return std::unexpected(std::move(error));
}
boost::asio::awaitable<Result<void>> over(Result<void> outcome) {
  co_return outcome;
}

boost::asio::awaitable<Result<CreatedKey>> durable(std::shared_ptr<storage::Operation> operation, CreatedKey created) {
  Result<void> outcome = co_await storage::finished(std::move(operation));
  if (!outcome) co_return std::unexpected(std::move(outcome).error());
  co_return created;
}

}  // namespace

Result<Scopes> Scopes::parse(std::string_view text) {
  std::uint8_t bits = 0;
  while (true) {
    const auto begin = text.find_first_not_of(" ,");
    if (begin == std::string_view::npos) break;
    text.remove_prefix(begin);
    const std::string_view name = text.substr(0, text.find_first_of(" ,"));
    text.remove_prefix(name.size());
    bool known = false;
    for (const auto& scope : kScopes) {
      if (scope.name != name) continue;
      bits |= static_cast<std::uint8_t>(scope.scope);
      known = true;
    }
    if (!known) return fail(Fault::invalid_request, "There is no scope \"" + std::string(name) + "\".", "scopes");
  }
  if (bits == 0) return fail(Fault::invalid_request, "At least one scope must be named.", "scopes");
  return Scopes(bits);
}

std::string Scopes::to_string() const {
  std::string text;
  for (const auto& scope : kScopes) {
    if (!has(scope.scope)) continue;
    if (!text.empty()) text += ' ';
    text += scope.name;
  }
  return text;
}

std::string_view to_string(Refusal refusal) {
  switch (refusal) {
    case Refusal::revoked:
      return "revoked";
    case Refusal::expired:
      return "expired";
    case Refusal::unknown:
      break;
  }
  return "unknown";
}

struct KeyRing::State {
  State(storage::Database& where, const Clock& time, std::size_t most) : database(where), clock(time), max_keys(most) {}

  const KeyInfo& add(StoredKey key) {
    StoredKey& added = keys.emplace_back(std::move(key));
    by_digest.emplace(slot_of(added.digest), &added);
    by_id.emplace(added.info.id, &added);
    return added.info;
  }

  storage::Database& database;
  const Clock& clock;
  const std::size_t max_keys;
  std::deque<StoredKey> keys;  // in the order they were made; never moved
  std::unordered_multimap<std::uint64_t, const StoredKey*> by_digest;
  std::unordered_map<std::string_view, StoredKey*> by_id;
};

KeyRing::KeyRing(std::unique_ptr<State> state) : state_(std::move(state)) {}
KeyRing::~KeyRing() = default;

Result<std::unique_ptr<KeyRing>> KeyRing::open(storage::Database& database, const Clock& clock, std::size_t max_keys) {
  std::vector<StoredKey> stored;
  const auto loaded = database.run_now([&](storage::Connection& connection) { stored = load_keys(connection); });
  if (!loaded) return std::unexpected(loaded.error());
  if (stored.size() > max_keys) {
    return fail(Fault::service_unavailable, "The database holds more keys than ledger.max_keys.");
  }
  auto state = std::make_unique<State>(database, clock, max_keys);
  for (StoredKey& key : stored) state->add(std::move(key));
  return std::unique_ptr<KeyRing>(new KeyRing(std::move(state)));
}

std::expected<const KeyInfo*, Refusal> KeyRing::find(std::string_view presented, WallTime now) const {
  const Sha256 digest = sha256(presented);
  const auto [first, last] = state_->by_digest.equal_range(slot_of(digest));
  for (auto candidate = first; candidate != last; ++candidate) {
    const StoredKey& key = *candidate->second;
    if (!equal_in_constant_time(as_text(key.digest), as_text(digest))) continue;
    if (key.info.revoked_at) return std::unexpected(Refusal::revoked);
    if (key.info.expires_at && *key.info.expires_at <= now) return std::unexpected(Refusal::expired);
    return &key.info;
  }
  return std::unexpected(Refusal::unknown);
}

boost::asio::awaitable<Result<CreatedKey>> KeyRing::create(NewKey key) {
  if (state_->keys.size() >= state_->max_keys) {
    return refused(
        {.fault = Fault::service_unavailable, .message = "There are as many keys as ledger.max_keys allows."});
  }
  std::string api_key = std::string(key.prefix) + random_base62(kSecretLength);
  StoredKey made;
  made.digest = sha256(api_key);
  made.info = {.id = "key_" + random_base62(kIdLength),
               .account_id = key.account_id,
               .dialect = std::string(key.dialect),
               .tier = std::string(key.tier),
               .display = api_key.substr(0, kDisplayLength),
               .scopes = key.scopes,
               .created_at = state_->clock.wall(),
               .expires_at = key.expires_at,
               .revoked_at = {}};
  auto row = std::make_shared<NewKeyRow>(made);
  // Guaranteed, for the key is good from here on.
  if (auto queued = state_->database.write(row, storage::Queueing::guaranteed); !queued) {
    return refused(std::move(queued).error());
  }
  const KeyInfo& info = state_->add(std::move(made));
  return durable(std::move(row), {.api_key = std::move(api_key), .info = &info});
}

boost::asio::awaitable<Result<void>> KeyRing::revoke(std::string_view id) {
  const auto found = state_->by_id.find(id);
  if (found == state_->by_id.end()) return over(fail(Fault::not_found, "There is no such key."));
  KeyInfo& info = found->second->info;
  if (info.revoked_at) return over({});
  // Refused from here on, even when the row cannot be written.
  info.revoked_at = state_->clock.wall();
  auto row = std::make_shared<RevokeKeyRow>(info.id, *info.revoked_at);
  if (auto queued = state_->database.write(row, storage::Queueing::guaranteed); !queued) {
    return over(std::move(queued));
  }
  return storage::finished(std::move(row));
}

std::vector<const KeyInfo*> KeyRing::list() const {
  std::vector<const KeyInfo*> all;
  all.reserve(state_->keys.size());
  for (const StoredKey& key : state_->keys) all.push_back(&key.info);
  return all;
}

const KeyInfo* KeyRing::find_by_id(std::string_view id) const {
  const auto found = state_->by_id.find(id);
  return found == state_->by_id.end() ? nullptr : &found->second->info;
}

}  // namespace turnpike::identity
