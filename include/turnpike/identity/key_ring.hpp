// API keys. All of them are in memory, so that a request costs one SHA-256 and one probe; the database keeps the digest
// and the first 12 characters, never the key.
//
// Thread: the loop's. Nothing blocks but KeyRing::open.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "turnpike/base/clock.hpp"
#include "turnpike/base/error.hpp"
#include "turnpike/identity/public_key.hpp"

namespace turnpike::storage {
class Database;
}

namespace turnpike::identity {

enum class Scope : std::uint8_t { chat_write = 1, chat_read = 2, models_read = 4, usage_read = 8, keys_manage = 16 };

// A set of scopes.
class Scopes {
 public:
  constexpr Scopes() = default;
  explicit constexpr Scopes(std::uint8_t bits) : bits_(bits & all_bits) {}
  [[nodiscard]] static constexpr Scopes all() { return Scopes(all_bits); }
  // "chat:write models:read", separated by spaces or commas; invalid_request when one is unknown or none is named.
  [[nodiscard]] static Result<Scopes> parse(std::string_view text);

  [[nodiscard]] constexpr bool has(Scope scope) const { return (bits_ & static_cast<std::uint8_t>(scope)) != 0; }
  [[nodiscard]] constexpr bool has_all(Scopes others) const { return (others.bits_ & ~bits_) == 0; }
  // Those that both have; maybe none.
  [[nodiscard]] constexpr Scopes shared_with(Scopes others) const {
    return Scopes(static_cast<std::uint8_t>(bits_ & others.bits_));
  }
  [[nodiscard]] constexpr std::uint8_t bits() const { return bits_; }
  [[nodiscard]] std::string to_string() const;  // separated by spaces
  bool operator==(const Scopes&) const = default;

 private:
  static constexpr std::uint8_t all_bits = 31;
  std::uint8_t bits_ = 0;
};

// What a credential may do, and until when.
struct Grant {
  Scopes scopes = Scopes::all();
  std::optional<WallTime> expires_at = std::nullopt;  // none: without end
};

// Who signs a key's requests (RequestSignatures), and whether all of them must be signed.
struct Signing {
  std::shared_ptr<const PublicKey> public_key = nullptr;  // none: nobody
  bool required = false;
};

// A credential hands out no scope that it lacks and no life longer than its own. Error: insufficient_scope, whose param
// says which of the two.
[[nodiscard]] Result<void> may_hand_out(const Grant& giver, const Grant& given);

struct KeyInfo {
  std::string id;               // "key_" + 20 characters of base62
  std::int64_t account_id = 0;  // ledger::AccountId
  std::string dialect;          // dialect::Dialect::id
  std::string tier;
  std::string display;  // the key's first 12 characters
  Scopes scopes = Scopes::all();
  WallTime created_at{};
  std::optional<WallTime> expires_at;
  std::optional<WallTime> revoked_at;
  std::optional<WallTime> last_used_at;  // when find() last gave the key
  Signing signing = {};
  [[nodiscard]] Grant grant() const { return {.scopes = scopes, .expires_at = expires_at}; }
};

enum class Refusal : std::uint8_t { unknown, revoked, expired };
[[nodiscard]] std::string_view to_string(Refusal refusal);

struct NewKey {
  std::int64_t account_id = 0;
  std::string_view prefix = {};  // what the key begins with: dialect::Dialect::key_prefixes
  std::string_view dialect = {};
  std::string_view tier = {};
  Scopes scopes = Scopes::all();
  std::optional<WallTime> expires_at = std::nullopt;
  Signing signing = {};
};

struct CreatedKey {
  std::string api_key;            // shown once, then gone
  const KeyInfo* info = nullptr;  // good as long as the ring
};

struct KeyRules {
  std::size_t max_keys = 0;         // of all accounts together, dead ones too
  std::size_t max_per_account = 0;  // live ones; as many dead ones are remembered
  std::chrono::milliseconds rotation_grace{0};
};

struct Rotation {
  std::string_view prefix = {};                       // what the new key begins with
  std::optional<WallTime> expires_at = std::nullopt;  // of the new key; none: as the old one
};

class KeyRing {
 public:
  // Loads every key; blocks, so call it at start only. Errors: internal_error when the database cannot be read,
  // service_unavailable when it holds more than `max_keys`.
  [[nodiscard]] static Result<std::unique_ptr<KeyRing>> open(storage::Database& database, const Clock& clock,
                                                             KeyRules rules);
  ~KeyRing();
  KeyRing(const KeyRing&) = delete;
  KeyRing& operator=(const KeyRing&) = delete;

  // The key that was presented, or why it is refused. The pointer is good as long as the ring; `now` decides expiry,
  // and is when the key was last used.
  [[nodiscard]] std::expected<const KeyInfo*, Refusal> find(std::string_view presented, WallTime now) const;
  // The same by its id, for what stands for a key.
  [[nodiscard]] std::expected<const KeyInfo*, Refusal> find_live(std::string_view id, WallTime now) const;

  // Makes a key: usable by the call, durable when the awaitable completes. Where an account has too many dead keys, the
  // one that died first is forgotten, and its KeyInfo becomes the new key's. Errors: conflict when the account has as
  // many live keys as it may; service_unavailable when the ring is full or the commit failed.
  [[nodiscard]] boost::asio::awaitable<Result<CreatedKey>> create(NewKey key);

  // Makes a key like the one with this id, which dies when the grace of the rules has passed, unless it would sooner.
  // Both by the call, and durable together when the awaitable completes. Errors: create()'s, not_found, and conflict
  // when the old key is dead.
  [[nodiscard]] boost::asio::awaitable<Result<CreatedKey>> rotate(std::string_view id, Rotation rotation);

  // Lets a key die at `at`, by the call; durable when the awaitable completes. Errors: not_found, conflict when it is
  // dead, service_unavailable.
  [[nodiscard]] boost::asio::awaitable<Result<void>> expire(std::string_view id, WallTime at);

  // Revokes the key with this id, by the call; durable when the awaitable completes. Revoking twice is fine. Errors:
  // not_found, service_unavailable.
  [[nodiscard]] boost::asio::awaitable<Result<void>> revoke(std::string_view id);

  // Queues one write with the last use of every key that was used since the write before; none when none was. What the
  // queue has no room for is written another time.
  void write_last_used();

  // Every key, oldest first, the dead ones too.
  [[nodiscard]] std::vector<const KeyInfo*> list() const;
  // Those of one account.
  [[nodiscard]] std::vector<const KeyInfo*> list(std::int64_t account_id) const;
  [[nodiscard]] const KeyInfo* find_by_id(std::string_view id) const;

 private:
  struct State;
  explicit KeyRing(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace turnpike::identity
