// Channels: short messages of accounts to all who read along, by pages and as they come.
//
// Thread: the loop's. Nothing blocks but Channels::open.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "turnpike/base/clock.hpp"
#include "turnpike/base/deadlines.hpp"
#include "turnpike/base/error.hpp"
#include "turnpike/base/signal.hpp"
#include "turnpike/base/task_group.hpp"

namespace turnpike::storage {
class Database;
}

namespace turnpike::channel {

struct Rules {
  std::vector<std::string> channels = {};
  std::size_t recent = 0;  // messages of a channel that are in memory for its readers; one further behind is cut
  std::size_t max_readers = 0;
  std::size_t max_readers_per_account = 0;
  std::chrono::seconds retention{};
};

struct NewMessage {
  std::string channel = {};
  std::int64_t account = 0;      // ledger::AccountId
  std::string author_name = {};  // empty: none
  std::string avatar = {};       // empty: none
  std::string content = {};
};

struct Message {
  std::int64_t id = 0;  // grows with time
  std::string channel = {};
  std::string author = {};  // the account's wallet, or else its public id
  std::string author_name = {};
  std::string avatar = {};
  std::string content = {};
  WallTime created_at{};  // whole milliseconds, no two alike
};

struct Page {
  std::string channel = {};
  int limit = 50;  // 1 to 200, cut to that
  // Both exclusive. With `after`, the oldest that come after it; else the newest.
  std::optional<WallTime> before = {};
  std::optional<WallTime> after = {};
};

struct Stats {
  std::size_t readers = 0;
  std::uint64_t posted = 0;
  std::uint64_t cut = 0;  // readers that fell behind
};

class Channels;

// Somebody who reads a channel as it grows. It has what it has not taken yet of Rules::recent messages, and no memory
// of its own for them: a slow reader costs no more than a quick one. Must not outlive its channels.
class Reader {
 public:
  ~Reader();
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  enum class News : std::uint8_t {
    messages,  // in `messages`, at least one and at most 64, oldest first
    silence,   // nothing came for so long
    behind,    // what it would read next is not in memory any more: it may come back with the id of its last message
    over,      // the gateway stops, `left` is requested, or the database cannot be read
  };
  [[nodiscard]] boost::asio::awaitable<News> next(std::chrono::nanoseconds patience, std::stop_token left);
  std::vector<std::shared_ptr<const Message>> messages;

 private:
  friend class Channels;
  struct Place;
  explicit Reader(std::unique_ptr<Place> place);
  std::unique_ptr<Place> place_;
};

class Channels {
 public:
  // Blocks. Error: internal_error when the database cannot be read. `tasks` runs the retention, and is joined before
  // this goes.
  [[nodiscard]] static Result<std::unique_ptr<Channels>> open(boost::asio::any_io_executor executor,
                                                              Deadlines& deadlines, TaskGroup& tasks,
                                                              storage::Database& database, Rules rules);
  ~Channels();
  Channels(const Channels&) = delete;
  Channels& operator=(const Channels&) = delete;

  void start();
  // Every reader ends; no new one is taken.
  void stop();

  // Errors of these: not_found (`channel`) when there is no such channel; service_unavailable.
  [[nodiscard]] boost::asio::awaitable<Result<Message>> post(NewMessage message);
  // Oldest first.
  [[nodiscard]] boost::asio::awaitable<Result<std::vector<Message>>> read(Page page) const;
  // Reads on after the message with this id; none: what is posted from now on. Errors: rate_limit_exceeded when the
  // account, or all together, read as often as they may.
  [[nodiscard]] Result<std::unique_ptr<Reader>> follow(std::string_view channel, std::int64_t account,
                                                       std::optional<std::int64_t> after);

  [[nodiscard]] Stats stats() const;

 private:
  friend class Reader;
  struct State;
  explicit Channels(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace turnpike::channel
