// What receipts are signed by: Ed25519 keys, of which one is current. What was signed by an earlier one can be checked
// by its public half, which is listed for ever.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "turnpike/base/clock.hpp"
#include "turnpike/base/error.hpp"

namespace turnpike::storage {
class Database;
}

namespace turnpike::receipts {

struct PublicKey {
  std::string id;          // "rk_" and 16 hex digits of the SHA-256 of public_key
  std::string public_key;  // 32 bytes
  WallTime from{};         // whole milliseconds, as what is signed says its times
  std::optional<WallTime> until = {};
};

struct Signature {
  std::string key_id;
  std::string bytes;  // 64
};

// Loop thread only.
class Keys {
 public:
  // Reads the keys, or makes the first one: each is DATA_DIR/receipt-ID.key, with mode 0600. When the current one's
  // file is gone, another takes its place, and a line of the log says so. Blocks, at start. Errors: internal_error with
  // what is wrong with a file or the database.
  [[nodiscard]] static Result<std::unique_ptr<Keys>> open(storage::Database& database, const Clock& clock,
                                                          const std::string& data_dir);
  ~Keys();
  Keys(const Keys&) = delete;
  Keys& operator=(const Keys&) = delete;

  // By the key that was current `at` that time, so that a statement has one signature whenever it is asked for.
  // Takes 0.05 to 0.1 ms. Error: service_unavailable when that key's file is gone, or while another is being made.
  [[nodiscard]] Result<Signature> sign(std::string_view statement, WallTime at) const;

  // Oldest first; the last is current.
  [[nodiscard]] std::vector<PublicKey> all() const;

  // Makes another key the current one. Errors: internal_error, service_unavailable, conflict (another call is under
  // way); then nothing changed.
  [[nodiscard]] boost::asio::awaitable<Result<PublicKey>> rotate();

 private:
  struct State;
  explicit Keys(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace turnpike::receipts
