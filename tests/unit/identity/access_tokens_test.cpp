#include "turnpike/identity/access_tokens.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "common/temp_folder.hpp"
#include "turnpike/base/encoding.hpp"
#include "turnpike/identity/signing_key.hpp"

namespace turnpike::identity {
namespace {

using nlohmann::json;
using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::seconds;

class AccessTokensTest : public testing::Test {
 protected:
  AccessTokens open(const std::string& name = "token.key", std::size_t remembered = 4) const {
    return AccessTokens::open(
               {.key_file = folder.file(name), .issuer = "https://gate.example", .remembered = remembered})
        .value();
  }
  std::string issue(seconds lifetime = hours(1)) const {
    return tokens.issue({.subject = "acct_1", .key_id = "key_1", .scopes = scopes, .lifetime = lifetime}, clock.wall())
        ->token;
  }
  // The three parts of a token.
  static std::vector<std::string> parts_of(const std::string& token) {
    const auto first = token.find('.');
    const auto last = token.rfind('.');
    return {token.substr(0, first), token.substr(first + 1, last - first - 1), token.substr(last + 1)};
  }
  static json read(const std::string& part) { return json::parse(from_base64url(part).value()); }
  static json claims_of(const std::string& token) { return read(parts_of(token)[1]); }
  // A token of these parts that is rightly signed by the gateway's key.
  std::string sign(const std::string& header, const std::string& payload) const {
    const std::string input = to_base64url(header) + "." + to_base64url(payload);
    return input + "." + to_base64url(SigningKey::open(folder.file("token.key"))->sign(input));
  }
  std::string with_header(const json& changes) const {
    json header = read(parts_of(issue())[0]);
    header.merge_patch(changes);  // null takes a member away
    return sign(header.dump(), claims_of(issue()).dump());
  }
  std::string with_claims(const json& changes) const {
    json claims = claims_of(issue());
    claims.merge_patch(changes);
    return sign(read(parts_of(issue())[0]).dump(), claims.dump());
  }
  std::optional<TokenRefusal> refusal(const std::string& token) const {
    const auto claims = tokens.verify(token, clock.wall());
    return claims ? std::nullopt : std::optional(claims.error());
  }

  turnpike::test::TempFolder folder;
  HeldClock clock;
  Scopes scopes = Scopes::parse("chat:write models:read").value();
  AccessTokens tokens = open();
};

TEST_F(AccessTokensTest, a_token_says_what_it_is_for) {
  const auto claims = tokens.verify(issue(), clock.wall());
  ASSERT_TRUE(claims) << to_string(claims.error());
  EXPECT_EQ((*claims)->key_id, "key_1");
  EXPECT_EQ((*claims)->grant.scopes, scopes);
  EXPECT_EQ((*claims)->grant.expires_at, clock.wall() + hours(1));
}

TEST_F(AccessTokensTest, a_token_is_an_access_token_of_rfc_9068) {
  const auto parts = parts_of(issue());
  const json header = read(parts[0]);
  EXPECT_EQ(header["alg"], "EdDSA");
  EXPECT_EQ(header["typ"], "at+jwt");
  EXPECT_EQ(header.size(), 3U);
  json claims = read(parts[1]);
  EXPECT_EQ(claims["jti"].get<std::string>().size(), 22U);
  EXPECT_NE(claims["jti"], claims_of(issue())["jti"]);
  claims.erase("jti");
  EXPECT_EQ(claims, (json{{"iss", "https://gate.example"},
                          {"aud", "https://gate.example"},
                          {"sub", "acct_1"},
                          {"client_id", "key_1"},
                          {"scope", "chat:write models:read"},
                          {"iat", 1'700'000'000},
                          {"nbf", 1'700'000'000},
                          {"exp", 1'700'003'600}}));
}

TEST_F(AccessTokensTest, the_jwk_set_is_the_key_that_tokens_name) {
  const json set = json::parse(tokens.jwk_set());
  ASSERT_EQ(set["keys"].size(), 1U);
  const json& jwk = set["keys"][0];
  EXPECT_EQ(jwk["kty"], "OKP");
  EXPECT_EQ(jwk["crv"], "Ed25519");
  EXPECT_EQ(jwk["alg"], "EdDSA");
  EXPECT_EQ(jwk["use"], "sig");
  EXPECT_EQ(jwk["x"], to_base64url(SigningKey::open(folder.file("token.key"))->public_key()));
  EXPECT_EQ(jwk["kid"], read(parts_of(issue())[0])["kid"]);
  EXPECT_EQ(jwk.size(), 6U) << "and nothing private";
}

TEST_F(AccessTokensTest, the_key_id_is_the_thumbprint_of_rfc_8037) {
  const std::string head("\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20", 16);
  const std::string seed = from_base64url("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").value();
  {
    std::ofstream file(folder.file("rfc.key"));
    file << "-----BEGIN PRIVATE KEY-----\n" << to_base64(head + seed) << "\n-----END PRIVATE KEY-----\n";
  }
  std::filesystem::permissions(folder.file("rfc.key"), std::filesystem::perms::owner_read);
  EXPECT_EQ(json::parse(open("rfc.key").jwk_set())["keys"][0]["kid"], "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

TEST_F(AccessTokensTest, a_token_lives_from_its_first_second_to_its_last) {
  const std::string token = issue(seconds(60));
  EXPECT_FALSE(refusal(token));
  clock.advance(seconds(60) - microseconds(1));
  EXPECT_FALSE(refusal(token));
  clock.advance(microseconds(1));
  EXPECT_EQ(refusal(token), TokenRefusal::expired);
  EXPECT_EQ(open().verify(token, clock.wall()).error(), TokenRefusal::expired) << "and without having seen it";
  EXPECT_EQ(open().verify(token, clock.wall() - seconds(61)).error(), TokenRefusal::not_yet_valid);
}

TEST_F(AccessTokensTest, no_token_lives_for_longer_than_a_day_or_than_its_key) {
  EXPECT_EQ(claims_of(issue(hours(48)))["exp"], 1'700'086'400);
  const auto ending = [&](WallTime end) {
    return tokens.issue({.subject = "a", .key_id = "k", .scopes = scopes, .lifetime = hours(1), .not_after = end},
                        clock.wall());
  };
  EXPECT_EQ(ending(clock.wall() + seconds(90) + microseconds(999'999))->lifetime, seconds(90));
  EXPECT_EQ(ending(clock.wall() + hours(2))->lifetime, hours(1));
  EXPECT_EQ(ending(clock.wall() + microseconds(999'999)).error().fault, Fault::invalid_api_key);
}

TEST_F(AccessTokensTest, no_byte_of_a_token_can_be_another) {
  const std::string token = issue();
  for (std::size_t i = 0; i < token.size(); ++i) {
    for (const char other : {'A', 'Q', '-', '.', '=', ' ', '+', '\0'}) {
      if (token[i] == other) continue;
      std::string changed = token;
      changed[i] = other;
      ASSERT_TRUE(refusal(changed)) << i << " " << other;
    }
  }
  EXPECT_FALSE(refusal(token));
}

TEST_F(AccessTokensTest, base64url_has_one_form) {
  // The last character of a signature carries two bits that count and four that do not (RFC 4648, section 3.5).
  const std::string token = issue();
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  int accepted = 0;
  for (const char c : kAlphabet) accepted += refusal(token.substr(0, token.size() - 1) + c) ? 0 : 1;
  EXPECT_EQ(accepted, 1);
  for (const char* tail : {"=", "==", " ", "\n", ".", "A"}) EXPECT_EQ(refusal(token + tail), TokenRefusal::malformed);
}

TEST_F(AccessTokensTest, parts_that_are_missing_or_too_many_are_refused) {
  const auto parts = parts_of(issue());
  for (const std::string& text :
       {std::string(), std::string("eyJ"), parts[0], parts[0] + ".", parts[0] + "." + parts[1],
        parts[0] + "." + parts[1] + ".", parts[0] + ".." + parts[2], parts[0] + "." + parts[2],
        parts[0] + "." + parts[1] + "." + parts[1] + "." + parts[2], "." + parts[1] + "." + parts[2]}) {
    EXPECT_TRUE(refusal(text)) << text;
  }
  EXPECT_EQ(refusal(parts[0] + "." + std::string(5'000, 'A') + "." + parts[2]), TokenRefusal::malformed);
}

TEST_F(AccessTokensTest, a_header_is_this_gateways_to_the_byte) {
  ASSERT_FALSE(refusal(with_header(json::object()))) << "the tokens of this test are rightly signed";
  for (const json& changes :
       {json{{"alg", "none"}}, json{{"alg", "HS256"}}, json{{"alg", "RS256"}}, json{{"alg", "Ed25519"}},
        json{{"alg", "eddsa"}}, json{{"alg", nullptr}}, json{{"kid", "other"}}, json{{"kid", nullptr}},
        json{{"typ", "JWT"}}, json{{"typ", nullptr}}, json{{"crit", json::array({"exp"})}},
        json{{"jwk", {{"kty", "OKP"}}}}, json{{"jku", "https://evil.example"}}, json{{"b64", false}}}) {
    EXPECT_EQ(refusal(with_header(changes)), TokenRefusal::malformed) << changes;
  }
  const auto parts = parts_of(issue());
  const std::string none = to_base64url(R"({"alg":"none"})");
  EXPECT_EQ(refusal(none + "." + parts[1] + "."), TokenRefusal::malformed);
}

TEST_F(AccessTokensTest, a_signature_of_another_key_or_of_another_token_is_refused) {
  const auto parts = parts_of(issue());
  const std::string input = parts[0] + "." + parts[1];
  const SigningKey stranger = SigningKey::open(folder.file("stranger.key")).value();
  EXPECT_EQ(refusal(input + "." + to_base64url(stranger.sign(input))), TokenRefusal::forged);
  EXPECT_EQ(refusal(input + "." + parts_of(issue())[2]), TokenRefusal::forged);
  EXPECT_EQ(refusal(input + "." + to_base64url(std::string(64, '\0'))), TokenRefusal::forged);
  const AccessTokens elsewhere = open("stranger.key");
  EXPECT_FALSE(elsewhere.verify(issue(), clock.wall()));
}

TEST_F(AccessTokensTest, claims_that_this_gateway_does_not_make_are_refused_though_it_signed_them) {
  ASSERT_FALSE(refusal(with_claims(json::object())));
  const std::int64_t now = unix_seconds(clock.wall());
  for (const json& changes : {json{{"iss", "https://evil.example"}},
                              json{{"iss", nullptr}},
                              json{{"aud", "https://evil.example"}},
                              json{{"aud", json::array({"https://gate.example"})}},
                              json{{"aud", nullptr}},
                              json{{"client_id", nullptr}},
                              json{{"client_id", 7}},
                              json{{"scope", nullptr}},
                              json{{"scope", ""}},
                              json{{"scope", "chat:all"}},
                              json{{"exp", nullptr}},
                              json{{"nbf", nullptr}},
                              json{{"iat", nullptr}},
                              json{{"exp", "1700003600"}},
                              json{{"exp", 1'700'003'600.5}},
                              json{{"iat", -1}},
                              json{{"exp", now}},
                              json{{"exp", now + 86'401}},
                              json{{"exp", 1e18}},
                              json{{"exp", 9'223'372'036'854'775'807}}}) {
    EXPECT_EQ(refusal(with_claims(changes)), TokenRefusal::malformed) << changes;
  }
  EXPECT_EQ(refusal(with_claims({{"iat", now + 1}})), TokenRefusal::not_yet_valid);
  EXPECT_EQ(refusal(with_claims({{"nbf", now + 1}})), TokenRefusal::not_yet_valid);
  EXPECT_EQ(refusal(with_claims({{"iat", now - 60}, {"nbf", now - 60}, {"exp", now - 1}})), TokenRefusal::expired);
  const std::string header = from_base64url(parts_of(issue())[0]).value();
  for (const char* payload : {"", "7", "[]", "null", "{", "\"text\""}) {
    EXPECT_EQ(refusal(sign(header, payload)), TokenRefusal::malformed) << payload;
  }
}

TEST_F(AccessTokensTest, a_restart_keeps_tokens_good) {
  const std::string token = issue();
  const AccessTokens again = open();
  EXPECT_TRUE(again.verify(token, clock.wall()));
}

TEST_F(AccessTokensTest, more_tokens_than_are_remembered_are_told_apart) {
  const AccessTokens one_place = open("token.key", 1);
  const std::string narrow = issue();
  scopes = Scopes::all();
  const std::string wide = issue();
  for (int round = 0; round < 3; ++round) {
    EXPECT_FALSE((*one_place.verify(narrow, clock.wall()))->grant.scopes.has(Scope::keys_manage));
    EXPECT_TRUE((*one_place.verify(wide, clock.wall()))->grant.scopes.has(Scope::keys_manage));
    EXPECT_FALSE(one_place.verify(narrow + "A", clock.wall()));
  }
}

TEST_F(AccessTokensTest, an_issuer_that_would_make_every_token_too_long_is_refused) {
  const auto opened =
      AccessTokens::open({.key_file = folder.file("token.key"), .issuer = std::string(513, 'x'), .remembered = 1});
  EXPECT_EQ(opened.error().fault, Fault::invalid_request);
}

}  // namespace
}  // namespace turnpike::identity
