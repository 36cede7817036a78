// A queued job: what it asks for, and how far it has come.
//
// Thread: plain values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "turnpike/base/clock.hpp"
#include "turnpike/ledger/ledger.hpp"
#include "turnpike/ledger/price.hpp"
#include "turnpike/scan/scan.hpp"

namespace turnpike::jobs {

// As the wire has them. The order is stored: new ones go to the end.
enum class State : std::uint8_t { queued, processing, complete, dead, cancelled };
inline constexpr std::size_t kStates = 5;
[[nodiscard]] std::string_view to_string(State state);
[[nodiscard]] std::optional<State> parse_state(std::string_view text);
// Nothing more will come of it, unless an operator requeues a dead one.
[[nodiscard]] constexpr bool is_over(State state) {
  return state == State::complete || state == State::dead || state == State::cancelled;
}

// What is kept of a request from its hold to its last try.
struct Request {
  std::string id;  // the dialect's form
  ledger::AccountId account = 0;
  scan::RequestKind kind = scan::RequestKind::chat;
  std::string dialect;
  std::string tier;  // of the key that asked
  std::string pool;
  std::string model;
  std::string body;
  ledger::TokenCounts most = {};  // that it was held for
  ledger::Price price;            // as it was then
  ledger::Money held;             // set aside until the job is over
};

// What went wrong, as far as it is kept: a code that the dialect renders, and a sentence.
struct Failure {
  Fault fault = Fault::internal_error;
  std::string message;
  std::string param;
};

// A job as its owner sees it.
struct Job {
  std::int64_t row = 0;  // grows with time
  std::string id = {};
  ledger::AccountId account = 0;
  State state = State::queued;
  std::string dialect = {};
  std::string model = {};
  std::size_t retries = 0;                // tries that failed
  std::optional<Failure> failure = {};    // of the last try
  std::optional<WallTime> next_try = {};  // queued
  ledger::Money held = {};                // for the most it can cost; of a dead one: as it was
  std::string node_id = {};               // complete
  std::string result = {};                // complete: the whole answer, JSON; left out of lists
  WallTime created_at{};
  WallTime updated_at{};
};

}  // namespace turnpike::jobs
