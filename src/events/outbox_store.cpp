// The SQL that writes events. What becomes of them is the room webhooks' (src/webhooks/webhook_store.cpp).
#include <string>

#include "turnpike/base/encoding.hpp"
#include "turnpike/base/random.hpp"
#include "turnpike/events/event.hpp"
#include "turnpike/storage/connection.hpp"
#include "turnpike/storage/times.hpp"

namespace turnpike::events {
namespace {

constexpr std::size_t kIdLength = 20;

}  // namespace

void append(storage::Connection& connection, const Event& event) {
  const std::string id = "evt_" + random_base62(kIdLength);
  const std::int64_t at = storage::micros(event.created_at);
  const std::string_view type = to_string(event.type);
  std::string body = R"({"type":")";
  body.append(type).append(R"(","timestamp":")").append(rfc3339(at)).append(R"(","data":)");
  body.append(event.data).push_back('}');
  connection
      .prepare(
          "INSERT INTO webhook_deliveries (endpoint_id, event_id, type, body, next_attempt_at, created_at) "
          "SELECT id, ?, ?, ?, ?, ? FROM webhook_endpoints "
          "WHERE account_id = ? AND disabled IS NULL AND events >> ? & 1 ORDER BY id")
      .bind(std::string_view(id))
      .bind(type)
      .bind(std::string_view(body))
      .bind(at)
      .bind(at)
      .bind(event.account)
      .bind(static_cast<std::int64_t>(event.type))
      .run();
}

}  // namespace turnpike::events
