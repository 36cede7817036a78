#include "turnpike/relay/usage.hpp"

#include <algorithm>

namespace turnpike::relay {
namespace {

constexpr std::uint64_t kBytesPerToken = 4;
constexpr std::uint64_t kTokensPerMessage = 64;
constexpr std::uint64_t kCompletionSlack = 16;

std::uint64_t tokens_of(std::uint64_t bytes) {
  return (bytes + kBytesPerToken - 1) / kBytesPerToken;
}

}  // namespace

std::uint64_t prompt_bound(const Seen& seen) {
  return seen.prompt_bytes + kTokensPerMessage * seen.messages + seen.image_token_allowance * seen.images;
}

std::uint64_t completion_bound(const Seen& seen) {
  return seen.text_bytes + kCompletionSlack;
}

Used use_of_complete(const Seen& seen, const scan::UsageScan& claim) {
  Used used = use_of_relayed(seen);
  used.claimed = claim.prompt_tokens.has_value() && claim.completion_tokens.has_value();
  if (claim.prompt_tokens) {
    used.prompt_tokens = std::min(*claim.prompt_tokens, prompt_bound(seen));
    used.bounded = *claim.prompt_tokens > used.prompt_tokens;
  }
  if (claim.completion_tokens) {
    used.completion_tokens = std::min(*claim.completion_tokens, completion_bound(seen));
    used.bounded = used.bounded || *claim.completion_tokens > used.completion_tokens;
  }
  return used;
}

Used use_of_relayed(const Seen& seen) {
  Used used;
  used.prompt_tokens = std::min(tokens_of(seen.prompt_text_bytes), prompt_bound(seen));
  used.completion_tokens =
      seen.text_events > 0 ? std::min(seen.text_events, completion_bound(seen)) : tokens_of(seen.text_bytes);
  return used;
}

void attribute(const Used& used, std::span<Part> parts) {
  if (parts.empty()) return;
  auto left = used.completion_tokens;
  for (Part& part : parts.first(parts.size() - 1)) {
    part.completion_tokens = std::min(part.text_events, left);
    left -= part.completion_tokens;
  }
  parts.back().prompt_tokens = used.prompt_tokens;
  parts.back().completion_tokens = left;
}

}  // namespace turnpike::relay
