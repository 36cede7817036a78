// A payment's way to credits, once and only once: checked by the facilitator, written down, settled, credited
// (docs/decisions/0011-a-payment-is-credited-once.md).
//
// Thread: the loop's. Nothing blocks but TopUp::open.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
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
#include "turnpike/ledger/ledger.hpp"
#include "turnpike/payments/chain.hpp"
#include "turnpike/payments/facilitator.hpp"
#include "turnpike/payments/x402.hpp"

namespace turnpike::storage {
class Database;
}

namespace turnpike::payments {

// What makes two payments the same: a token moves money for a payer's nonce once.
struct PaymentKey {
  std::string network;  // CAIP-2
  std::string asset;
  std::string payer;
  std::string nonce;
  auto operator<=>(const PaymentKey&) const = default;
};

enum class PaymentState : std::uint8_t {
  pending,   // written down; the money may move, or has
  credited,  // by its transaction
  refused,   // no money moved by it
};
[[nodiscard]] std::string_view to_string(PaymentState state);

struct StoredPayment {
  std::string id = {};  // "pay_" and 20 characters of base62
  ledger::AccountId account = 0;
  PaymentKey key = {};
  std::string pay_to = {};
  Units units = 0;
  std::uint64_t valid_before = 0;  // Unix seconds
  std::string request = {};        // facilitator_request()'s; it holds the signature
  PaymentState state = PaymentState::pending;
  std::string reason = {};       // refused: why
  std::string transaction = {};  // credited: by which
  WallTime created_at{};
  std::optional<WallTime> closed_at = {};
};

[[nodiscard]] ledger::Money money_of(Units units);

// What became of a payment.
struct Outcome {
  enum class Kind : std::uint8_t {
    credited,
    refused,      // no money moved by it; `reason`
    unavailable,  // nothing was begun; `reason`
    unsettled,    // it goes on by itself: what becomes of it is not known yet
  };
  Kind kind = Kind::unavailable;
  std::string reason = {};
  std::string id = {};           // of the payment, once it is written down
  std::string transaction = {};  // credited
  Units units = 0;               // credited
};

struct TopUpRules {
  Terms terms = {};
  std::chrono::milliseconds answer_timeout{};   // what a caller waits
  std::chrono::milliseconds confirm_timeout{};  // for a chain to show what the facilitator settled
  std::chrono::milliseconds first_retry{};
  std::chrono::milliseconds max_retry{};
  std::size_t max_open = 0;  // payments under way or unsettled
  std::size_t max_open_per_account = 0;
};

struct TopUpStats {
  std::size_t open = 0;     // under way or unsettled
  std::size_t pending = 0;  // of these, written down
  std::uint64_t credited = 0;
  std::uint64_t refused = 0;
};

// The chain of a network; nullptr: it has none.
using ChainOf = std::function<Chain*(const Network& network)>;

class TopUp {
 public:
  // Loads what is unsettled; blocks. Error: internal_error when the database cannot be read. Open it after the ledger:
  // what an earlier run credited must be in its entries. `tasks` runs the payments, and is joined before this goes.
  [[nodiscard]] static Result<std::unique_ptr<TopUp>> open(boost::asio::any_io_executor executor, Deadlines& deadlines,
                                                           TaskGroup& tasks, storage::Database& database,
                                                           ledger::Ledger& ledger, Facilitator& facilitator,
                                                           ChainOf chain_of, TopUpRules rules);
  ~TopUp();
  TopUp(const TopUp&) = delete;
  TopUp& operator=(const TopUp&) = delete;

  // Goes on with what earlier runs left unsettled.
  void start();

  // Brings a payment (checked: check_payment()) to an account's credits. The same payment at the same time, or later,
  // has the same outcome and is credited once; another account's is refused. `left` ends the wait, and the payment goes
  // on.
  [[nodiscard]] boost::asio::awaitable<Outcome> pay(ledger::AccountId account, Payment payment, const Network& network,
                                                    std::stop_token left);

  // For operators. The unsettled payments, or all, newest first, at most `limit`.
  [[nodiscard]] boost::asio::awaitable<Result<std::vector<StoredPayment>>> list(bool closed_too, std::size_t limit);
  // Closes an unsettled payment by an operator's word: credited by `transaction`, or refused when it is empty. Errors:
  // not_found when none with this id is unsettled; invalid_request when the transaction is malformed;
  // service_unavailable.
  [[nodiscard]] boost::asio::awaitable<Result<Outcome>> resolve(std::string id, std::string transaction);

  [[nodiscard]] const Terms& terms() const;
  [[nodiscard]] TopUpStats stats() const;

 private:
  struct State;
  explicit TopUp(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace turnpike::payments
