#include "turnpike/identity/used_nonces.hpp"

#include <algorithm>

namespace turnpike::identity {

Sha256 UsedNonces::digest_of(std::string_view key_id, std::string_view nonce) {
  // No id has a blank in it.
  return sha256(std::string(key_id).append(" ").append(nonce));
}

void UsedNonces::forget_ended(std::int64_t now) {
  while (!by_end_.empty() && by_end_.begin()->first <= now) {
    for (const Sha256& nonce : by_end_.begin()->second) {
      const auto found = keys_by_nonce_.find(nonce);
      if (--found->second->second == 0) counts_.erase(std::string(found->second->first));
      keys_by_nonce_.erase(found);
    }
    by_end_.erase(by_end_.begin());
  }
}

UsedNonces::Taken UsedNonces::take(const Sha256& nonce, const std::string& key_id, std::int64_t end, std::int64_t now) {
  forget_ended(now);
  if (keys_by_nonce_.contains(nonce)) return Taken::before;
  if (keys_by_nonce_.size() >= most_) return Taken::full;
  const auto known = counts_.find(key_id);
  if (known != counts_.end() && known->second >= most_per_key_) return Taken::key_full;
  restore(nonce, key_id, end);
  return Taken::now;
}

void UsedNonces::restore(const Sha256& nonce, const std::string& key_id, std::int64_t end) {
  Count& count = *counts_.try_emplace(key_id, 0).first;
  ++count.second;
  keys_by_nonce_.emplace(nonce, &count);
  by_end_[end].push_back(nonce);
}

std::int64_t UsedNonces::until_next_end(std::int64_t now) const {
  return by_end_.empty() ? 0 : std::max<std::int64_t>(by_end_.begin()->first - now, 0);
}

}  // namespace turnpike::identity
