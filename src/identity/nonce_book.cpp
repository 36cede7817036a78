#include "turnpike/identity/nonce_book.hpp"

#include <algorithm>
#include <utility>

namespace turnpike::identity {

void NonceBook::forget_expired(Instant now) {
  while (!by_age_.empty() && by_age_.front().expires <= now) {
    by_nonce_.erase(by_age_.front().nonce);
    by_age_.pop_front();
  }
}

bool NonceBook::add(std::string nonce, NonceOwner owner, Instant now) {
  forget_expired(now);
  if (by_age_.size() >= capacity_ || by_nonce_.contains(nonce)) return false;
  by_age_.push_back({.nonce = std::move(nonce), .owner = std::move(owner), .expires = now + lifetime_});
  by_nonce_.emplace(by_age_.back().nonce, std::prev(by_age_.end()));
  return true;
}

const NonceOwner* NonceBook::find(std::string_view nonce, Instant now) const {
  const auto found = by_nonce_.find(nonce);
  return found == by_nonce_.end() || found->second->expires <= now ? nullptr : &found->second->owner;
}

bool NonceBook::spend(std::string_view nonce, Instant now) {
  forget_expired(now);
  const auto found = by_nonce_.find(nonce);
  if (found == by_nonce_.end()) return false;
  const auto entry = found->second;
  by_nonce_.erase(found);
  by_age_.erase(entry);
  return true;
}

Instant::duration NonceBook::until_room(Instant now) const {
  if (by_age_.size() < capacity_) return Instant::duration::zero();
  return std::max(by_age_.front().expires - now, Instant::duration::zero());
}

}  // namespace turnpike::identity
