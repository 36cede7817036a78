#include "turnpike/identity/wallet_login.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/wallet_keys.hpp"
#include "turnpike/base/encoding.hpp"

namespace turnpike::identity {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using turnpike::test::EthereumKey;
using turnpike::test::SolanaKey;

class WalletLoginTest : public testing::Test {
 protected:
  static WalletLogin open(const Clock& clock, const std::string& public_url = "https://gate.example:8443/door") {
    auto opened = WalletLogin::open(
        {.public_url = public_url, .network_name = "turnpike", .nonce_lifetime = 5min, .max_nonces = 3}, clock);
    EXPECT_TRUE(opened);
    return std::move(opened).value();
  }
  Challenge challenge() { return login.challenge(key.address(), "eip155:8453").value(); }
  // The message with one of its terms changed, and signed anew.
  Result<Wallet> signed_anew(const Challenge& from, const std::function<void(SignInMessage&)>& change) {
    SignInMessage message = parse_sign_in_message(from.message).value();
    change(message);
    const std::string text = to_text(message);
    return login.verify(text, key.sign_as_text(text));
  }

  HeldClock clock;
  EthereumKey key{0x46};
  SolanaKey solana{0x46};
  WalletLogin login = open(clock);
};

TEST_F(WalletLoginTest, the_challenge_is_an_eip_4361_message_for_this_gateway) {
  const auto challenge = login.challenge("0x9d8a62f656a8d1615c1294fd71e9cfb3e4855a4f", "eip155:8453");
  ASSERT_TRUE(challenge) << challenge.error().message;
  EXPECT_EQ(challenge->message,
            "gate.example:8443 wants you to sign in with your Ethereum account:\n"
            "0x9d8A62f656a8d1615C1294fd71e9CFb3E4855A4F\n\n"
            "Sign in to turnpike to get an API key.\n\n"
            "URI: https://gate.example:8443/door\n"
            "Version: 1\n"
            "Chain ID: 8453\n"
            "Nonce: " +
                challenge->nonce +
                "\nIssued At: 2023-11-14T22:13:20.000Z\n"
                "Expiration Time: 2023-11-14T22:18:20.000Z");
  EXPECT_EQ(challenge->expires_at, clock.wall() + 5min);
  EXPECT_TRUE(parse_sign_in_message(challenge->message));
  EXPECT_NE(login.challenge(key.address(), "eip155:8453")->nonce, challenge->nonce);
}

TEST_F(WalletLoginTest, a_wallet_that_signs_its_challenge_is_let_in_once) {
  const auto asked = challenge();
  const auto wallet = login.verify(asked.message, key.sign_as_text(asked.message));
  ASSERT_TRUE(wallet) << wallet.error().message;
  EXPECT_EQ(wallet->address, key.address());
  const auto again = login.verify(asked.message, key.sign_as_text(asked.message));
  EXPECT_EQ(again.error().fault, Fault::invalid_api_key);
  EXPECT_THAT(again.error().message, HasSubstr("nonce"));
}

TEST_F(WalletLoginTest, a_solana_wallet_signs_the_same_text) {
  const auto asked = login.challenge(solana.address(), "solana").value();
  EXPECT_THAT(asked.message, HasSubstr(" wants you to sign in with your Solana account:\n" + solana.address() + "\n"));
  EXPECT_THAT(asked.message, HasSubstr("\nChain ID: mainnet\n"));
  const auto wallet = login.verify(asked.message, solana.sign_as_text(asked.message));
  ASSERT_TRUE(wallet) << wallet.error().message;
  EXPECT_EQ(*wallet, (Wallet{.chain = ChainNamespace::solana, .address = solana.address()}));
  EXPECT_FALSE(login.verify(asked.message, solana.sign_as_text(asked.message)));
}

TEST_F(WalletLoginTest, a_client_may_write_the_message_itself) {
  EXPECT_TRUE(signed_anew(challenge(), [](SignInMessage& message) {
    message.scheme = "https";
    message.statement.reset();
    message.expiration_time.reset();
    message.request_id = "mine";
    message.resources = {"https://example.com/x"};
  }));
}

TEST_F(WalletLoginTest, a_changed_byte_is_refused_and_spends_nothing) {
  const auto asked = challenge();
  const std::string signature = key.sign_as_text(asked.message);
  for (std::size_t i = 0; i < asked.message.size(); ++i) {
    std::string changed = asked.message;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    const auto refused = login.verify(changed, signature);
    ASSERT_FALSE(refused) << i;
    EXPECT_EQ(refused.error().fault, Fault::invalid_api_key) << i;
  }
  for (std::size_t i = 2; i < signature.size(); ++i) {
    std::string changed = signature;
    changed[i] = changed[i] == '0' ? '1' : '0';
    EXPECT_EQ(login.verify(asked.message, changed).error().fault, Fault::invalid_api_key) << i;
  }
  EXPECT_TRUE(login.verify(asked.message, signature));
}

TEST_F(WalletLoginTest, another_signer_is_refused) {
  const auto asked = challenge();
  const auto refused = login.verify(asked.message, EthereumKey(0x47).sign_as_text(asked.message));
  EXPECT_EQ(refused.error().fault, Fault::invalid_api_key);
  EXPECT_THAT(refused.error().message, HasSubstr("signature"));
}

TEST_F(WalletLoginTest, a_term_that_is_not_the_challenges_is_refused_however_well_signed) {
  const auto asked = challenge();
  const auto expect = [&](const char* word, const std::function<void(SignInMessage&)>& change) {
    const auto refused = signed_anew(asked, change);
    ASSERT_FALSE(refused) << word;
    EXPECT_EQ(refused.error().fault, Fault::invalid_api_key);
    EXPECT_THAT(refused.error().message, HasSubstr(word));
  };
  expect("domain", [](SignInMessage& message) { message.domain = "gate.example"; });
  expect("domain", [](SignInMessage& message) { message.scheme = "http"; });
  expect("URI", [](SignInMessage& message) { message.uri = "https://gate.example:8443"; });
  expect("wallet or chain", [](SignInMessage& message) { message.chain_id = "1"; });
  expect("nonce", [](SignInMessage& message) { message.nonce = "abcdefgh"; });
  expect("expired", [&](SignInMessage& message) { message.expiration_time = clock.wall(); });
  expect("not valid yet", [&](SignInMessage& message) { message.not_before = clock.wall() + 1s; });
  expect("future", [&](SignInMessage& message) { message.issued_at = clock.wall() + 6min; });
  EXPECT_TRUE(signed_anew(asked, [](SignInMessage&) {}));
}

TEST_F(WalletLoginTest, another_wallets_nonce_is_refused) {
  const auto asked = challenge();
  const EthereumKey thief(0x47);
  SignInMessage message = parse_sign_in_message(asked.message).value();
  message.wallet.address = thief.address();
  const std::string text = to_text(message);
  EXPECT_EQ(login.verify(text, thief.sign_as_text(text)).error().fault, Fault::invalid_api_key);
}

TEST_F(WalletLoginTest, a_challenge_is_good_for_its_five_minutes) {
  const auto first = challenge();
  const auto second = challenge();
  clock.advance(5min - 1ms);
  EXPECT_TRUE(login.verify(first.message, key.sign_as_text(first.message)));
  clock.advance(1ms);
  EXPECT_EQ(login.verify(second.message, key.sign_as_text(second.message)).error().fault, Fault::invalid_api_key);
}

TEST_F(WalletLoginTest, the_nonce_expires_even_when_the_message_names_no_end) {
  const auto asked = challenge();
  clock.advance(5min);
  const auto refused = signed_anew(asked, [](SignInMessage& message) { message.expiration_time.reset(); });
  EXPECT_THAT(refused.error().message, HasSubstr("nonce"));
}

TEST_F(WalletLoginTest, more_challenges_than_the_limit_are_put_off) {
  for (int i = 0; i < 3; ++i) challenge();
  const auto refused = login.challenge(key.address(), "eip155:1");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().fault, Fault::service_unavailable);
  EXPECT_EQ(refused.error().retry_after, 300s);
  clock.advance(5min);
  EXPECT_TRUE(login.challenge(key.address(), "eip155:1"));
}

TEST_F(WalletLoginTest, a_malformed_member_is_named) {
  for (const auto* chain : {"", "eip155", "eip155:", "eip155:0", "eip155:01", "eip155:0x1", "eip155:1 ",
                            "eip155:123456789012345678901", "Solana", "solana:mainnet", "bip122:1"}) {
    EXPECT_EQ(login.challenge(key.address(), chain).error().param, "chain") << chain;
  }
  EXPECT_EQ(login.challenge(solana.address(), "eip155:1").error().param, "address");
  EXPECT_EQ(login.challenge(key.address(), "solana").error().param, "address");
  EXPECT_EQ(login.verify("hello", "0x00").error().param, "message");
  const auto asked = challenge();
  EXPECT_EQ(login.verify(asked.message, "0x00").error().param, "signature");
  EXPECT_EQ(login.verify(asked.message, "0x00").error().fault, Fault::invalid_request);
}

TEST_F(WalletLoginTest, a_public_url_that_no_message_can_name_is_refused_at_start) {
  for (const auto* url : {"", "http://", "http:///path", "http://a b", "http://gate.example/a b", "gate.example"}) {
    EXPECT_FALSE(WalletLogin::open({.public_url = url, .network_name = "x"}, clock)) << url;
  }
  EXPECT_EQ(open(clock, "http://gate.example:80a").challenge(key.address(), "eip155:1").error().fault,
            Fault::internal_error);
  EXPECT_THAT(open(clock, "http://[::1]:7545").challenge(key.address(), "eip155:1")->message,
              testing::StartsWith("[::1]:7545 wants you"));
}

}  // namespace
}  // namespace turnpike::identity
