#include "turnpike/identity/wallet.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>

#include "common/wallet_keys.hpp"
#include "turnpike/base/encoding.hpp"

namespace turnpike::identity {
namespace {

using enum ChainNamespace;

std::string changed_case(std::string text, int (*change)(int)) {
  std::ranges::transform(text.begin() + 2, text.end(), text.begin() + 2,
                         [change](unsigned char c) { return static_cast<char>(change(c)); });
  return text;
}

// The test cases of EIP-55.
constexpr const char* kEip55[] = {
    "0x52908400098527886E0F7030069857D2E4169EE7", "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
    "0xde709f2102306220921060314715629080e2fb77", "0x27b1fdb04752bbc536007a920d24acb045561c26",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB", "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb"};

TEST(Wallet, an_ethereum_address_is_written_with_the_checksum_of_eip_55) {
  for (const std::string address : kEip55) {
    EXPECT_EQ(eip55_address(*from_hex(address.substr(2))), address);
    EXPECT_EQ(parse_wallet(eip155, address)->address, address);
    EXPECT_EQ(parse_wallet(eip155, changed_case(address, std::tolower))->address, address);
    EXPECT_EQ(parse_wallet(eip155, changed_case(address, std::toupper))->address, address);
  }
}

TEST(Wallet, an_ethereum_address_with_a_wrong_checksum_is_none) {
  EXPECT_FALSE(parse_wallet(eip155, "0x5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"));
  EXPECT_FALSE(parse_wallet(eip155, "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD"));
  for (const auto* text :
       {"", "0x", "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0X5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAe", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed0",
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeg", "GwAF45zjfyGzUbd3i3hXxzGeuchzEZXwpRYHZM5912F1"}) {
    EXPECT_FALSE(parse_wallet(eip155, text)) << text;
  }
}

TEST(Wallet, a_solana_address_is_32_bytes_in_base58) {
  EXPECT_EQ(parse_wallet(solana, "GwAF45zjfyGzUbd3i3hXxzGeuchzEZXwpRYHZM5912F1")->address,
            "GwAF45zjfyGzUbd3i3hXxzGeuchzEZXwpRYHZM5912F1");
  EXPECT_TRUE(parse_wallet(solana, std::string(32, '1')));
  for (const std::string& text :
       {std::string(), std::string(31, '1'), std::string(33, '1'), to_base58(std::string(33, 'x')),
        std::string(44, 'z'), std::string(100'000, 'z'), std::string("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed")}) {
    EXPECT_FALSE(parse_wallet(solana, text)) << text.substr(0, 60);
  }
}

// The example of web3.js's documentation for accounts.sign, and one made by viem.
TEST(Wallet, the_signer_of_a_personal_message_is_recovered) {
  const Wallet web3{.address = "0x2c7536E3605D9C16a7a3D7b1898e529396a65c23"};
  EXPECT_TRUE(is_signed_by(web3, "Some data",
                           *parse_signature(eip155,
                                            "0xb91467e570a6466aa9e9876cbcd013baba02900b8979d43fe208a4a4f339f5fd6007e74c"
                                            "d82e037b800186422fc2da167c747ef045e5d18a5f5d4300f8e1a0291c")));
  const Wallet viem{.address = "0x9d8A62f656a8d1615C1294fd71e9CFb3E4855A4F"};
  EXPECT_TRUE(is_signed_by(viem, "hello",
                           *parse_signature(eip155,
                                            "0xf63c93dc642a4839770b35abf9cb304ac2f1b5463d9a9abd87546feaa0af992e659cf087"
                                            "c433e45c45f6135cb819ab1922c6359dbb1b8c8d7a54141de2cd4beb1b")));
  const turnpike::test::EthereumKey key(0x46);
  EXPECT_EQ(key.address(), viem.address);
}

TEST(Wallet, v_may_be_0_or_1_as_well_as_27_or_28_and_nothing_else) {
  const turnpike::test::EthereumKey key(0x11);
  const Wallet wallet{.address = key.address()};
  std::string signature = key.sign("message");
  const char right = signature.back();
  for (int v = 0; v < 256; ++v) {
    signature.back() = static_cast<char>(v);
    EXPECT_EQ(is_signed_by(wallet, "message", signature), v == right || v == right - 27) << v;
  }
}

TEST(Wallet, a_changed_bit_of_message_or_signature_is_not_signed) {
  const turnpike::test::EthereumKey ethereum(0x11);
  const turnpike::test::SolanaKey solana_key(0x11);
  const auto check = [](const Wallet& wallet, const std::string& message, const std::string& signature) {
    ASSERT_TRUE(is_signed_by(wallet, message, signature));
    for (std::size_t i = 0; i < signature.size() * 8; ++i) {
      std::string changed = signature;
      changed[i / 8] = static_cast<char>(changed[i / 8] ^ (1 << i % 8));
      EXPECT_FALSE(is_signed_by(wallet, message, changed)) << i;
    }
    for (std::size_t i = 0; i < message.size(); ++i) {
      std::string changed = message;
      changed[i] = static_cast<char>(changed[i] ^ 1);
      EXPECT_FALSE(is_signed_by(wallet, changed, signature)) << i;
    }
    EXPECT_FALSE(is_signed_by(wallet, message, signature.substr(1)));
    EXPECT_FALSE(is_signed_by(wallet, message, signature + "x"));
    EXPECT_FALSE(is_signed_by(wallet, message, std::string(signature.size(), '\0')));
    EXPECT_FALSE(is_signed_by(wallet, message, std::string(signature.size(), '\xff')));
  };
  check({.address = ethereum.address()}, "message", ethereum.sign("message"));
  check({.chain = solana, .address = solana_key.address()}, "message", solana_key.sign("message"));
}

// The same signature with s negated and the parity turned over recovers the same key.
TEST(Wallet, a_signature_with_a_high_s_is_refused) {
  const turnpike::test::EthereumKey key(0x22);
  std::string signature = key.sign("message");
  ASSERT_TRUE(is_signed_by({.address = key.address()}, "message", signature));
  const std::string order = *from_hex("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141");
  int borrow = 0;
  for (std::size_t i = 32; i-- > 0;) {
    const int digit = static_cast<unsigned char>(order[i]) - static_cast<unsigned char>(signature[32 + i]) - borrow;
    borrow = digit < 0 ? 1 : 0;
    signature[32 + i] = static_cast<char>(digit & 0xFF);
  }
  signature.back() = static_cast<char>(27 + 28 - signature.back());
  EXPECT_FALSE(is_signed_by({.address = key.address()}, "message", signature));
}

// RFC 8032, section 7.1, test 2.
TEST(Wallet, an_ed25519_signature_is_checked_over_the_message_itself) {
  const Wallet wallet{
      .chain = solana,
      .address = to_base58(*from_hex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"))};
  EXPECT_TRUE(is_signed_by(wallet, "\x72",
                           *from_hex("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e4"
                                     "58f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00")));
}

TEST(Wallet, a_solana_signature_is_read_in_base58_base64_and_hex) {
  const std::string bytes = turnpike::test::SolanaKey(0x33).sign("message");
  for (const std::string& text : {to_base58(bytes), to_base64(bytes), to_hex(bytes), "0x" + to_hex(bytes)}) {
    EXPECT_EQ(parse_signature(solana, text), bytes) << text;
  }
  EXPECT_EQ(parse_signature(solana, to_base58(std::string(64, '\0'))), std::string(64, '\0'));
  for (const std::string& text :
       {std::string(), to_base58(bytes.substr(1)), to_base58(bytes + "x"), to_base64(bytes.substr(1)),
        to_hex(bytes.substr(1)), "0x" + to_hex(bytes + "x"), "0x" + to_base58(bytes), std::string(100'000, 'z')}) {
    EXPECT_FALSE(parse_signature(solana, text)) << text.substr(0, 200);
  }
}

TEST(Wallet, an_ethereum_signature_is_65_bytes_in_hex) {
  const std::string bytes = turnpike::test::EthereumKey(0x33).sign("message");
  EXPECT_EQ(parse_signature(eip155, "0x" + to_hex(bytes)), bytes);
  for (const std::string& text : {std::string(), to_hex(bytes), "0x" + to_hex(bytes.substr(1)),
                                  "0x" + to_hex(bytes + "x"), "0x" + to_hex(bytes).substr(1) + "g", to_base64(bytes)}) {
    EXPECT_FALSE(parse_signature(eip155, text)) << text;
  }
}

}  // namespace
}  // namespace turnpike::identity
