#include "payment_store.hpp"

#include <utility>

#include "turnpike/storage/connection.hpp"
#include "turnpike/storage/times.hpp"

namespace turnpike::payments {
namespace {

using storage::Connection;
using storage::micros;
using storage::Statement;
using storage::wall_time;

PaymentState state_of(std::string_view text) {
  if (text == to_string(PaymentState::credited)) return PaymentState::credited;
  return text == to_string(PaymentState::refused) ? PaymentState::refused : PaymentState::pending;
}

// The columns of every SELECT here, in their order.
StoredPayment payment_of(const Statement& row) {
  StoredPayment payment;
  payment.id = row.text(0);
  payment.account = row.integer(1);
  payment.key = {.network = std::string(row.text(2)),
                 .asset = std::string(row.text(3)),
                 .payer = std::string(row.text(4)),
                 .nonce = std::string(row.text(5))};
  payment.pay_to = row.text(6);
  payment.units = static_cast<Units>(row.integer(7));
  payment.valid_before = static_cast<std::uint64_t>(row.integer(8));
  payment.request = row.text(9);
  payment.state = state_of(row.text(10));
  payment.reason = row.text(11);
  payment.transaction = row.text(12);
  payment.created_at = wall_time(row.integer(13));
  if (!row.is_null(14)) payment.closed_at = wall_time(row.integer(14));
  return payment;
}

}  // namespace

void WritePayment::run(Connection& connection) {
  connection
      .prepare(
          "INSERT INTO payments (id, account_id, network, asset, payer, nonce, pay_to, units, valid_before, request, "
          "state, created_at) VALUES (?,?,?,?,?,?,?,?,?,?,'pending',?) "
          "ON CONFLICT (id) DO UPDATE SET account_id = excluded.account_id, pay_to = excluded.pay_to, "
          "units = excluded.units, valid_before = excluded.valid_before, request = excluded.request, "
          "state = 'pending', reason = NULL, created_at = excluded.created_at, closed_at = NULL "
          "WHERE state = 'refused'")
      .bind(std::string_view(payment.id))
      .bind(payment.account)
      .bind(std::string_view(payment.key.network))
      .bind(std::string_view(payment.key.asset))
      .bind(std::string_view(payment.key.payer))
      .bind(std::string_view(payment.key.nonce))
      .bind(std::string_view(payment.pay_to))
      .bind(static_cast<std::int64_t>(payment.units))
      .bind(static_cast<std::int64_t>(payment.valid_before))
      .bind(std::string_view(payment.request))
      .bind(micros(payment.created_at))
      .run();
}

void ClosePayment::run(Connection& connection) {
  connection
      .prepare("UPDATE payments SET state = ?, reason = ?, tx = ?, closed_at = ? WHERE id = ? AND state = 'pending'")
      .bind(to_string(state))
      .bind_text_or_null(reason)
      .bind_text_or_null(transaction)
      .bind(micros(closed_at))
      .bind(std::string_view(id))
      .run();
}

void FindPayment::run(Connection& connection) {
  auto query = connection.prepare(
      "SELECT id, account_id, network, asset, payer, nonce, pay_to, units, valid_before, request, state, reason, tx, "
      "created_at, closed_at FROM payments WHERE network = ? AND asset = ? AND payer = ? AND nonce = ?");
  query.bind(std::string_view(key.network))
      .bind(std::string_view(key.asset))
      .bind(std::string_view(key.payer))
      .bind(std::string_view(key.nonce));
  found.reset();
  if (query.step()) found = payment_of(query);
}

void ListPayments::run(Connection& connection) {
  auto query = connection.prepare(
      "SELECT id, account_id, network, asset, payer, nonce, pay_to, units, valid_before, request, state, reason, tx, "
      "created_at, closed_at FROM payments WHERE state = 'pending' OR ? ORDER BY created_at DESC LIMIT ?");
  query.bind(std::int64_t{closed_too ? 1 : 0}).bind(static_cast<std::int64_t>(limit));
  found.clear();
  while (query.step()) found.push_back(payment_of(query));
}

std::vector<StoredPayment> load_pending(Connection& connection, WallTime now) {
  connection
      .prepare(
          "UPDATE payments SET state = 'credited', closed_at = ?, "
          "tx = (SELECT note FROM entries WHERE job_id = payments.id) "
          "WHERE state = 'pending' AND EXISTS (SELECT 1 FROM entries WHERE job_id = payments.id)")
      .bind(micros(now))
      .run();
  auto query = connection.prepare(
      "SELECT id, account_id, network, asset, payer, nonce, pay_to, units, valid_before, request, state, reason, tx, "
      "created_at, closed_at FROM payments WHERE state = 'pending' ORDER BY created_at");
  std::vector<StoredPayment> pending;
  while (query.step()) pending.push_back(payment_of(query));
  return pending;
}

}  // namespace turnpike::payments
