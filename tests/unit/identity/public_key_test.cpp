#include "turnpike/identity/public_key.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "common/request_signer.hpp"

namespace turnpike::identity {
namespace {

using turnpike::test::RequestSigner;

std::string with(std::string text, std::string_view from, std::string_view to) {
  return text.replace(text.find(from), from.size(), to);
}

TEST(PublicKey, a_key_as_openssl_writes_it_is_read_and_written_the_same) {
  for (const auto& signer : {RequestSigner::ed25519(), RequestSigner::p256()}) {
    const std::string pem = signer.public_key();
    const auto key = PublicKey::parse(pem);
    ASSERT_TRUE(key) << pem;
    EXPECT_EQ((*key)->pem(), pem);
    EXPECT_EQ(to_string((*key)->algorithm()), signer.algorithm());
  }
}

TEST(PublicKey, line_ends_and_blanks_are_a_writers_own) {
  const std::string pem = RequestSigner::ed25519().public_key();
  std::string crlf = "\n " + pem + "\n";
  for (auto at = crlf.find('\n'); at != std::string::npos; at = crlf.find('\n', at + 2)) crlf.insert(at, "\r");
  std::string one_line = pem;
  std::erase(one_line, '\n');
  EXPECT_EQ(PublicKey::parse(crlf).value()->pem(), pem);
  EXPECT_EQ(PublicKey::parse(one_line).value()->pem(), pem);
}

TEST(PublicKey, anything_else_is_no_key) {
  const std::string ed25519 = RequestSigner::ed25519().public_key();
  const std::string p256 = RequestSigner::p256().public_key();
  // The same structure with another curve (secp256k1), another algorithm (X25519), a compressed point.
  const std::string secp256k1 =
      "-----BEGIN PUBLIC "
      "KEY-----\nMFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAEeb5mfvncu6xVoGKVzocLBwKb/NstzijZWfKBWxb4F5hIOtp3JqPEZV2k"
      "+/wOEQio/Re0SKaFVBmcR9CP+xDUuA==\n-----END PUBLIC KEY-----\n";
  std::string not_on_the_curve = p256;
  char& coordinate = not_on_the_curve.at(not_on_the_curve.size() - 50);
  coordinate = coordinate == 'A' ? 'B' : 'A';
  const auto begin = p256.find('\n');
  std::string base64 = p256.substr(begin, p256.rfind("\n-----") - begin);
  std::erase(base64, '\n');
  const std::string with_a_tail =
      p256.substr(0, begin) + to_base64(from_base64(base64).value() + "x") + p256.substr(p256.rfind("\n-----"));
  for (const std::string& wrong :
       {std::string(), std::string("x"), with(ed25519, "PUBLIC", "PRIVATE"), with(ed25519, "MCow", "MCox"),
        with(ed25519, "VwAyEA", "VuAyEA"), with(ed25519, "\n-----END", "\nAAAA\n-----END"), with(p256, "MFkw", "MFow"),
        ed25519 + ed25519, secp256k1, not_on_the_curve, with_a_tail, std::string(2000, ' ') + std::string(2000, 'x')}) {
    const auto key = PublicKey::parse(wrong);
    ASSERT_FALSE(key) << wrong;
    EXPECT_EQ(key.error().fault, Fault::invalid_request);
    EXPECT_EQ(key.error().param, "public_key");
  }
}

TEST(PublicKey, a_signature_is_its_own_over_that_message_and_no_other) {
  for (const auto& signer : {RequestSigner::ed25519(), RequestSigner::p256()}) {
    const auto key = PublicKey::parse(signer.public_key()).value();
    const std::string signature = signer.sign("message");
    EXPECT_TRUE(key->verifies("message", signature));
    EXPECT_FALSE(key->verifies("Message", signature));
    EXPECT_FALSE(key->verifies("message", ""));
    EXPECT_FALSE(key->verifies("message", signature + "x"));
    EXPECT_FALSE(key->verifies("message", signature.substr(1)));
    EXPECT_FALSE(key->verifies("message", std::string(64, '\0')));
    std::string changed = signature;
    changed[40] = static_cast<char>(changed[40] ^ 1);
    EXPECT_FALSE(key->verifies("message", changed));
    EXPECT_FALSE(PublicKey::parse(RequestSigner::ed25519().public_key()).value()->verifies("message", signature));
    EXPECT_FALSE(PublicKey::parse(RequestSigner::p256().public_key()).value()->verifies("message", signature));
  }
}

}  // namespace
}  // namespace turnpike::identity
