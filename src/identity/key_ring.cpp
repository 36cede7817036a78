#include "turnpike/identity/key_ring.hpp"

#include <algorithm>
#include <cstring>
#include <list>
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

bool is_dead(const KeyInfo& key, WallTime now) {
  return key.revoked_at || (key.expires_at && *key.expires_at <= now);
}

// When a dead key died.
WallTime death_of(const KeyInfo& key) {
  constexpr WallTime kNever = WallTime::max();
  return std::min(key.revoked_at.value_or(kNever), key.expires_at.value_or(kNever));
}

std::expected<const KeyInfo*, Refusal> live_or_refused(const KeyInfo& key, WallTime now) {
  if (key.revoked_at) return std::unexpected(Refusal::revoked);
  if (key.expires_at && *key.expires_at <= now) return std::unexpected(Refusal::expired);
  return &key;
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

Result<void> may_hand_out(const Grant& giver, const Grant& given) {
  if (!giver.scopes.has_all(given.scopes)) {
    return fail(Fault::insufficient_scope, "A key can hand out no scope that it lacks.", "scopes");
  }
  if (giver.expires_at && (!given.expires_at || *given.expires_at > *giver.expires_at)) {
    return fail(Fault::insufficient_scope, "A key can hand out no life longer than its own.", "expires_at");
  }
  return {};
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
  using Place = std::list<StoredKey>::iterator;

  State(storage::Database& where, const Clock& time, KeyRules limits) : database(where), clock(time), rules(limits) {}

  void index(Place place) {
    by_digest.emplace(slot_of(place->digest), &*place);
    by_id.emplace(place->info.id, &*place);
    by_account[place->info.account_id].push_back(place);
  }
  const KeyInfo& add(StoredKey key) {
    keys.push_back(std::move(key));
    index(std::prev(keys.end()));
    return keys.back().info;
  }
  const KeyInfo& add_in_place_of(Place dead, StoredKey key);

  // Where a new key of the account goes: in place of a dead one, or (keys.end()) in a place of its own.
  Result<Place> room_for(std::int64_t account_id, WallTime now);
  boost::asio::awaitable<Result<CreatedKey>> make(const NewKey& key, StoredKey* replaced);
  void note_use(StoredKey& key, WallTime now) {
    key.info.last_used_at = now;
    if (key.use_unwritten) return;
    key.use_unwritten = true;
    used.push_back(&key);
  }

  storage::Database& database;
  const Clock& clock;
  const KeyRules rules;
  std::list<StoredKey> keys;  // in the order they were made; never moved
  std::unordered_multimap<std::uint64_t, StoredKey*> by_digest;
  std::unordered_map<std::string_view, StoredKey*> by_id;
  std::unordered_map<std::int64_t, std::vector<Place>> by_account;  // in the order they were made
  std::vector<StoredKey*> used;                                     // since their use was last written
};

// A request that began with the dead key may still hold its KeyInfo: it stays where it is, and of the same account.
const KeyInfo& KeyRing::State::add_in_place_of(Place dead, StoredKey key) {
  const auto [first, last] = by_digest.equal_range(slot_of(dead->digest));
  by_digest.erase(std::find_if(first, last, [&](const auto& entry) { return entry.second == &*dead; }));
  by_id.erase(dead->info.id);
  std::erase(by_account[dead->info.account_id], dead);
  key.use_unwritten = dead->use_unwritten;
  *dead = std::move(key);
  keys.splice(keys.end(), keys, dead);
  index(dead);
  return dead->info;
}

Result<KeyRing::State::Place> KeyRing::State::room_for(std::int64_t account_id, WallTime now) {
  std::size_t live = 0;
  std::vector<Place> dead;
  if (const auto found = by_account.find(account_id); found != by_account.end()) {
    std::ranges::copy_if(found->second, std::back_inserter(dead), [&](Place key) { return is_dead(key->info, now); });
    live = found->second.size() - dead.size();
  }
  if (live >= rules.max_per_account) {
    return fail(Fault::conflict, "The account has as many keys as keys.max_per_account allows: revoke one.");
  }
  const bool full = keys.size() >= rules.max_keys;
  if (!dead.empty() && (full || dead.size() >= rules.max_per_account)) {
    return *std::ranges::min_element(dead, {}, [](Place key) { return death_of(key->info); });
  }
  if (full) return fail(Fault::service_unavailable, "There are as many keys as ledger.max_keys allows.");
  return keys.end();
}

boost::asio::awaitable<Result<CreatedKey>> KeyRing::State::make(const NewKey& key, StoredKey* replaced) {
  const WallTime now = clock.wall();
  const auto room = room_for(key.account_id, now);
  if (!room) return refused(room.error());
  std::string api_key = std::string(key.prefix) + random_base62(kSecretLength);
  StoredKey made;
  made.digest = sha256(api_key);
  made.info = {.id = "key_" + random_base62(kIdLength),
               .account_id = key.account_id,
               .dialect = std::string(key.dialect),
               .tier = std::string(key.tier),
               .display = api_key.substr(0, kDisplayLength),
               .scopes = key.scopes,
               .created_at = now,
               .expires_at = key.expires_at,
               .revoked_at = {},
               .last_used_at = {},
               .signing = key.signing};
  auto row = std::make_shared<NewKeyRow>(made);
  if (*room != keys.end()) row->forgets = (*room)->info.id;
  if (replaced != nullptr) {
    const WallTime end = std::min(now + rules.rotation_grace, replaced->info.expires_at.value_or(WallTime::max()));
    row->replaces = {.id = replaced->info.id, .at = end};
  }
  // Guaranteed, for the key is good from here on.
  if (auto queued = database.write(row, storage::Queueing::guaranteed); !queued) {
    return refused(std::move(queued).error());
  }
  if (replaced != nullptr) replaced->info.expires_at = row->replaces->at;
  const KeyInfo& info = *room == keys.end() ? add(std::move(made)) : add_in_place_of(*room, std::move(made));
  return durable(std::move(row), {.api_key = std::move(api_key), .info = &info});
}

KeyRing::KeyRing(std::unique_ptr<State> state) : state_(std::move(state)) {}
KeyRing::~KeyRing() = default;

Result<std::unique_ptr<KeyRing>> KeyRing::open(storage::Database& database, const Clock& clock, KeyRules rules) {
  std::vector<StoredKey> stored;
  const auto loaded = database.run_now([&](storage::Connection& connection) { stored = load_keys(connection); });
  if (!loaded) return std::unexpected(loaded.error());
  if (stored.size() > rules.max_keys) {
    return fail(Fault::service_unavailable, "The database holds more keys than ledger.max_keys.");
  }
  auto state = std::make_unique<State>(database, clock, rules);
  for (StoredKey& key : stored) state->add(std::move(key));
  return std::unique_ptr<KeyRing>(new KeyRing(std::move(state)));
}

std::expected<const KeyInfo*, Refusal> KeyRing::find(std::string_view presented, WallTime now) const {
  const Sha256 digest = sha256(presented);
  const auto [first, last] = state_->by_digest.equal_range(slot_of(digest));
  for (auto candidate = first; candidate != last; ++candidate) {
    StoredKey& key = *candidate->second;
    if (!equal_in_constant_time(as_text(key.digest), as_text(digest))) continue;
    const auto found = live_or_refused(key.info, now);
    if (found) state_->note_use(key, now);
    return found;
  }
  return std::unexpected(Refusal::unknown);
}

std::expected<const KeyInfo*, Refusal> KeyRing::find_live(std::string_view id, WallTime now) const {
  const auto known = state_->by_id.find(id);
  if (known == state_->by_id.end()) return std::unexpected(Refusal::unknown);
  const auto found = live_or_refused(known->second->info, now);
  if (found) state_->note_use(*known->second, now);
  return found;
}

boost::asio::awaitable<Result<CreatedKey>> KeyRing::create(NewKey key) {
  return state_->make(key, nullptr);
}

boost::asio::awaitable<Result<CreatedKey>> KeyRing::rotate(std::string_view id, Rotation rotation) {
  const auto found = state_->by_id.find(id);
  if (found == state_->by_id.end()) return refused({.fault = Fault::not_found, .message = "There is no such key."});
  StoredKey& old = *found->second;
  if (is_dead(old.info, state_->clock.wall())) {
    return refused({.fault = Fault::conflict, .message = "The key is dead: make a new one."});
  }
  // The views are into the old key, which lives on.
  return state_->make({.account_id = old.info.account_id,
                       .prefix = rotation.prefix,
                       .dialect = old.info.dialect,
                       .tier = old.info.tier,
                       .scopes = old.info.scopes,
                       .expires_at = rotation.expires_at ? rotation.expires_at : old.info.expires_at,
                       .signing = old.info.signing},
                      &old);
}

boost::asio::awaitable<Result<void>> KeyRing::expire(std::string_view id, WallTime at) {
  const auto found = state_->by_id.find(id);
  if (found == state_->by_id.end()) return over(fail(Fault::not_found, "There is no such key."));
  KeyInfo& info = found->second->info;
  if (is_dead(info, state_->clock.wall())) return over(fail(Fault::conflict, "The key is dead already."));
  info.expires_at = at;
  auto row = std::make_shared<ExpireKeyRow>(KeyExpiry{.id = info.id, .at = at});
  if (auto queued = state_->database.write(row, storage::Queueing::guaranteed); !queued) {
    return over(std::move(queued));
  }
  return storage::finished(std::move(row));
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

void KeyRing::write_last_used() {
  if (state_->used.empty()) return;
  auto rows = std::make_shared<LastUseRows>();
  rows->uses.reserve(state_->used.size());
  for (const StoredKey* key : state_->used) {
    // None: the place is a new key's since, and nobody used that one.
    if (key->info.last_used_at) rows->uses.push_back({.id = key->info.id, .at = *key->info.last_used_at});
  }
  if (!state_->database.write(std::move(rows), storage::Queueing::bounded)) return;
  for (StoredKey* key : state_->used) key->use_unwritten = false;
  state_->used.clear();
}

std::vector<const KeyInfo*> KeyRing::list() const {
  std::vector<const KeyInfo*> all;
  all.reserve(state_->keys.size());
  for (const StoredKey& key : state_->keys) all.push_back(&key.info);
  return all;
}

std::vector<const KeyInfo*> KeyRing::list(std::int64_t account_id) const {
  std::vector<const KeyInfo*> all;
  const auto found = state_->by_account.find(account_id);
  if (found == state_->by_account.end()) return all;
  for (const auto& key : found->second) all.push_back(&key->info);
  return all;
}

const KeyInfo* KeyRing::find_by_id(std::string_view id) const {
  const auto found = state_->by_id.find(id);
  return found == state_->by_id.end() ? nullptr : &found->second->info;
}

}  // namespace turnpike::identity
