#include "turnpike/identity/sign_in_message.hpp"

#include <gtest/gtest.h>

#include "common/wallet_keys.hpp"
#include "turnpike/base/encoding.hpp"

namespace turnpike::identity {
namespace {

// The EIP's own example.
const std::string kExample =
    "service.org wants you to sign in with your Ethereum account:\n"
    "0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2\n"
    "\n"
    "I accept the ServiceOrg Terms of Service: https://service.org/tos\n"
    "\n"
    "URI: https://service.org/login\n"
    "Version: 1\n"
    "Chain ID: 1\n"
    "Nonce: 32891756\n"
    "Issued At: 2021-09-30T16:25:24Z\n"
    "Resources:\n"
    "- ipfs://bafybeiemxf5abjwjbikoz4mc3a3dla6ual3jsgpdr4cjr3oz3evfyavhwq/\n"
    "- https://example.com/my-web2-claim.json";

// The example with every term of the grammar.
const std::string kWhole =
    "https://service.org wants you to sign in with your Ethereum account:\n"
    "0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2\n"
    "\n"
    "I accept the ServiceOrg Terms of Service: https://service.org/tos\n"
    "\n"
    "URI: https://service.org/login\n"
    "Version: 1\n"
    "Chain ID: 1\n"
    "Nonce: 32891756\n"
    "Issued At: 2021-09-30T16:25:24.000Z\n"
    "Expiration Time: 2021-09-30T17:25:24.000Z\n"
    "Not Before: 2021-09-30T16:00:00.000Z\n"
    "Request ID: some-request%20id:1@2\n"
    "Resources:\n"
    "- ipfs://bafybeiemxf5abjwjbikoz4mc3a3dla6ual3jsgpdr4cjr3oz3evfyavhwq/\n"
    "- https://example.com/my-web2-claim.json";

WallTime at(std::string_view text) {
  return WallTime(std::chrono::microseconds(parse_rfc3339(text).value()));
}

// `text` with the first `part` in it replaced.
std::string with(std::string text, std::string_view part, std::string_view other) {
  return text.replace(text.find(part), part.size(), other);
}

// The term at fault; empty: none.
std::string fault(std::string_view text) {
  const auto parsed = parse_sign_in_message(text);
  return parsed ? std::string() : std::string(parsed.error());
}

TEST(SignInMessage, the_example_of_eip_4361_is_read) {
  const auto message = parse_sign_in_message(kExample);
  ASSERT_TRUE(message) << message.error();
  EXPECT_EQ(message->scheme, "");
  EXPECT_EQ(message->domain, "service.org");
  EXPECT_EQ(message->wallet.chain, ChainNamespace::eip155);
  EXPECT_EQ(message->wallet.address, "0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2");
  EXPECT_EQ(message->statement, "I accept the ServiceOrg Terms of Service: https://service.org/tos");
  EXPECT_EQ(message->uri, "https://service.org/login");
  EXPECT_EQ(message->chain_id, "1");
  EXPECT_EQ(message->nonce, "32891756");
  EXPECT_EQ(message->issued_at, at("2021-09-30T16:25:24Z"));
  EXPECT_EQ(message->expiration_time, std::nullopt);
  EXPECT_EQ(message->not_before, std::nullopt);
  EXPECT_EQ(message->request_id, std::nullopt);
  ASSERT_EQ(message->resources.size(), 2U);
  EXPECT_EQ(message->resources[1], "https://example.com/my-web2-claim.json");
}

TEST(SignInMessage, every_term_is_read_and_written_back_to_the_byte) {
  const auto message = parse_sign_in_message(kWhole);
  ASSERT_TRUE(message) << message.error();
  EXPECT_EQ(message->scheme, "https");
  EXPECT_EQ(message->expiration_time, at("2021-09-30T17:25:24Z"));
  EXPECT_EQ(message->not_before, at("2021-09-30T16:00:00Z"));
  EXPECT_EQ(message->request_id, "some-request%20id:1@2");
  EXPECT_EQ(to_text(*message), kWhole);
}

TEST(SignInMessage, what_is_optional_may_be_left_out_one_by_one) {
  const std::string statement = "I accept the ServiceOrg Terms of Service: https://service.org/tos\n";
  for (const std::string& part :
       {std::string("https://"), statement, std::string("\nExpiration Time: 2021-09-30T17:25:24.000Z"),
        std::string("\nNot Before: 2021-09-30T16:00:00.000Z"), std::string("\nRequest ID: some-request%20id:1@2"),
        kWhole.substr(kWhole.find("\nResources:"))}) {
    const std::string text = with(kWhole, part, "");
    const auto message = parse_sign_in_message(text);
    ASSERT_TRUE(message) << part << ": " << message.error();
    EXPECT_EQ(to_text(*message), text);
  }
}

TEST(SignInMessage, what_the_grammar_leaves_free_is_taken) {
  EXPECT_EQ(fault(with(kExample, "service.org ", "user@service.org:8080 ")), "");
  EXPECT_EQ(fault(with(kExample, "service.org ", "localhost ")), "");
  EXPECT_EQ(fault(with(kExample, "service.org ", "127.0.0.1:80 ")), "");
  EXPECT_EQ(fault(with(kExample, "service.org ", "[2001:db8::1]:443 ")), "");
  EXPECT_EQ(fault(with(kExample, "service.org ", "a+b-1.c://service.org ")), "");
  EXPECT_EQ(fault(with(kExample, "https://service.org/login", "did:key:z6Mk?a=b#c")), "");
  EXPECT_EQ(fault(with(kExample, "24Z", "24.123456789+05:30")), "");
  EXPECT_EQ(fault(with(kExample, "24Z", "24Z\nRequest ID: ")), "") << "a request id may be empty";
  EXPECT_EQ(fault(kExample.substr(0, kExample.find("\n- "))), "") << "resources may be none";
  EXPECT_EQ(fault(with(kExample, "Nonce: 32891756", "Nonce: aZ0aZ0aZ0aZ0aZ0")), "");
  EXPECT_EQ(fault(with(kExample, "Chain ID: 1", "Chain ID: 11155111")), "");
}

struct Wrong {
  const char* term;  // at fault
  const char* part;  // of the whole message
  const char* other;
};
// NOLINTNEXTLINE(readability-identifier-naming)
void PrintTo(const Wrong& wrong, std::ostream* out) {
  *out << wrong.term << ": " << wrong.other;
}
class AWrongTerm : public testing::TestWithParam<Wrong> {};

TEST_P(AWrongTerm, is_named) {
  ASSERT_NE(kWhole.find(GetParam().part), std::string::npos);
  EXPECT_EQ(fault(with(kWhole, GetParam().part, GetParam().other)), GetParam().term);
}

INSTANTIATE_TEST_SUITE_P(
    SignInMessage, AWrongTerm,
    testing::Values(
        Wrong{"scheme", "https://s", "://s"}, Wrong{"scheme", "https://s", "1https://s"},
        Wrong{"scheme", "https://s", "ht_tps://s"}, Wrong{"domain", "service.org wants", " wants"},
        Wrong{"domain", "service.org wants", "service.org/path wants"},
        Wrong{"domain", "service.org wants", "service.org?q wants"},
        Wrong{"domain", "service.org wants", "ser vice.org wants"}, Wrong{"domain", "service.org wants", "#x wants"},
        Wrong{"domain", "service.org wants", "service.org:80a wants"}, Wrong{"domain", "sign in", "sign  in"},
        Wrong{"domain", " wants", " Wants"}, Wrong{"account", "Ethereum", "ethereum"},
        Wrong{"account", "Ethereum", "Bitcoin"}, Wrong{"account", "account:\n", "account:\r\n"},
        Wrong{"account", "account:\n", "account: \n"}, Wrong{"account", "account:\n", "account\n"},
        Wrong{"address", "account:\n", "account:\n\n"}, Wrong{"address", "0xC02", "0xc02"},
        Wrong{"address", "0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2", "0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2"},
        Wrong{"address", "0xC02", "0XC02"}, Wrong{"address", "0xC02", "C02"}, Wrong{"address", "6Cc2\n", "6Cc\n"},
        Wrong{"address", "6Cc2\n", "6Cc22\n"}, Wrong{"address", "6Cc2\n\n", "6Cc2\n"},
        Wrong{"address", "0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2", "GwAF45zjfyGzUbd3i3hXxzGeuchzEZXwpRYHZM5912F1"},
        Wrong{"statement", "I accept", "I\n accept"}, Wrong{"statement", "I accept", "I\taccept"},
        Wrong{"statement", "I accept", "I \"accept\""}, Wrong{"statement", "I accept", "I accept\xc3\xa9"},
        Wrong{"statement", "I accept", "100% I accept"}, Wrong{"statement", "/tos\n\n", "/tos\n"},
        Wrong{"uri", "/tos\n\n", "/tos\n\n\n"}, Wrong{"uri", "URI: ", "Uri: "}, Wrong{"uri", "URI: ", "URI:"},
        Wrong{"uri", "URI: https://service.org/login", "URI: "}, Wrong{"uri", "URI: https:", "URI: "},
        Wrong{"uri", "/login", "/log in"}, Wrong{"uri", "/login", "/log%zz"}, Wrong{"uri", "/login", "/{login}"},
        Wrong{"version", "Version: 1", "Version: 2"}, Wrong{"version", "Version: 1", "Version: 1.0"},
        Wrong{"version", "Version: 1", "Version: "}, Wrong{"version", "Version: 1\n", ""},
        Wrong{"chain-id", "Chain ID: 1", "Chain ID: "}, Wrong{"chain-id", "Chain ID: 1", "Chain ID: 0x1"},
        Wrong{"chain-id", "Chain ID: 1", "Chain ID: -1"}, Wrong{"chain-id", "Chain ID: 1", "Chain ID: mainnet"},
        Wrong{"chain-id", "Chain ID: 1\n", ""}, Wrong{"nonce", "32891756", "3289175"},
        Wrong{"nonce", "32891756", "3289175-"}, Wrong{"nonce", "32891756", ""}, Wrong{"nonce", "Nonce: 32891756\n", ""},
        Wrong{"nonce", "32891756", "32891756 "}, Wrong{"issued-at", "Issued At: 2021-09-30", "Issued At: 2021-09-31"},
        Wrong{"issued-at", "Issued At: 2021-09-30T16:25:24.000Z", "Issued At: 1633019124"},
        Wrong{"issued-at", "Issued At: 2021-09-30T16:25:24.000Z", "Issued At: "},
        Wrong{"issued-at", "Issued At: 2021-09-30T16:25:24.000Z", "Issued At: 2021-09-30T16:25:24.000"},
        Wrong{"issued-at", "Issued At: 2021-09-30T16:25:24.000Z\n", ""},
        Wrong{"expiration-time", "Time: 2021-09-30T17", "Time: 2021-09-30 17"},
        Wrong{"expiration-time", "Time: 2021-09-30T17:25:24.000Z", "Time: "},
        Wrong{"not-before", "Before: 2021-09-30T16", "Before: 2021-09-30T25"},
        Wrong{"not-before", "Before: 2021-09-30T16:00:00.000Z", "Before: now"},
        Wrong{"request-id", "some-request", "some request"}, Wrong{"request-id", "some-request", "some/request"},
        Wrong{"request-id", "%20", "%2"}, Wrong{"request-id", "%20", "%zz"}, Wrong{"resource", "- ipfs://", "- "},
        Wrong{"resource", "- https://example.com/my-web2-claim.json", "- "}, Wrong{"end", "- ipfs", "* ipfs"},
        Wrong{"end", "claim.json", "claim.json\n"}, Wrong{"end", "Resources:\n", "Resources: \n"},
        Wrong{"end", "Not Before: ", "Not before: "},
        Wrong{"end", "Expiration Time: 2021-09-30T17:25:24.000Z\nNot Before: 2021-09-30T16:00:00.000Z",
              "Not Before: 2021-09-30T16:00:00.000Z\nExpiration Time: 2021-09-30T17:25:24.000Z"},
        Wrong{"end", "Request ID: ", "Request ID: a\nRequest ID: "}));

TEST(SignInMessage, a_message_cut_anywhere_but_after_a_whole_optional_term_is_refused) {
  int whole = 0;
  for (std::size_t length = 0; length < kWhole.size(); ++length) {
    const auto message = parse_sign_in_message(std::string_view(kWhole).substr(0, length));
    if (!message) continue;
    ++whole;
    EXPECT_TRUE(length > kWhole.find("\nIssued At: ")) << length;
  }
  EXPECT_GT(whole, 0);
}

TEST(SignInMessage, no_changed_byte_is_read_as_the_same_message) {
  const SignInMessage message = *parse_sign_in_message(kWhole);
  for (std::size_t i = 0; i < kWhole.size(); ++i) {
    for (const char c : {'\0', '\n', ' ', '0', 'a', 'Z', '\x7f', '\xff'}) {
      std::string text = kWhole;
      if (text[i] == c) continue;
      text[i] = c;
      const auto read = parse_sign_in_message(text);
      if (read) {
        EXPECT_NE(to_text(*read), kWhole) << i;
      }
      EXPECT_TRUE(resembles_sign_in_message(text)) << i;
    }
  }
}

TEST(SignInMessage, a_message_for_a_solana_wallet_is_the_same_text) {
  const turnpike::test::SolanaKey key(0x55);
  SignInMessage message = *parse_sign_in_message(kWhole);
  message.wallet = {.chain = ChainNamespace::solana, .address = key.address()};
  message.chain_id = "mainnet";
  const std::string text = to_text(message);
  EXPECT_TRUE(text.starts_with("https://service.org wants you to sign in with your Solana account:\n" + key.address() +
                               "\n\nI accept"));
  const auto read = parse_sign_in_message(text);
  ASSERT_TRUE(read) << read.error();
  EXPECT_EQ(read->wallet, message.wallet);
  EXPECT_EQ(read->chain_id, "mainnet");
  EXPECT_EQ(to_text(*read), text);
  EXPECT_EQ(fault(with(text, "mainnet", "main net")), "chain-id");
  EXPECT_EQ(fault(with(text, key.address(), "0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2")), "address");
}

TEST(SignInMessage, a_text_that_is_meant_for_something_else_is_told_apart) {
  EXPECT_FALSE(resembles_sign_in_message(""));
  EXPECT_FALSE(resembles_sign_in_message("hello"));
  EXPECT_TRUE(resembles_sign_in_message(kExample));
}

}  // namespace
}  // namespace turnpike::identity
