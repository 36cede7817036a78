// Requests a minute and requests at once, by account. Pure: `now` comes in.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "turnpike/base/clock.hpp"

namespace turnpike::limits {

// Absent: no limit.
struct Tier {
  std::optional<std::uint64_t> requests_per_minute;
  std::optional<std::uint64_t> concurrent_requests;
};

struct Verdict {
  bool allowed = true;
  std::string_view reason = {};        // why not, for the client
  std::chrono::milliseconds wait{0};   // when not allowed: until it would be
  std::optional<std::uint64_t> limit;  // requests a minute
  std::uint64_t remaining = 0;
  std::chrono::milliseconds reset{0};  // until all requests of a minute are there again
};

// A bucket of `requests_per_minute` tokens that refills evenly over a minute: a burst of a whole minute's requests,
// then one each 60 s / limit.
class Bucket {
 public:
  Bucket(std::uint64_t per_minute, Instant now) : per_minute_(per_minute), full_at_(now) {}
  [[nodiscard]] Verdict take(Instant now);
  void set_limit(std::uint64_t per_minute) { per_minute_ = per_minute; }
  [[nodiscard]] std::uint64_t limit() const { return per_minute_; }
  [[nodiscard]] bool full(Instant now) const { return full_at_ <= now; }

 private:
  std::uint64_t per_minute_;
  Instant full_at_;  // when it would be full if nobody took any more
};

class RateLimiter;

// A request under way; counts against `concurrent_requests` until it goes.
class Admission {
 public:
  Admission() = default;
  Admission(RateLimiter& limiter, std::int64_t account) : limiter_(&limiter), account_(account) {}
  Admission(Admission&& other) noexcept;
  Admission& operator=(Admission&& other) noexcept;
  ~Admission();
  Verdict verdict;

 private:
  RateLimiter* limiter_ = nullptr;
  std::int64_t account_ = 0;
};

// Loop thread only.
class RateLimiter {
 public:
  // `max_accounts`: how many accounts are remembered at once; past it those whose bucket is full are forgotten.
  explicit RateLimiter(std::size_t max_accounts) : max_accounts_(max_accounts) {}

  [[nodiscard]] Admission admit(std::int64_t account, const Tier& tier, Instant now);

 private:
  friend class Admission;
  struct Account {
    std::optional<Bucket> requests;
    std::uint64_t running = 0;
  };
  void forget_idle(Instant now);
  std::size_t max_accounts_;
  std::unordered_map<std::int64_t, Account> accounts_;
};

}  // namespace turnpike::limits
