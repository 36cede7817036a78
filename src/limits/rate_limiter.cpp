#include "turnpike/limits/rate_limiter.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace turnpike::limits {
namespace {

using std::chrono::ceil;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

__extension__ using Wide = unsigned __int128;

constexpr nanoseconds kMinute = std::chrono::minutes(1);
constexpr nanoseconds kLongest = std::chrono::years(10);  // to come back: a debt past it is as good as endless

// a * b / over, down to a whole number.
std::uint64_t times(std::uint64_t a, std::uint64_t b, std::uint64_t over) {
  std::uint64_t product = 0;
  if (!__builtin_mul_overflow(a, b, &product)) return product / over;
  return static_cast<std::uint64_t>(std::min(Wide{a} * b / over, Wide{std::numeric_limits<std::uint64_t>::max()}));
}

std::uint64_t count(nanoseconds time) {
  return static_cast<std::uint64_t>(time.count());
}

// A bucket that follows the limit of its time.
Bucket& bucket_of(std::optional<Bucket>& bucket, std::uint64_t limit, Instant now) {
  if (!bucket) bucket.emplace(limit, now);
  bucket->set_limit(limit);
  return *bucket;
}

// What the day has left for `amount` beside what is reserved.
Verdict ask_day(std::uint64_t limit, std::uint64_t amount, std::uint64_t reserved, const Today& today) {
  const auto gone = today.used_tokens + reserved;
  Verdict verdict{.limit = limit, .reset = today.left};
  if (amount > limit || gone > limit - amount) {
    verdict.allowed = false;
    verdict.reason = "too many tokens a day";
    verdict.wait = today.left;
    verdict.remaining = limit - std::min(limit, gone);
  } else {
    verdict.remaining = limit - gone - amount;
  }
  return verdict;
}

// What a request that may use `most` takes of a limit; `ask` tells what there is of it.
template <class Ask>
std::uint64_t share_of(std::uint64_t most, std::uint64_t limit, Ask ask) {
  return most <= limit ? most : std::max<std::uint64_t>(ask(0).remaining, 1);
}

}  // namespace

Error too_many(const Verdict& verdict) {
  Error error{.fault = Fault::rate_limit_exceeded, .message = std::string(verdict.reason)};
  error.retry_after = std::max(ceil<std::chrono::seconds>(verdict.wait), std::chrono::seconds(1));
  return error;
}

// ---- buckets ----

nanoseconds Bucket::cost(std::uint64_t amount) const {
  if (amount == 0) return nanoseconds(0);
  // Not nothing: more than one a nanosecond is no limit that could be kept.
  const auto time = std::max<std::uint64_t>(times(amount, count(kMinute), per_minute_), 1);
  return nanoseconds(std::min(time, count(kLongest)));
}

Verdict Bucket::ask(std::uint64_t amount, std::uint64_t reserved, Instant now) const {
  const nanoseconds missing = std::max(full_at_, now) - now + cost(reserved);
  const nanoseconds after = missing + cost(amount);
  Verdict verdict{.limit = per_minute_};
  if (after > kMinute) {
    verdict.allowed = false;
    verdict.wait = ceil<milliseconds>(after - kMinute);
    verdict.reset = ceil<milliseconds>(missing);
    verdict.remaining = missing > kMinute ? 0 : times(count(kMinute - missing), per_minute_, count(kMinute));
    return verdict;
  }
  verdict.remaining = times(count(kMinute - after), per_minute_, count(kMinute));
  verdict.reset = ceil<milliseconds>(after);
  return verdict;
}

void Bucket::spend(std::uint64_t amount, Instant now) {
  full_at_ = std::min(std::max(full_at_, now) + cost(amount), now + kLongest);
}

Verdict Bucket::take(Instant now) {
  Verdict verdict = ask(1, 0, now);
  if (verdict.allowed) {
    spend(1, now);
  } else {
    verdict.reason = "too many requests a minute";
  }
  return verdict;
}

// ---- a request under way ----

Admission::Admission(Admission&& other) noexcept : it_(std::exchange(other.it_, {})) {}

Admission& Admission::operator=(Admission&& other) noexcept {
  std::swap(it_, other.it_);
  return *this;
}

Admission::~Admission() {
  if (it_.limiter == nullptr) return;
  give_back();
  if (it_.queued) --it_.use->queued_running;
  if (--it_.use->running == 0 && !it_.use->requests && !it_.use->tokens) it_.limiter->accounts_.erase(it_.account);
}

bool Admission::reserve(std::uint64_t most, const Today& today, Instant now) {
  if (!limits_tokens()) return true;
  Verdict minute;
  Verdict day;
  std::uint64_t of_minute = 0;
  std::uint64_t of_day = 0;
  if (it_.tokens_per_minute) {
    const Bucket& bucket = bucket_of(it_.use->tokens, *it_.tokens_per_minute, now);
    const auto ask = [&](std::uint64_t tokens) { return bucket.ask(tokens, it_.use->reserved_of_minute, now); };
    of_minute = share_of(most, *it_.tokens_per_minute, ask);
    minute = ask(of_minute);
    if (!minute.allowed) minute.reason = "too many tokens a minute";
  }
  if (it_.tokens_per_day) {
    const auto ask = [&](std::uint64_t tokens) {
      return ask_day(*it_.tokens_per_day, tokens, it_.use->reserved_of_day, today);
    };
    of_day = share_of(most, *it_.tokens_per_day, ask);
    day = ask(of_day);
  }
  // The one that lets fewer through is the one to know of.
  const bool tell_day =
      day.limit && (!minute.limit || !day.allowed || (minute.allowed && day.remaining < minute.remaining));
  it_.tokens = tell_day ? day : minute;
  if (!it_.tokens.allowed) return false;
  it_.reserved_of_minute += of_minute;
  it_.reserved_of_day += of_day;
  it_.use->reserved_of_minute += of_minute;
  it_.use->reserved_of_day += of_day;
  return true;
}

void Admission::settle(std::uint64_t used, const Today& today, Instant now) {
  if (!limits_tokens()) return;
  give_back();
  if (it_.tokens_per_minute) bucket_of(it_.use->tokens, *it_.tokens_per_minute, now).spend(used, now);
  std::ignore = reserve(0, today, now);  // what is left now
}

void Admission::give_back() {
  it_.use->reserved_of_minute -= std::exchange(it_.reserved_of_minute, 0);
  it_.use->reserved_of_day -= std::exchange(it_.reserved_of_day, 0);
}

// ---- all of them ----

bool AccountUse::idle(Instant now) const {
  return running == 0 && (!requests || requests->full(now)) && (!tokens || tokens->full(now));
}

Admission RateLimiter::admit(std::int64_t account, const Tier& tier, Instant now) {
  Admission admission;
  if (!tier.requests_per_minute && !tier.concurrent_requests && !tier.tokens_per_minute && !tier.tokens_per_day) {
    return admission;
  }
  auto& state = use_of(account, now);
  if (tier.concurrent_requests && state.running - state.queued_running >= *tier.concurrent_requests) {
    admission.it_.requests.allowed = false;
    admission.it_.requests.reason = "too many requests at once";
    admission.it_.requests.wait = std::chrono::seconds(1);
    return admission;
  }
  if (tier.requests_per_minute) {
    admission.it_.requests = bucket_of(state.requests, *tier.requests_per_minute, now).take(now);
    if (!admission.it_.requests.allowed) return admission;
  }
  enter(admission, state, account, tier);
  return admission;
}

Admission RateLimiter::admit_queued(std::int64_t account, const Tier& tier, Instant now) {
  Admission admission;
  if (!tier.tokens_per_minute && !tier.tokens_per_day) return admission;
  auto& state = use_of(account, now);
  ++state.queued_running;
  admission.it_.queued = true;
  enter(admission, state, account, tier);
  return admission;
}

AccountUse& RateLimiter::use_of(std::int64_t account, Instant now) {
  if (accounts_.size() >= max_accounts_ && !accounts_.contains(account)) forget_idle(now);
  return accounts_[account];
}

void RateLimiter::enter(Admission& admission, AccountUse& use, std::int64_t account, const Tier& tier) {
  ++use.running;
  admission.it_.limiter = this;
  admission.it_.use = &use;
  admission.it_.account = account;
  admission.it_.tokens_per_minute = tier.tokens_per_minute;
  admission.it_.tokens_per_day = tier.tokens_per_day;
}

void RateLimiter::forget_idle(Instant now) {
  std::erase_if(accounts_, [now](const auto& entry) { return entry.second.idle(now); });
}

}  // namespace turnpike::limits
