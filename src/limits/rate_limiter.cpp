#include "turnpike/limits/rate_limiter.hpp"

#include <algorithm>
#include <utility>

namespace turnpike::limits {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::nanoseconds;

Verdict Bucket::take(Instant now) {
  const nanoseconds minute = minutes(1);
  // More than one a nanosecond is no limit that could be kept.
  const nanoseconds each = std::max(minute / static_cast<std::int64_t>(per_minute_), nanoseconds(1));
  const nanoseconds missing = std::max(full_at_, now) - now;  // the time that what was taken needs to come back
  Verdict verdict{.limit = per_minute_};
  const nanoseconds after = missing + each;
  if (after > minute) {
    verdict.allowed = false;
    verdict.reason = "too many requests a minute";
    verdict.wait = std::chrono::ceil<milliseconds>(after - minute);
    verdict.reset = std::chrono::ceil<milliseconds>(missing);
    return verdict;
  }
  full_at_ = now + after;
  verdict.remaining = static_cast<std::uint64_t>((minute - after) / each);
  verdict.reset = std::chrono::ceil<milliseconds>(after);
  return verdict;
}

Admission::Admission(Admission&& other) noexcept
    : verdict(other.verdict), limiter_(std::exchange(other.limiter_, nullptr)), account_(other.account_) {}

Admission& Admission::operator=(Admission&& other) noexcept {
  std::swap(limiter_, other.limiter_);
  std::swap(account_, other.account_);
  std::swap(verdict, other.verdict);
  return *this;
}

Admission::~Admission() {
  if (limiter_ == nullptr) return;
  const auto found = limiter_->accounts_.find(account_);
  if (found == limiter_->accounts_.end()) return;
  if (--found->second.running == 0 && !found->second.requests) limiter_->accounts_.erase(found);
}

Admission RateLimiter::admit(std::int64_t account, const Tier& tier, Instant now) {
  if (!tier.requests_per_minute && !tier.concurrent_requests) return {};
  if (accounts_.size() >= max_accounts_ && !accounts_.contains(account)) forget_idle(now);
  auto& state = accounts_[account];
  Admission refused;
  if (tier.concurrent_requests && state.running >= *tier.concurrent_requests) {
    refused.verdict.allowed = false;
    refused.verdict.reason = "too many requests at once";
    refused.verdict.wait = std::chrono::seconds(1);
    return refused;
  }
  Verdict verdict;
  if (tier.requests_per_minute) {
    if (!state.requests) state.requests.emplace(*tier.requests_per_minute, now);
    state.requests->set_limit(*tier.requests_per_minute);
    verdict = state.requests->take(now);
    if (!verdict.allowed) {
      refused.verdict = verdict;
      return refused;
    }
  }
  ++state.running;
  Admission admission(*this, account);
  admission.verdict = verdict;
  return admission;
}

void RateLimiter::forget_idle(Instant now) {
  std::erase_if(accounts_, [now](const auto& entry) {
    return entry.second.running == 0 && (!entry.second.requests || entry.second.requests->full(now));
  });
}

}  // namespace turnpike::limits
