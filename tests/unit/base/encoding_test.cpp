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

TEST(Encoding, base64url_is_that_of_rfc_7515) {
  const std::string octets("\x03\xec\xff\xe0\xc1", 5);  // appendix C
  EXPECT_EQ(to_base64url(octets), "A-z_4ME");
  EXPECT_EQ(from_base64url("A-z_4ME"), octets);
  EXPECT_EQ(to_base64url(""), "");
  EXPECT_EQ(from_base64url(""), "");
  for (const char* text : {"A-z_4ME=", "A+z/4ME", "A-z_4MF", "A", "A-z_4", "A-z_4M E", "A-z_4ME\n", "A-z_4M=="}) {
    EXPECT_EQ(from_base64url(text), std::nullopt) << text;
  }
}

TEST(Encoding, base64_refuses_what_it_would_not_have_written) {
  for (const auto* text : {"Zg", "Zg=", "Zh==", "Z===", "Zm9v\n", "Zm 9", "Zm9-"}) {
    EXPECT_EQ(from_base64(text), std::nullopt) << text;
  }
}

TEST(Encoding, hex_is_read_in_either_case) {
  EXPECT_EQ(from_hex("00fFA0"), std::string("\0\xff\xa0", 3));
  EXPECT_EQ(from_hex(""), "");
  for (const auto* text : {"0", "0g", "0x00", " 00", "00 "}) EXPECT_EQ(from_hex(text), std::nullopt) << text;
}

// From draft-msporny-base58, section 5.
TEST(Encoding, base58_gives_the_vectors_of_its_draft) {
  EXPECT_EQ(to_base58("Hello World!"), "2NEpo7TZRRrLZSi2U");
  EXPECT_EQ(to_base58("The quick brown fox jumps over the lazy dog."),
            "USm3fpXnKG5EUBx2ndxBDMPVciP5hGey2Jh4NDv6gmeo1LkMeiKrLJUUBk6Z");
  EXPECT_EQ(to_base58(std::string_view("\0\0\x28\x7f\xb4\xcd", 6)), "11233QC4");
  EXPECT_EQ(from_base58("11233QC4"), std::string("\0\0\x28\x7f\xb4\xcd", 6));
  EXPECT_EQ(to_base58(std::string(32, '\0')), std::string(32, '1')) << "the address of Solana's system program";
  EXPECT_EQ(from_base58(""), "");
}

TEST(Encoding, base58_comes_back_as_it_went) {
  Rng random(7);
  for (std::size_t length = 0; length < 70; ++length) {
    std::string bytes(length, '\0');
    for (std::size_t i = length / 8; i < length; ++i) bytes[i] = static_cast<char>(random());
    EXPECT_EQ(from_base58(to_base58(bytes)), bytes);
  }
}

TEST(Encoding, base58_refuses_other_characters) {
  for (const auto* text : {"0", "O", "I", "l", "2NEpo7TZRRrLZSi2U ", "+", "\x80"}) {
    EXPECT_EQ(from_base58(text), std::nullopt) << text;
  }
}

// The examples of RFC 3339, section 5.8, and what its grammar leaves free.
TEST(Encoding, date_times_of_rfc_3339_are_read) {
  EXPECT_EQ(parse_rfc3339("1985-04-12T23:20:50.52Z"), 482'196'050'520'000);
  EXPECT_EQ(parse_rfc3339("1996-12-19T16:39:57-08:00"), 851'042'397'000'000);
  EXPECT_EQ(parse_rfc3339("1990-12-31T23:59:60Z"), 662'688'000'000'000);
  EXPECT_EQ(parse_rfc3339("1990-12-31T15:59:60-08:00"), 662'688'000'000'000);
  EXPECT_EQ(parse_rfc3339("1937-01-01T12:00:27.87+00:20"), -1'041'337'172'130'000);
  EXPECT_EQ(parse_rfc3339("2026-03-13t12:00:00.123456789z"), 1'773'403'200'123'456);
  EXPECT_EQ(parse_rfc3339(rfc3339(1'773'403'200'123'000)), 1'773'403'200'123'000);
}

TEST(Encoding, what_is_no_date_time_of_rfc_3339_is_refused) {
  for (const auto* text :
       {"", "2026-03-13", "2026-03-13T12:00:00", "2026-03-13 12:00:00Z", "2026-3-13T12:00:00Z", "2026-02-29T12:00:00Z",
        "2026-13-01T12:00:00Z", "2026-00-10T12:00:00Z", "2026-03-13T24:00:00Z", "2026-03-13T12:60:00Z",
        "2026-03-13T12:00:61Z", "2026-03-13T12:00:00.Z", "2026-03-13T12:00:00+0200", "2026-03-13T12:00:00+24:00",
        "2026-03-13T12:00:00Z ", "+026-03-13T12:00:00Z", "2026-03-13T12:00Z"}) {
    EXPECT_EQ(parse_rfc3339(text), std::nullopt) << text;
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

// RFC 3720, appendix B.4.
TEST(Crc32c, gives_the_sums_of_its_published_vectors) {
  std::string rising(32, '\0');
  for (std::size_t i = 0; i < rising.size(); ++i) rising[i] = static_cast<char>(i);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAU);
  EXPECT_EQ(crc32c(std::string(32, '\xFF')), 0x62A8AB43U);
  EXPECT_EQ(crc32c(rising), 0x46DD794EU);
  EXPECT_EQ(crc32c(std::string(rising.rbegin(), rising.rend())), 0x113FDB5CU);
}

TEST(Crc32c, is_the_same_on_any_processor) {
  std::string bytes;
  for (unsigned i = 0; i < 300; ++i) {
    EXPECT_EQ(crc32c(bytes), crc32c_portable(bytes)) << "of " << bytes.size() << " bytes";
    bytes += static_cast<char>(i * 37 % 251);
  }
}

}  // namespace
}  // namespace turnpike
