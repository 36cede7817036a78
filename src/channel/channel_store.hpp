// What channels ask of the database. All SQL of channels is in channel_store.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "turnpike/channel/channels.hpp"
#include "turnpike/storage/database.hpp"

namespace turnpike::channel {

struct WriteMessage final : storage::Operation {
  void run(storage::Connection& connection) override;
  NewMessage posted;
  Message message;  // id and author are found by run()
};

struct ReadPage final : storage::Operation {
  explicit ReadPage(Page what) : page(std::move(what)) {}
  void run(storage::Connection& connection) override;
  Page page;
  std::vector<Message> found;  // oldest first
};

// What follows a message.
struct ReadOn final : storage::Operation {
  void run(storage::Connection& connection) override;
  std::string channel;
  std::int64_t after = 0;
  std::size_t limit = 0;
  std::vector<Message> found;  // oldest first
};

// Deletes some of what is older.
struct PurgeMessages final : storage::Operation {
  explicit PurgeMessages(WallTime older_than) : before(older_than) {}
  void run(storage::Connection& connection) override;
  WallTime before;
  bool more = false;  // there may be more of it
};

struct Opening {
  std::int64_t last_id = 0;
  WallTime last_created{};
};
Opening load(storage::Connection& connection);

}  // namespace turnpike::channel
