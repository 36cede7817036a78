// Requests a minute, requests at once, tokens a minute and a day, by account. Pure: `now` comes in.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "turnpike/base/clock.hpp"
#include "turnpike/base/error.hpp"

namespace turnpike::limits {

// Absent: no limit.
struct Tier {
  std::optional<std::uint64_t> requests_per_minute = {};
  std::optional<std::uint64_t> tokens_per_minute = {};
  std::optional<std::uint64_t> tokens_per_day = {};
  std::optional<std::uint64_t> concurrent_requests = {};
  std::optional<std::uint64_t> concurrent_jobs = {};
  bool operator==(const Tier&) const = default;
};

// What one limit says to one request.
struct Verdict {
  bool allowed = true;
  std::string_view reason = {};             // why not, for the client
  std::chrono::milliseconds wait{0};        // when not allowed: until it would be
  std::optional<std::uint64_t> limit = {};  // requests or tokens, a minute or a day; absent: there is no limit
  std::uint64_t remaining = 0;
  std::chrono::milliseconds reset{0};  // until all of it is there again
};

// What a client that is over a limit is told: rate_limit_exceeded, with the time to wait in whole seconds.
[[nodiscard]] Error too_many(const Verdict& verdict);

// A bucket of `per_minute` units that refills evenly over a minute: a burst of a whole minute's units, then one each
// 60 s / limit.
class Bucket {
 public:
  Bucket(std::uint64_t per_minute, Instant now) : per_minute_(per_minute), full_at_(now) {}

  // Whether `amount` could be taken beside `reserved`, which is spoken for.
  [[nodiscard]] Verdict ask(std::uint64_t amount, std::uint64_t reserved, Instant now) const;
  // Takes `amount`, more than there is if need be: then what follows waits for it.
  void spend(std::uint64_t amount, Instant now);
  // One, if it is there.
  [[nodiscard]] Verdict take(Instant now);

  void set_limit(std::uint64_t per_minute) { per_minute_ = per_minute; }
  [[nodiscard]] std::uint64_t limit() const { return per_minute_; }
  [[nodiscard]] bool full(Instant now) const { return full_at_ <= now; }

 private:
  [[nodiscard]] std::chrono::nanoseconds cost(std::uint64_t amount) const;  // the time it needs to come back
  std::uint64_t per_minute_;
  Instant full_at_;  // when it would be full if nobody took any more
};

// An account's day so far.
struct Today {
  std::uint64_t used_tokens = 0;
  std::chrono::milliseconds left{0};  // of the day
};

// What an account has taken, and what its running requests may yet take.
struct AccountUse {
  std::optional<Bucket> requests;
  std::optional<Bucket> tokens;
  std::uint64_t reserved_of_minute = 0;  // tokens
  std::uint64_t reserved_of_day = 0;
  std::uint64_t running = 0;
  std::uint64_t queued_running = 0;  // of these: jobs of the queue
  [[nodiscard]] bool idle(Instant now) const;
};

class RateLimiter;

// A request under way: counts against `concurrent_requests`, and holds what it may use of the token limits, until it
// goes. Must not outlive its limiter.
class Admission {
 public:
  Admission() = default;  // of no account: nothing is limited
  Admission(Admission&& other) noexcept;
  Admission& operator=(Admission&& other) noexcept;
  ~Admission();

  // Whether reserve() and settle() have anything to do.
  [[nodiscard]] bool limits_tokens() const { return it_.tokens_per_minute || it_.tokens_per_day; }
  // Sets `most` tokens aside until settle(). One that may use more than a whole limit takes what is left of it, for
  // `most` is an upper bound, and else it would never be its turn. False: tokens() says why not.
  [[nodiscard]] bool reserve(std::uint64_t most, const Today& today, Instant now);
  // What came of it; `today` with these. The rest is free again.
  void settle(std::uint64_t used, const Today& today, Instant now);

  [[nodiscard]] const Verdict& requests() const { return it_.requests; }
  [[nodiscard]] const Verdict& tokens() const { return it_.tokens; }

 private:
  friend class RateLimiter;
  void give_back();
  // All of it, so that it moves as one.
  struct Contents {
    RateLimiter* limiter = nullptr;
    AccountUse* use = nullptr;
    std::int64_t account = 0;
    std::optional<std::uint64_t> tokens_per_minute = {};
    std::optional<std::uint64_t> tokens_per_day = {};
    std::uint64_t reserved_of_minute = 0;
    std::uint64_t reserved_of_day = 0;
    bool queued = false;
    Verdict requests = {};
    Verdict tokens = {};
  };
  Contents it_;
};

// Loop thread only.
class RateLimiter {
 public:
  // `max_accounts`: how many accounts are remembered at once; past it those whose buckets are full are forgotten.
  explicit RateLimiter(std::size_t max_accounts) : max_accounts_(max_accounts) {}

  // Counts a request. Not admitted: its requests() say why not.
  [[nodiscard]] Admission admit(std::int64_t account, const Tier& tier, Instant now);

  // A job of the queue, whose request was counted when it came: its tokens alone are limited.
  [[nodiscard]] Admission admit_queued(std::int64_t account, const Tier& tier, Instant now);

  [[nodiscard]] std::size_t accounts() const { return accounts_.size(); }

 private:
  friend class Admission;
  AccountUse& use_of(std::int64_t account, Instant now);
  void enter(Admission& admission, AccountUse& use, std::int64_t account, const Tier& tier);
  void forget_idle(Instant now);
  std::size_t max_accounts_;
  std::unordered_map<std::int64_t, AccountUse> accounts_;
};

}  // namespace turnpike::limits
