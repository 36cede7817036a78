#include "turnpike/base/encoding.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "turnpike/base/random.hpp"

namespace turnpike {
namespace {

std::string text_of(const Sha256& digest) {
  return {digest.begin(), digest.end()};
}

TEST(Encoding, sha256_gives_the_digest_of_fips_180_4) {
  EXPECT_EQ(to_hex(text_of(sha256("abc"))), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Encoding, base64_gives_the_vectors_of_rfc_4648) {
  EXPECT_EQ(to_base64("foobar"), "Zm9vYmFy");
  EXPECT_EQ(to_base64("foob"), "Zm9vYg==");
  EXPECT_EQ(from_base64("Zm9vYg=="), "foob");
  EXPECT_EQ(from_base64(""), "");
}

TEST(Encoding, base64_refuses_what_it_would_not_have_written) {
  for (const auto* text : {"Zg", "Zg=", "Zh==", "Z===", "Zm9v\n", "Zm 9", "Zm9-"}) {
    EXPECT_EQ(from_base64(text), std::nullopt) << text;
  }
}

TEST(Encoding, times_are_rfc_3339_in_utc) {
  EXPECT_EQ(rfc3339(0), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(rfc3339(1'773'403'200'123'456), "2026-03-13T12:00:00.123Z");
}

TEST(Random, a_uuid_says_its_version_and_variant) {
  IdSource ids;
  for (int i = 0; i < 100; ++i) {
    std::string uuid = random_uuid();
    if (i % 2 == 0) {
      uuid.clear();
      ids.append_uuid(uuid);
    }
    ASSERT_EQ(uuid.size(), 36U);
    EXPECT_EQ(uuid[14], '4');
    EXPECT_NE(std::string("89ab").find(uuid[19]), std::string::npos);
  }
}

TEST(Random, base62_uses_every_character_and_no_other) {
  std::string seen = random_base62(20'000);
  std::sort(seen.begin(), seen.end());
  seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
  EXPECT_EQ(seen, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");
}

}  // namespace
}  // namespace turnpike
