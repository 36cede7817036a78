// What top-ups ask of the database. All SQL of payments is in payment_store.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "turnpike/payments/top_up.hpp"
#include "turnpike/storage/database.hpp"

namespace turnpike::payments {

// Writes a payment as pending: a new row, or the row of one that was refused.
struct WritePayment final : storage::Operation {
  explicit WritePayment(StoredPayment what) : payment(std::move(what)) {}
  void run(storage::Connection& connection) override;
  StoredPayment payment;
};

// Closes a pending payment.
struct ClosePayment final : storage::Operation {
  void run(storage::Connection& connection) override;
  std::string id;
  PaymentState state = PaymentState::refused;
  std::string reason;
  std::string transaction;
  WallTime closed_at{};
};

struct FindPayment final : storage::Operation {
  explicit FindPayment(PaymentKey what) : key(std::move(what)) {}
  void run(storage::Connection& connection) override;
  PaymentKey key;
  std::optional<StoredPayment> found;
};

struct ListPayments final : storage::Operation {
  ListPayments(bool all, std::size_t most) : closed_too(all), limit(most) {}
  void run(storage::Connection& connection) override;
  bool closed_too;
  std::size_t limit;
  std::vector<StoredPayment> found;  // newest first
};

// The pending payments, oldest first. Those that an earlier run credited and did not live to say so are closed first.
std::vector<StoredPayment> load_pending(storage::Connection& connection, WallTime now);

}  // namespace turnpike::payments
