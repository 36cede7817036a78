#include "turnpike/proof/merkle.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace turnpike::proof {
namespace {

std::string hex(const Hash& hash) {
  return to_hex({static_cast<const char*>(static_cast<const void*>(hash.data())), hash.size()});
}

Hash from(std::string_view text) {
  const auto bytes = from_hex(text).value();
  Hash hash{};
  std::memcpy(hash.data(), bytes.data(), hash.size());
  return hash;
}

// A tree as it is kept: the leaves, and the roots of whole tiles.
class Tree final : public Tiles {
 public:
  void add(const Hash& leaf) {
    levels_[0].push_back(leaf);
    for (unsigned level = 0; levels_[level].size() % kTileWidth == 0; ++level) {
      const std::span<const Hash> all = levels_[level];
      levels_[level + 1].push_back(root_of(all.last(kTileWidth)));
    }
  }
  [[nodiscard]] std::vector<Hash> read(unsigned level, std::uint64_t first, std::uint64_t count) const override {
    const auto& row = levels_.at(level);
    EXPECT_LE(first + count, row.size());
    EXPECT_EQ(first / kTileWidth, (first + count - 1) / kTileWidth) << "within one tile";
    ++reads;
    hashes_read += count;
    const auto begin = row.begin() + static_cast<std::ptrdiff_t>(first);
    return {begin, begin + static_cast<std::ptrdiff_t>(count)};
  }
  [[nodiscard]] std::span<const Hash> leaves(std::size_t size) const { return std::span(levels_.at(0)).first(size); }

  mutable std::uint64_t reads = 0;
  mutable std::uint64_t hashes_read = 0;

 private:
  std::map<unsigned, std::vector<Hash>> levels_;
};

// The eight leaves of the reference tree that implementations of RFC 6962 test by.
const std::string kLeaves[] = {
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"};
constexpr std::string_view kRoots[] = {"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
                                       "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
                                       "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
                                       "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
                                       "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
                                       "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
                                       "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
                                       "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"};

Tree reference_tree() {
  Tree tree;
  for (const auto& leaf : kLeaves) tree.add(leaf_hash(from_hex(leaf).value()));
  return tree;
}

TEST(Merkle, the_empty_tree_and_the_reference_tree_have_the_roots_of_rfc_6962) {
  EXPECT_EQ(hex(empty_hash()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  const auto tree = reference_tree();
  EXPECT_EQ(root(tree, 0), empty_hash());
  for (std::size_t size = 1; size <= std::size(kRoots); ++size) {
    EXPECT_EQ(hex(root(tree, size)), kRoots[size - 1]) << size;
    EXPECT_EQ(hex(root_of(tree.leaves(size))), kRoots[size - 1]) << size;
  }
}

TEST(Merkle, the_reference_tree_has_the_inclusion_proofs_of_rfc_6962) {
  const auto tree = reference_tree();
  struct Known {
    std::uint64_t index;
    std::uint64_t size;
    std::vector<std::string_view> proof;
  };
  const Known kKnown[] = {{0, 1, {}},
                          {0,
                           8,
                           {"96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"}},
                          {5,
                           8,
                           {"bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"}},
                          {2, 3, {"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"}},
                          {1,
                           5,
                           {"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
                            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"}}};
  for (const auto& [index, size, known] : kKnown) {
    std::vector<std::string> proof;
    for (const auto& hash : inclusion_proof(tree, index, size)) proof.push_back(hex(hash));
    EXPECT_EQ(proof, std::vector<std::string>(known.begin(), known.end())) << index << " of " << size;
  }
}

TEST(Merkle, the_reference_tree_has_the_consistency_proofs_of_rfc_6962) {
  const auto tree = reference_tree();
  struct Known {
    std::uint64_t earlier;
    std::uint64_t size;
    std::vector<std::string_view> proof;
  };
  const Known kKnown[] = {{1, 1, {}},
                          {1,
                           8,
                           {"96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"}},
                          {6,
                           8,
                           {"0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"}},
                          {2,
                           5,
                           {"5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"}}};
  for (const auto& [earlier, size, known] : kKnown) {
    std::vector<std::string> proof;
    for (const auto& hash : consistency_proof(tree, earlier, size)) proof.push_back(hex(hash));
    EXPECT_EQ(proof, std::vector<std::string>(known.begin(), known.end())) << earlier << " of " << size;
    EXPECT_TRUE(is_consistent(earlier, from(kRoots[earlier - 1]), size, from(kRoots[size - 1]),
                              consistency_proof(tree, earlier, size)));
  }
}

Hash leaf(std::uint64_t number) {
  return leaf_hash("leaf " + std::to_string(number));
}

TEST(Merkle, every_leaf_of_every_tree_is_shown_to_be_in_it_and_no_other) {
  Tree tree;
  for (std::uint64_t size = 1; size <= 130; ++size) {
    tree.add(leaf(size - 1));
    const auto whole = root(tree, size);
    ASSERT_EQ(whole, root_of(tree.leaves(size))) << size;
    for (std::uint64_t index = 0; index < size; ++index) {
      auto proof = inclusion_proof(tree, index, size);
      ASSERT_TRUE(is_included(leaf(index), index, size, proof, whole)) << index << " of " << size;
      EXPECT_FALSE(is_included(leaf(index + 1), index, size, proof, whole));
      EXPECT_FALSE(is_included(leaf(index), index + 1, size, proof, whole));
      EXPECT_FALSE(is_included(leaf(index), size, size, proof, whole));
      if (proof.empty()) continue;
      proof.back()[0] ^= 1;
      EXPECT_FALSE(is_included(leaf(index), index, size, proof, whole));
      proof.back()[0] ^= 1;
      proof.push_back(proof.back());
      EXPECT_FALSE(is_included(leaf(index), index, size, proof, whole)) << "too long";
      proof.resize(proof.size() - 2);
      EXPECT_FALSE(is_included(leaf(index), index, size, proof, whole)) << "too short";
    }
  }
}

TEST(Merkle, every_tree_is_shown_to_begin_with_every_earlier_one_and_no_other) {
  Tree tree;
  std::vector<Hash> roots{empty_hash()};
  for (std::uint64_t size = 1; size <= 200; ++size) {
    tree.add(leaf(size - 1));
    roots.push_back(root(tree, size));
    for (std::uint64_t earlier = 1; earlier <= size; ++earlier) {
      auto proof = consistency_proof(tree, earlier, size);
      ASSERT_TRUE(is_consistent(earlier, roots[earlier], size, roots[size], proof)) << earlier << " of " << size;
      EXPECT_FALSE(is_consistent(earlier, roots[earlier - 1], size, roots[size], proof));
      EXPECT_FALSE(is_consistent(earlier, roots[earlier], size, roots[size - 1], proof));
      if (proof.empty()) continue;
      proof.front()[31] ^= 0x80;
      EXPECT_FALSE(is_consistent(earlier, roots[earlier], size, roots[size], proof));
      proof.front()[31] ^= 0x80;
      proof.push_back(proof.back());
      EXPECT_FALSE(is_consistent(earlier, roots[earlier], size, roots[size], proof));
      proof.resize(proof.size() - 2);
      EXPECT_FALSE(is_consistent(earlier, roots[earlier], size, roots[size], proof));
    }
  }
}

TEST(Merkle, a_tree_of_many_tiles_reads_some_hundreds_of_hashes_for_a_proof) {
  Tree tree;
  constexpr std::uint64_t kSize = 256 * 256 + 256 * 3 + 200;  // a tile of the third level, and parts of both below
  for (std::uint64_t i = 0; i < kSize; ++i) tree.add(leaf(i));
  std::mt19937_64 random(6962);
  for (int i = 0; i < 20; ++i) {
    const auto size = random() % kSize + 1;
    const auto index = random() % size;
    const auto earlier = random() % size + 1;
    const auto whole = root_of(tree.leaves(size));
    tree.reads = tree.hashes_read = 0;
    ASSERT_EQ(root(tree, size), whole) << size;
    EXPECT_TRUE(is_included(leaf(index), index, size, inclusion_proof(tree, index, size), whole));
    EXPECT_TRUE(
        is_consistent(earlier, root_of(tree.leaves(earlier)), size, whole, consistency_proof(tree, earlier, size)));
    EXPECT_LE(tree.hashes_read, 3U * 3 * 256) << size;
  }
}

}  // namespace
}  // namespace turnpike::proof
