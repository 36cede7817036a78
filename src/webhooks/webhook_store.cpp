#include "webhook_store.hpp"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "turnpike/storage/connection.hpp"
#include "turnpike/storage/times.hpp"

namespace turnpike::webhooks {
namespace {

using storage::Connection;
using storage::micros;
using storage::Statement;
using storage::wall_time;

// Why a removed endpoint is disabled: its row stays until its deliveries are gone.
constexpr std::string_view kRemoved = "removed";
constexpr std::int64_t kPurgedAtOnce = 5'000;

std::optional<std::int64_t> micros_or_null(const std::optional<WallTime>& at) {
  return at.transform([](WallTime time) { return micros(time); });
}

std::optional<WallTime> time_or_none(const Statement& row, int column) {
  if (row.is_null(column)) return std::nullopt;
  return wall_time(row.integer(column));
}

void make_due(Connection& connection, std::int64_t endpoint, WallTime at) {
  connection
      .prepare(
          "UPDATE webhook_deliveries SET next_attempt_at = ?1 WHERE endpoint_id = ?2 AND state = 'pending' "
          "AND next_attempt_at > ?1")
      .bind(micros(at))
      .bind(endpoint)
      .run();
}

// The columns of every SELECT of deliveries, in their order: id, event_id, type, state, attempts, next_attempt_at,
// status, fault, created_at, closed_at.
Delivery delivery_of(const Statement& row) {
  Delivery delivery{.id = row.integer(0),
                    .event_id = std::string(row.text(1)),
                    .type = std::string(row.text(2)),
                    .state = std::string(row.text(3)),
                    .attempts = static_cast<std::size_t>(row.integer(4)),
                    .status = static_cast<int>(row.integer(6)),
                    .fault = std::string(row.text(7)),
                    .created_at = wall_time(row.integer(8)),
                    .closed_at = time_or_none(row, 9)};
  if (!delivery.closed_at) delivery.next_attempt_at = wall_time(row.integer(5));
  return delivery;
}

}  // namespace

void WriteEndpoint::run(Connection& connection) {
  const Endpoint& shown = endpoint.shown;
  auto insert = connection.prepare(
      "INSERT INTO webhook_endpoints (id, public_id, account_id, url, events, disabled, secret, old_secret, "
      "old_secret_ends_at, created_at) VALUES (?,?,?,?,?,?,?,?,?,?) "
      "ON CONFLICT (id) DO UPDATE SET url = excluded.url, events = excluded.events, disabled = excluded.disabled, "
      "secret = excluded.secret, old_secret = excluded.old_secret, old_secret_ends_at = excluded.old_secret_ends_at "
      "WHERE disabled IS NOT 'removed'");
  insert.bind(endpoint.row)
      .bind(std::string_view(shown.id))
      .bind(shown.account)
      .bind(std::string_view(shown.url))
      .bind(std::int64_t{shown.types.bits()})
      .bind_text_or_null(shown.disabled)
      .bind_blob(endpoint.secret);
  if (endpoint.old_secret.empty()) {
    insert.bind(std::optional<std::int64_t>());
  } else {
    insert.bind_blob(endpoint.old_secret);
  }
  insert.bind(micros_or_null(shown.old_secret_ends_at)).bind(micros(shown.created_at)).run();
  if (due) make_due(connection, endpoint.row, *due);
}

void RemoveEndpoint::run(Connection& connection) {
  connection.prepare("UPDATE webhook_endpoints SET disabled = ?, secret = x'', old_secret = NULL WHERE id = ?")
      .bind(kRemoved)
      .bind(row)
      .run();
}

void AppendTest::run(Connection& connection) {
  auto insert = connection.prepare(
      "INSERT INTO webhook_deliveries (endpoint_id, event_id, type, body, next_attempt_at, created_at) "
      "VALUES (?,?,?,?,?,?) RETURNING id");
  insert.bind(endpoint)
      .bind(std::string_view(event_id))
      .bind(std::string_view(type))
      .bind(std::string_view(body))
      .bind(micros(now))
      .bind(micros(now));
  insert.step();
  id = insert.integer(0);
  insert.run();
  make_due(connection, endpoint, now);
}

void ReadHead::run(Connection& connection) {
  auto query = connection.prepare(
      "SELECT id, event_id, type, state, attempts, next_attempt_at, status, fault, created_at, closed_at, body "
      "FROM webhook_deliveries WHERE endpoint_id = ? AND state = 'pending' ORDER BY id LIMIT 1");
  query.bind(endpoint);
  head.reset();
  if (!query.step()) return;
  head = delivery_of(query);
  body = query.text(10);
}

void WriteAttempt::run(Connection& connection) {
  connection
      .prepare(
          "UPDATE webhook_deliveries SET state = ?, attempts = ?, next_attempt_at = coalesce(?, next_attempt_at), "
          "status = ?, fault = ?, closed_at = ? WHERE id = ?")
      .bind(std::string_view(delivery.state))
      .bind(static_cast<std::int64_t>(delivery.attempts))
      .bind(micros_or_null(delivery.next_attempt_at))
      .bind(delivery.status == 0 ? std::optional<std::int64_t>() : delivery.status)
      .bind_text_or_null(delivery.fault)
      .bind(micros_or_null(delivery.closed_at))
      .bind(delivery.id)
      .run();
}

void ReadDeliveries::run(Connection& connection) {
  auto query = connection.prepare(
      "SELECT id, event_id, type, state, attempts, next_attempt_at, status, fault, created_at, closed_at "
      "FROM webhook_deliveries WHERE endpoint_id = ? AND id < coalesce(?, 9223372036854775807) "
      "ORDER BY id DESC LIMIT ?");
  // One more than asked for tells whether there is a next page.
  query.bind(endpoint).bind(before).bind(static_cast<std::int64_t>(limit) + 1);
  page = {};
  while (query.step()) {
    if (page.deliveries.size() == limit) {
      page.next_cursor = page.deliveries.back().id;
      break;
    }
    page.deliveries.push_back(delivery_of(query));
  }
}

void Purge::run(Connection& connection) {
  more = false;
  const auto purge = [&](storage::Sql sql) {
    connection.prepare(sql).bind(micros(before)).bind(kPurgedAtOnce).run();
    more = more || connection.changes() == kPurgedAtOnce;
  };
  purge(
      "DELETE FROM webhook_deliveries WHERE id IN (SELECT id FROM webhook_deliveries "
      "WHERE closed_at IS NOT NULL AND closed_at < ? LIMIT ?)");
  purge(
      "DELETE FROM webhook_deliveries WHERE id IN (SELECT d.id FROM webhook_endpoints e "
      "JOIN webhook_deliveries d ON d.endpoint_id = e.id "
      "WHERE e.disabled = 'removed' OR (e.disabled IS NOT NULL AND d.created_at < ?) LIMIT ?)");
  connection
      .prepare(
          "DELETE FROM webhook_endpoints WHERE disabled = 'removed' AND NOT EXISTS "
          "(SELECT 1 FROM webhook_deliveries WHERE endpoint_id = webhook_endpoints.id)")
      .run();
}

Opening load(Connection& connection) {
  Opening opening;
  std::unordered_map<std::int64_t, std::size_t> pending;
  {
    auto query = connection.prepare(
        "SELECT endpoint_id, count(*) FROM webhook_deliveries WHERE state = 'pending' GROUP BY endpoint_id");
    while (query.step()) pending[query.integer(0)] = static_cast<std::size_t>(query.integer(1));
  }
  auto query = connection.prepare(
      "SELECT id, public_id, account_id, url, events, disabled, secret, old_secret, old_secret_ends_at, created_at "
      "FROM webhook_endpoints ORDER BY id");
  while (query.step()) {
    opening.last_row = std::max(opening.last_row, query.integer(0));
    if (query.text(5) == kRemoved) continue;
    opening.endpoints.push_back({.row = query.integer(0),
                                 .shown = {.id = std::string(query.text(1)),
                                           .account = query.integer(2),
                                           .url = std::string(query.text(3)),
                                           .types = events::Types(static_cast<std::uint8_t>(query.integer(4))),
                                           .disabled = std::string(query.text(5)),
                                           .old_secret_ends_at = time_or_none(query, 8),
                                           .pending = pending[query.integer(0)],
                                           .created_at = wall_time(query.integer(9))},
                                 .secret = std::string(query.text(6)),
                                 .old_secret = std::string(query.text(7))});
  }
  return opening;
}

}  // namespace turnpike::webhooks
