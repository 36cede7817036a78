#include "turnpike/webhooks/retries.hpp"

#include <algorithm>
#include <charconv>
#include <ctime>
#include <random>

namespace turnpike::webhooks {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr int kGone = 410;

bool is_success(int status) {
  return status >= 200 && status < 300;
}

std::string fault_of(const Answered& answered) {
  if (answered.status == 0) return answered.fault;
  std::string fault = "it answered with status " + std::to_string(answered.status);
  if (answered.status >= 300 && answered.status < 400) fault += "; redirects are not followed";
  return fault;
}

milliseconds with_jitter(seconds pause, Rng& rng) {
  const auto whole = milliseconds(pause).count();
  const auto most = whole * kJitterPercent / 100;
  return milliseconds(whole + std::uniform_int_distribution<std::int64_t>(-most, most)(rng));
}

}  // namespace

std::optional<seconds> read_retry_after(std::string_view field, WallTime now) {
  constexpr std::int64_t kMost = 1'000'000'000;
  std::int64_t count = 0;
  const auto error = std::from_chars(field.data(), field.data() + field.size(), count).ec;
  const bool digits = !field.empty() && field.find_first_not_of("0123456789") == std::string_view::npos;
  if (digits) return seconds(error == std::errc{} ? std::min(count, kMost) : kMost);
  std::tm parts{};
  const std::string text(field);
  const char* rest = ::strptime(text.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
  if (rest == nullptr || *rest != '\0') return std::nullopt;
  return std::clamp(seconds(::timegm(&parts) - unix_seconds(now)), seconds(0), seconds(kMost));
}

Verdict judge(const Answered& answered, std::size_t attempts, WallTime now, seconds max_retry_after, Rng& rng) {
  if (is_success(answered.status)) return {.kind = Verdict::Kind::delivered};
  std::string fault = fault_of(answered);
  if (answered.status == kGone) return {.kind = Verdict::Kind::gone, .fault = std::move(fault)};
  if (attempts > kRetryPauses.size()) return {.kind = Verdict::Kind::dead, .fault = std::move(fault)};
  milliseconds pause = with_jitter(kRetryPauses.at(attempts - 1), rng);
  if (answered.retry_after) {
    const auto asked = read_retry_after(*answered.retry_after, now).value_or(seconds(0));
    pause = std::max<milliseconds>(pause, std::min(asked, max_retry_after));
  }
  return {.kind = Verdict::Kind::retry, .next_attempt = now + pause, .fault = std::move(fault)};
}

}  // namespace turnpike::webhooks
