#include "turnpike/proof/merkle.hpp"

#include <array>
#include <bit>
#include <cassert>
#include <cstring>

#include "turnpike/base/running_digest.hpp"

namespace turnpike::proof {
namespace {

constexpr unsigned kLevelBits = 8;  // kTileWidth is 2^8

std::string_view bytes_of(const Hash& hash) {
  return {static_cast<const char*>(static_cast<const void*>(hash.data())), hash.size()};
}

// Where a list of two or more is divided: the largest power of two below its size.
std::uint64_t left_of(std::uint64_t size) {
  return std::bit_floor(size - 1);
}

// The root over hashes whose number is a power of two.
Hash fold(std::vector<Hash> hashes) {
  assert(std::has_single_bit(hashes.size()));
  while (hashes.size() > 1) {
    for (std::size_t i = 0; i < hashes.size() / 2; ++i) hashes[i] = node_hash(hashes[2 * i], hashes[2 * i + 1]);
    hashes.resize(hashes.size() / 2);
  }
  return hashes.front();
}

// The root of the leaves from `begin` to `end`, which are a part of a tree as RFC 6962 divides it.
Hash subtree(const Tiles& tiles, std::uint64_t begin, std::uint64_t end) {
  const std::uint64_t size = end - begin;
  if (!std::has_single_bit(size)) {
    const std::uint64_t middle = begin + left_of(size);
    return node_hash(subtree(tiles, begin, middle), subtree(tiles, middle, end));
  }
  assert(begin % size == 0);
  const auto height = static_cast<unsigned>(std::countr_zero(size));
  const unsigned level = height / kLevelBits;
  const unsigned shift = level * kLevelBits;
  return fold(tiles.read(level, begin >> shift, size >> shift));
}

void append_path(std::vector<Hash>& path, const Tiles& tiles, std::uint64_t index, std::uint64_t begin,
                 std::uint64_t end) {
  if (end - begin == 1) return;
  const std::uint64_t middle = begin + left_of(end - begin);
  if (index < middle) {
    append_path(path, tiles, index, begin, middle);
    path.push_back(subtree(tiles, middle, end));
  } else {
    append_path(path, tiles, index, middle, end);
    path.push_back(subtree(tiles, begin, middle));
  }
}

// `known`: whoever checks the proof has the root of the leaves from `begin` to `earlier`.
void append_subproof(std::vector<Hash>& proof, const Tiles& tiles, std::uint64_t earlier, std::uint64_t begin,
                     std::uint64_t end, bool known) {
  if (earlier == end) {
    if (!known) proof.push_back(subtree(tiles, begin, end));
    return;
  }
  const std::uint64_t middle = begin + left_of(end - begin);
  if (earlier <= middle) {
    append_subproof(proof, tiles, earlier, begin, middle, known);
    proof.push_back(subtree(tiles, middle, end));
  } else {
    append_subproof(proof, tiles, earlier, middle, end, false);
    proof.push_back(subtree(tiles, begin, middle));
  }
}

}  // namespace

Hash empty_hash() {
  return sha256({});
}

Hash leaf_hash(std::string_view leaf) {
  RunningSha256 digest;
  digest.add(std::string_view("\0", 1));
  digest.add(leaf);
  return digest.finish();
}

Hash node_hash(const Hash& left, const Hash& right) {
  std::array<char, 1 + 2 * sizeof(Hash)> bytes{1};
  std::memcpy(bytes.data() + 1, left.data(), left.size());
  std::memcpy(bytes.data() + 1 + left.size(), right.data(), right.size());
  return sha256({bytes.data(), bytes.size()});
}

Hash root_of(std::span<const Hash> leaves) {
  if (leaves.empty()) return empty_hash();
  if (leaves.size() == 1) return leaves.front();
  const auto left = static_cast<std::size_t>(left_of(leaves.size()));
  return node_hash(root_of(leaves.first(left)), root_of(leaves.subspan(left)));
}

Hash root(const Tiles& tiles, std::uint64_t size) {
  return size == 0 ? empty_hash() : subtree(tiles, 0, size);
}

std::vector<Hash> inclusion_proof(const Tiles& tiles, std::uint64_t index, std::uint64_t size) {
  assert(index < size);
  std::vector<Hash> path;
  append_path(path, tiles, index, 0, size);
  return path;
}

std::vector<Hash> consistency_proof(const Tiles& tiles, std::uint64_t earlier, std::uint64_t size) {
  assert(0 < earlier && earlier <= size);
  std::vector<Hash> proof;
  append_subproof(proof, tiles, earlier, 0, size, true);
  return proof;
}

bool is_included(const Hash& leaf, std::uint64_t index, std::uint64_t size, std::span<const Hash> proof,
                 const Hash& root) {
  if (index >= size) return false;
  Hash reached = leaf;
  std::uint64_t last = size - 1;
  for (const Hash& sibling : proof) {
    if (last == 0) return false;
    if (index % 2 == 1 || index == last) {
      reached = node_hash(sibling, reached);
      while (index % 2 == 0 && index != 0) {
        index /= 2;
        last /= 2;
      }
    } else {
      reached = node_hash(reached, sibling);
    }
    index /= 2;
    last /= 2;
  }
  return last == 0 && bytes_of(reached) == bytes_of(root);
}

bool is_consistent(std::uint64_t earlier, const Hash& earlier_root, std::uint64_t size, const Hash& root,
                   std::span<const Hash> proof) {
  if (earlier == 0 || earlier > size) return false;
  if (earlier == size) return proof.empty() && earlier_root == root;
  // A whole subtree is its own first hash.
  const bool whole = std::has_single_bit(earlier);
  if (!whole && proof.empty()) return false;
  Hash of_earlier = whole ? earlier_root : proof.front();
  Hash of_all = of_earlier;
  if (!whole) proof = proof.subspan(1);
  std::uint64_t index = earlier - 1;
  std::uint64_t last = size - 1;
  while (index % 2 == 1) {
    index /= 2;
    last /= 2;
  }
  for (const Hash& hash : proof) {
    if (last == 0) return false;
    if (index % 2 == 1 || index == last) {
      of_earlier = node_hash(hash, of_earlier);
      of_all = node_hash(hash, of_all);
      while (index % 2 == 0 && index != 0) {
        index /= 2;
        last /= 2;
      }
    } else {
      of_all = node_hash(of_all, hash);
    }
    index /= 2;
    last /= 2;
  }
  return last == 0 && of_earlier == earlier_root && of_all == root;
}

}  // namespace turnpike::proof
