// What webhooks ask of the database. All SQL of webhooks is in webhook_store.cpp, but for what writes events
// (src/events/outbox_store.cpp).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "turnpike/storage/database.hpp"
#include "turnpike/webhooks/webhooks.hpp"

namespace turnpike::webhooks {

struct StoredEndpoint {
  std::int64_t row = 0;
  Endpoint shown = {};
  std::string secret = {};      // sealed
  std::string old_secret = {};  // sealed; empty: none
};

// Adds an endpoint, or writes it anew.
struct WriteEndpoint final : storage::Operation {
  explicit WriteEndpoint(StoredEndpoint what) : endpoint(std::move(what)) {}
  void run(storage::Connection& connection) override;
  StoredEndpoint endpoint;
  std::optional<WallTime> due = {};  // what waits is to be tried then
};

// From here on it is told nothing. Its deliveries go with the next Purge.
struct RemoveEndpoint final : storage::Operation {
  explicit RemoveEndpoint(std::int64_t which) : row(which) {}
  void run(storage::Connection& connection) override;
  std::int64_t row;
};

// An event for one endpoint alone; what waits is to be tried now.
struct AppendTest final : storage::Operation {
  void run(storage::Connection& connection) override;
  std::int64_t endpoint = 0;
  std::string event_id;
  std::string type;
  std::string body;
  WallTime now{};
  std::int64_t id = 0;  // of the delivery
};

// The oldest pending delivery of an endpoint.
struct ReadHead final : storage::Operation {
  explicit ReadHead(std::int64_t whose) : endpoint(whose) {}
  void run(storage::Connection& connection) override;
  std::int64_t endpoint;
  std::optional<Delivery> head;
  std::string body;
};

// What an attempt came to.
struct WriteAttempt final : storage::Operation {
  explicit WriteAttempt(Delivery what) : delivery(std::move(what)) {}
  void run(storage::Connection& connection) override;
  Delivery delivery;
};

struct ReadDeliveries final : storage::Operation {
  ReadDeliveries(std::int64_t whose, std::size_t most, std::optional<std::int64_t> below)
      : endpoint(whose), limit(most), before(below) {}
  void run(storage::Connection& connection) override;
  std::int64_t endpoint;
  std::size_t limit;
  std::optional<std::int64_t> before;
  DeliveryPage page;
};

// Deletes some of what is older than the retention (what waits for a disabled endpoint, too) and of what removed
// endpoints left.
struct Purge final : storage::Operation {
  explicit Purge(WallTime older_than) : before(older_than) {}
  void run(storage::Connection& connection) override;
  WallTime before;
  bool more = false;  // there may be more of it
};

struct Opening {
  std::vector<StoredEndpoint> endpoints;  // with what is pending
  std::int64_t last_row = 0;
};
Opening load(storage::Connection& connection);

}  // namespace turnpike::webhooks
