// Randomness: from the operating system for secrets and ids, from a seedable source for choices.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <string>

namespace turnpike {

// Fills `out` from the operating system's random source. Throws std::runtime_error when there is none.
void fill_random(std::span<std::byte> out);

// `length` characters of [0-9A-Za-z], each uniform, from the operating system's source: for keys and other secrets.
std::string random_base62(std::size_t length);

// A version 4 UUID (RFC 9562), lower case with hyphens.
std::string random_uuid();

// A stream of numbers that tests can seed; not for secrets.
using Rng = std::mt19937_64;

// Ids that need to be unique but not secret, cheap enough for every request: random bits drawn from the operating
// system in blocks. Loop thread only.
class IdSource {
 public:
  // `length` characters of base62.
  void append_base62(std::string& out, std::size_t length);
  void append_uuid(std::string& out);

 private:
  std::uint64_t next();
  std::uint64_t block_[64] = {};
  std::size_t left_ = 0;
};

}  // namespace turnpike
