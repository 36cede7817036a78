// Webhook endpoints, and the deliveries to them: signed, one after the other for each endpoint, at least once, and none
// waits for another endpoint's (docs/decisions/0014-webhooks.md).
//
// Thread: the loop's. Nothing blocks but Webhooks::open.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "turnpike/base/clock.hpp"
#include "turnpike/base/deadlines.hpp"
#include "turnpike/base/error.hpp"
#include "turnpike/base/task_group.hpp"
#include "turnpike/events/event.hpp"
#include "turnpike/events/subscriptions.hpp"
#include "turnpike/http/poster.hpp"

namespace turnpike::storage {
class Database;
}

namespace turnpike::webhooks {

struct Rules {
  std::string key_file = {};  // what secrets are sealed under; made at the first start
  bool allow_private_targets = false;
  std::size_t max_endpoints = 0;              // of all accounts together
  std::size_t max_endpoints_per_account = 0;  // disabled ones too
  std::size_t max_pending = 0;                // deliveries of one endpoint; one more disables it
  std::size_t max_concurrent = 0;             // deliveries under way
  std::size_t max_url_bytes = 0;
  std::size_t max_answer_bytes = 0;
  std::chrono::milliseconds timeout{};  // of one attempt
  std::chrono::seconds max_retry_after{};
  std::chrono::milliseconds rotation_grace{};  // in which a replaced secret signs beside the new one
  std::chrono::seconds retention{};            // of deliveries that are over
};

struct Endpoint {
  std::string id = {};       // "wh_" and 20 characters of base62
  std::int64_t account = 0;  // ledger::AccountId
  std::string url = {};
  events::Types types = {};
  std::string disabled = {};  // why; empty: it is told
  std::optional<WallTime> old_secret_ends_at = {};
  std::size_t pending = 0;
  WallTime created_at{};
};

struct NewEndpoint {
  std::int64_t account = 0;
  std::string url = {};
  events::Types types = {};
  std::optional<std::string> secret = {};  // "whsec_…"; none: it is made
};

// What is not there stays as it is.
struct Change {
  std::optional<std::string> url = {};
  std::optional<events::Types> types = {};
  std::optional<bool> active = {};
};

struct WithSecret {
  Endpoint endpoint;
  std::string secret;  // "whsec_…": shown once
};

struct Delivery {
  std::int64_t id = 0;        // grows with time
  std::string event_id = {};  // webhook-id
  std::string type = {};
  std::string state = {};  // pending, delivered, dead
  std::size_t attempts = 0;
  std::optional<WallTime> next_attempt_at = {};  // pending
  int status = 0;                                // of the last answer; 0: there was none
  std::string fault = {};                        // of the last attempt; empty: none
  WallTime created_at{};
  std::optional<WallTime> closed_at = {};
};

struct DeliveryPage {
  std::vector<Delivery> deliveries;         // newest first
  std::optional<std::int64_t> next_cursor;  // pass as `before`; none: this was the last page
};

struct Stats {
  std::size_t endpoints = 0;
  std::size_t active = 0;               // of these
  std::size_t pending = 0;              // deliveries of active endpoints
  std::size_t running = 0;              // attempts under way
  std::optional<WallTime> oldest = {};  // the oldest pending delivery
  std::uint64_t delivered = 0;
  std::uint64_t failed = 0;  // attempts that will be made again
  std::uint64_t dead = 0;    // given up
  std::uint64_t gone = 0;    // answered by 410
};

// Sends a request: http::Poster::post. Tests have their own.
using Send = std::function<boost::asio::awaitable<std::expected<http::PostAnswer, std::string>>(
    http::Place place, http::Post what, std::stop_token stop)>;

class Webhooks {
 public:
  // Loads the endpoints; blocks. Open it after the ledger: events that an earlier run wrote ahead must be in the
  // outbox. `tasks` runs the deliveries, and is joined before this goes. Error: internal_error when the database or the
  // key cannot be read.
  [[nodiscard]] static Result<std::unique_ptr<Webhooks>> open(boost::asio::any_io_executor executor,
                                                              Deadlines& deadlines, TaskGroup& tasks,
                                                              storage::Database& database,
                                                              events::Subscriptions& subscriptions, Send send,
                                                              Rules rules);
  ~Webhooks();
  Webhooks(const Webhooks&) = delete;
  Webhooks& operator=(const Webhooks&) = delete;

  // Delivers from here on, with what earlier runs left first.
  void start();

  // Errors: invalid_request (`url`, `secret`); conflict when the account has as many as it may; service_unavailable.
  [[nodiscard]] boost::asio::awaitable<Result<WithSecret>> create(NewEndpoint wanted);
  // An account's, oldest first.
  [[nodiscard]] std::vector<Endpoint> list(std::int64_t account) const;

  // The rest is of one endpoint of the account's. Error of each: not_found when it has none with this id;
  // service_unavailable.
  [[nodiscard]] Result<Endpoint> find(std::int64_t account, std::string_view id) const;
  // Active again, or with another URL, it is tried at once with what waits. Error: invalid_request (`url`).
  [[nodiscard]] boost::asio::awaitable<Result<Endpoint>> change(std::int64_t account, std::string id, Change change);
  // The old secret signs beside the new one for Rules::rotation_grace; an older one ends at once. Error:
  // invalid_request (`secret`).
  [[nodiscard]] boost::asio::awaitable<Result<WithSecret>> rotate(std::int64_t account, std::string id,
                                                                  std::optional<std::string> secret);
  [[nodiscard]] boost::asio::awaitable<Result<void>> remove(std::int64_t account, std::string id);
  // Queues an event `webhook.test`, and what waits is tried at once. Its delivery as it is now. Error: conflict when
  // the endpoint is disabled.
  [[nodiscard]] boost::asio::awaitable<Result<Delivery>> test(std::int64_t account, std::string id);
  // Deliveries with ids below `before` (none: from the newest), at most `limit` (1 to 200, cut to that).
  [[nodiscard]] boost::asio::awaitable<Result<DeliveryPage>> deliveries(std::int64_t account, std::string id, int limit,
                                                                        std::optional<std::int64_t> before);

  [[nodiscard]] Stats stats() const;

 private:
  struct State;
  explicit Webhooks(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace turnpike::webhooks
