// The nonces of signed requests, so that each is good once: remembered until no request may bear them any more, bounded
// for a key and for all keys together. Pure: the time comes in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "turnpike/base/encoding.hpp"

namespace turnpike::identity {

// Loop thread only.
class UsedNonces {
 public:
  UsedNonces(std::size_t most, std::size_t most_per_key) : most_(most), most_per_key_(most_per_key) {}

  enum class Taken : std::uint8_t {
    now,       // good, and from here on used
    before,    // used already
    key_full,  // the key has as many in use as it may
    full,      // all keys together have
  };
  // What a nonce is remembered by, for a key.
  [[nodiscard]] static Sha256 digest_of(std::string_view key_id, std::string_view nonce);

  // Uses a nonce, which is forgotten at `end`, in seconds of Unix time as `now` is.
  [[nodiscard]] Taken take(const Sha256& nonce, const std::string& key_id, std::int64_t end, std::int64_t now);

  // A nonce that an earlier run used: remembered whatever the bounds are now.
  void restore(const Sha256& nonce, const std::string& key_id, std::int64_t end);

  // How many seconds until the next one is forgotten; zero when there is none.
  [[nodiscard]] std::int64_t until_next_end(std::int64_t now) const;
  [[nodiscard]] std::size_t size() const { return keys_by_nonce_.size(); }

 private:
  struct FirstBytes {
    // A digest is uniform already.
    std::size_t operator()(const Sha256& digest) const {
      std::size_t hash = 0;
      std::memcpy(&hash, digest.data(), sizeof hash);
      return hash;
    }
  };
  using Count = std::unordered_map<std::string, std::size_t>::value_type;
  void forget_ended(std::int64_t now);
  std::size_t most_;
  std::size_t most_per_key_;
  std::unordered_map<std::string, std::size_t> counts_;  // by key id
  std::unordered_map<Sha256, Count*, FirstBytes> keys_by_nonce_;
  std::map<std::int64_t, std::vector<Sha256>> by_end_;  // as many entries as the window has seconds, about
};

}  // namespace turnpike::identity
