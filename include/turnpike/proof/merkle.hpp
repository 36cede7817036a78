// Merkle trees as RFC 6962 hashes them (section 2.1): one root stands for a list, a short proof shows that an element
// is in it, and another that a longer list begins with a shorter one. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "turnpike/base/encoding.hpp"

namespace turnpike::proof {

using Hash = Sha256;

// Of an empty tree, of a leaf (SHA-256 of a zero byte and the leaf), of a node (of a one byte and its two children).
[[nodiscard]] Hash empty_hash();
[[nodiscard]] Hash leaf_hash(std::string_view leaf);
[[nodiscard]] Hash node_hash(const Hash& left, const Hash& right);

// The root over leaves, by their hashes.
[[nodiscard]] Hash root_of(std::span<const Hash> leaves);

// Trees are kept in tiles: a tile is 256 neighbours of one level, of which each is the root of a whole tile of the
// level below. Level 0 are the leaves. A tree of millions of leaves is read by some hundreds of hashes.
inline constexpr std::uint64_t kTileWidth = 256;

// Where the hashes of a tree that is kept are read.
class Tiles {
 public:
  virtual ~Tiles() = default;
  // `count` neighbours from `first` on, all of one tile, and none that is not whole.
  [[nodiscard]] virtual std::vector<Hash> read(unsigned level, std::uint64_t first, std::uint64_t count) const = 0;
};

// The root of the first `size` leaves.
[[nodiscard]] Hash root(const Tiles& tiles, std::uint64_t size);

// The siblings on the way from leaf `index` to the root of the first `size` leaves, from the bottom. index < size.
[[nodiscard]] std::vector<Hash> inclusion_proof(const Tiles& tiles, std::uint64_t index, std::uint64_t size);

// What shows that the first `size` leaves begin with the first `earlier`. 0 < earlier <= size.
[[nodiscard]] std::vector<Hash> consistency_proof(const Tiles& tiles, std::uint64_t earlier, std::uint64_t size);

// True when the proof shows that (RFC 9162, sections 2.1.3.2 and 2.1.4.2, which are for these trees as well).
[[nodiscard]] bool is_included(const Hash& leaf, std::uint64_t index, std::uint64_t size, std::span<const Hash> proof,
                               const Hash& root);
[[nodiscard]] bool is_consistent(std::uint64_t earlier, const Hash& earlier_root, std::uint64_t size, const Hash& root,
                                 std::span<const Hash> proof);

}  // namespace turnpike::proof
