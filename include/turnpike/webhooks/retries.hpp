// What an attempt to deliver means: delivered, once more and when, or given up. Pure.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "turnpike/base/clock.hpp"
#include "turnpike/base/random.hpp"

namespace turnpike::webhooks {

// The pauses after the first, second, … attempt; when they are used up, the delivery is dead.
inline constexpr std::array<std::chrono::seconds, 9> kRetryPauses = {
    std::chrono::seconds(5), std::chrono::minutes(5), std::chrono::minutes(30),
    std::chrono::hours(2),   std::chrono::hours(5),   std::chrono::hours(10),
    std::chrono::hours(14),  std::chrono::hours(20),  std::chrono::hours(24)};
// A pause is its table's time, more or less by up to this, so that what failed together does not come back together.
inline constexpr int kJitterPercent = 20;

struct Answered {
  int status = 0;          // 0: there was no answer
  std::string fault = {};  // then: what was wrong
  std::optional<std::string> retry_after = std::nullopt;
};

struct Verdict {
  enum class Kind : std::uint8_t {
    delivered,  // 2xx
    retry,      // at next_attempt
    dead,       // there are no attempts left
    gone,       // 410: the endpoint wants no more
  };
  Kind kind = Kind::delivered;
  WallTime next_attempt{};
  std::string fault = {};  // but for delivered
};

// `attempts`: how many there were, this one among them. A Retry-After (RFC 9110, section 10.2.3) makes the pause longer
// than the table's, never shorter, and never longer than `max_retry_after`.
[[nodiscard]] Verdict judge(const Answered& answered, std::size_t attempts, WallTime now,
                            std::chrono::seconds max_retry_after, Rng& rng);

// Seconds, or a date. nullopt when malformed; zero when past.
[[nodiscard]] std::optional<std::chrono::seconds> read_retry_after(std::string_view field, WallTime now);

}  // namespace turnpike::webhooks
