// The nonces that were given out: each is good once, for a while, and there are never more than a bound. Pure: `now`
// comes in.
#pragma once

#include <cstddef>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "turnpike/base/clock.hpp"
#include "turnpike/identity/wallet.hpp"

namespace turnpike::identity {

// Whom a nonce was given to: only their message may bear it.
struct NonceOwner {
  Wallet wallet = {};
  std::string chain_id = {};
  bool operator==(const NonceOwner&) const = default;
};

// Loop thread only.
class NonceBook {
 public:
  NonceBook(std::size_t capacity, std::chrono::milliseconds lifetime) : capacity_(capacity), lifetime_(lifetime) {}
  // A copy would point into the original.
  NonceBook(NonceBook&&) = default;
  NonceBook& operator=(NonceBook&&) = default;

  // Takes down a nonce, good until `now` + lifetime. False: the book is full, or the nonce is in it already.
  [[nodiscard]] bool add(std::string nonce, NonceOwner owner, Instant now);

  // Whom a nonce was given to; nullptr when it is unknown, spent or too old. Good until the next change.
  [[nodiscard]] const NonceOwner* find(std::string_view nonce, Instant now) const;

  // Ends a nonce. True: it was good until now.
  bool spend(std::string_view nonce, Instant now);

  // How long until a full book has room again by itself; zero when it has.
  [[nodiscard]] Instant::duration until_room(Instant now) const;
  [[nodiscard]] std::size_t size() const { return by_age_.size(); }

 private:
  struct Entry {
    std::string nonce;
    NonceOwner owner;
    Instant expires;
  };
  void forget_expired(Instant now);
  std::size_t capacity_;
  std::chrono::milliseconds lifetime_;
  std::list<Entry> by_age_;  // oldest first, and so the next to expire
  std::unordered_map<std::string_view, std::list<Entry>::iterator> by_nonce_;
};

}  // namespace turnpike::identity
