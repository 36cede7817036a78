// What happens to an account, for the webhook endpoints that want to be told. An event is written in the transaction of
// what it tells, so that neither is there without the other (docs/decisions/0014-webhooks.md).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "turnpike/base/clock.hpp"

namespace turnpike::storage {
class Connection;
}

namespace turnpike::events {

// The order is stored: new ones go to the end.
enum class Type : std::uint8_t {
  job_submitted,
  job_processing,
  job_completed,
  job_failed,
  job_timeout,
  job_dead,
  credit_low,
  credit_topup,
};
inline constexpr std::size_t kTypes = 8;

// As the wire has it: "job.submitted".
[[nodiscard]] std::string_view to_string(Type type);
[[nodiscard]] std::optional<Type> parse_type(std::string_view text);

// A set of types.
class Types {
 public:
  constexpr Types() = default;
  explicit constexpr Types(std::uint8_t bits) : bits_(bits) {}
  constexpr Types& add(Type type) {
    bits_ = static_cast<std::uint8_t>(bits_ | 1U << static_cast<unsigned>(type));
    return *this;
  }
  constexpr Types& add(Types others) {
    bits_ |= others.bits_;
    return *this;
  }
  [[nodiscard]] constexpr bool has(Type type) const { return (bits_ >> static_cast<unsigned>(type) & 1U) != 0; }
  [[nodiscard]] constexpr bool empty() const { return bits_ == 0; }
  [[nodiscard]] constexpr std::uint8_t bits() const { return bits_; }
  bool operator==(const Types&) const = default;

 private:
  std::uint8_t bits_ = 0;
};

struct Event {
  std::int64_t account = 0;  // ledger::AccountId
  Type type = Type::job_submitted;
  std::string data = {};  // a JSON object; what goes out as `data`. No key, prompt or answer in it.
  WallTime created_at{};
};

// Writes the event into the outbox, for each of the account's endpoints that wants it; it may be none. To be called in
// Operation::run() of the change that it tells. What an earlier run wrote ahead and the next start brings in must bear
// its events along, and neither comes twice: they are of one transaction.
//
// Thread: the database's. Throws storage::StorageError.
void append(storage::Connection& connection, const Event& event);

}  // namespace turnpike::events
