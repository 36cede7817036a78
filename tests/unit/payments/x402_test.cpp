#include "turnpike/payments/x402.hpp"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "common/payer.hpp"

namespace turnpike::payments {
namespace {

using nlohmann::json;
using test::header_of;

constexpr std::uint64_t kNow = 1'700'000'000;
constexpr Units kTenDollars = 10'000'000;
constexpr std::size_t kMostBytes = 8192;

Terms terms() {
  return {.networks = {{.name = "base-sepolia",
                        .chain_id = 84532,
                        .asset = test::kAsset,
                        .asset_name = "USDC",
                        .asset_version = "2"}},
          .pay_to = test::kPayTo,
          .resource = "https://gate.example/v1/credits/topup",
          .max_timeout = std::chrono::seconds(300),
          .max_validity = std::chrono::seconds(3600)};
}

class X402 : public testing::Test {
 protected:
  X402() : transfer(payer.transfer(kNow)) {}

  // What check_payment() says of it: the network's name, or the reason.
  std::string check(Version version, const json& payment) const {
    const auto read = read_payment(version, header_of(payment), kMostBytes);
    if (!read) return "unreadable: " + read.error().message;
    const Terms wanted = terms();
    const auto network = check_payment(*read, wanted, kTenDollars, kNow);
    return network ? (*network)->name : std::string(network.error());
  }
  std::string check() const { return check(Version::v1, payer.payment(transfer)); }
  std::string check_v2() const { return check(Version::v2, payer.payment_v2(transfer)); }

  test::Payer payer;
  test::Transfer transfer;
};

TEST_F(X402, a_right_payment_of_either_version_is_good) {
  EXPECT_EQ(check(), "base-sepolia");
  EXPECT_EQ(check_v2(), "base-sepolia");
}

TEST_F(X402, what_is_signed_is_what_viem_signs) {
  // viem's hashTypedData of the same message.
  transfer = {.from = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
              .to = test::kPayTo,
              .value = "12345",
              .valid_after = 1'699'999'940,
              .valid_before = 1'700'000'600};
  EXPECT_EQ(to_hex(test::digest_of(transfer)), "6d3f2b2632604901e8d741137b0fb175babd2ad50dad81c394d8b15c36784c14");
}

TEST_F(X402, another_recipient_amount_network_or_scheme_is_refused_for_what_it_is) {
  const auto good = transfer;
  transfer.to = "0x3333333333333333333333333333333333333333";
  EXPECT_EQ(check(), "invalid_exact_evm_payload_recipient_mismatch");
  EXPECT_EQ(check_v2(), "invalid_payment_requirements");
  auto payment = payer.payment_v2(transfer);
  payment["accepted"]["payTo"] = test::kPayTo;
  EXPECT_EQ(check(Version::v2, payment), "invalid_exact_evm_payload_recipient_mismatch");
  transfer = good;
  for (const auto* value : {"9999999", "10000001", "1"}) {
    transfer.value = value;
    EXPECT_EQ(check(), "invalid_exact_evm_payload_authorization_value") << value;
    EXPECT_EQ(check_v2(), "invalid_payment_requirements") << value;
  }
  transfer = good;
  payment = payer.payment(transfer);
  payment["network"] = "base";
  EXPECT_EQ(check(Version::v1, payment), "invalid_network");
  payment["network"] = "eip155:84532";
  EXPECT_EQ(check(Version::v1, payment), "invalid_network") << "that is version 2's name";
  payment = payer.payment(transfer);
  payment["scheme"] = "upto";
  EXPECT_EQ(check(Version::v1, payment), "unsupported_scheme");
  payment = payer.payment_v2(transfer);
  payment["accepted"]["asset"] = "0x3333333333333333333333333333333333333333";
  EXPECT_EQ(check(Version::v2, payment), "invalid_payment_requirements");
}

TEST_F(X402, a_version_in_the_other_ones_header_is_refused) {
  auto payment = payer.payment(transfer);
  payment["x402Version"] = 2;
  EXPECT_EQ(check(Version::v1, payment), "invalid_x402_version");
  payment = payer.payment_v2(transfer);
  payment["x402Version"] = 1;
  EXPECT_EQ(check(Version::v2, payment), "invalid_x402_version");
  payment["x402Version"] = 3;
  EXPECT_EQ(check(Version::v2, payment), "invalid_x402_version");
}

TEST_F(X402, a_payment_is_good_within_its_window_and_not_at_its_edges) {
  const std::string before = "invalid_exact_evm_payload_authorization_valid_before";
  const std::string after = "invalid_exact_evm_payload_authorization_valid_after";
  transfer.valid_before = kNow;
  EXPECT_EQ(check(), before);
  transfer.valid_before = kNow + 1;
  EXPECT_EQ(check(), "base-sepolia");
  transfer.valid_before = kNow + 3600;
  EXPECT_EQ(check(), "base-sepolia");
  transfer.valid_before = kNow + 3601;
  EXPECT_EQ(check(), before) << "valid for longer than is taken";
  transfer.valid_before = kNow + 300;
  transfer.valid_after = kNow;
  EXPECT_EQ(check(), after);
  transfer.valid_after = kNow - 1;
  EXPECT_EQ(check(), "base-sepolia");
}

TEST_F(X402, a_signature_over_anything_else_is_refused) {
  const auto good = transfer;
  const auto expect_refused = [&](const char* what) {
    auto payment = payer.payment(transfer);
    for (auto& [name, value] : payer.payment(good)["payload"]["authorization"].items()) {
      payment["payload"]["authorization"][name] = value;
    }
    EXPECT_EQ(check(Version::v1, payment), "invalid_exact_evm_payload_signature") << what;
    transfer = good;
  };
  transfer.to = "0x3333333333333333333333333333333333333333";
  expect_refused("recipient");
  transfer.value = "1";
  expect_refused("value");
  transfer.valid_after -= 1;
  expect_refused("valid after");
  transfer.valid_before += 1;
  expect_refused("valid before");
  transfer.nonce.back() = '8';
  expect_refused("nonce");
  transfer.chain_id = 8453;
  expect_refused("chain");
  transfer.asset = "0x3333333333333333333333333333333333333333";
  expect_refused("asset");
  transfer.asset_name = "USD Coin";
  expect_refused("asset's name");
  transfer.asset_version = "1";
  expect_refused("asset's version");
  auto payment = test::Payer(0x47).payment(transfer);
  EXPECT_EQ(check(Version::v1, payment), "invalid_exact_evm_payload_signature") << "another key";
}

TEST_F(X402, the_signature_of_a_contract_is_the_facilitators_to_judge) {
  auto payment = payer.payment(transfer);
  payment["payload"]["signature"] = "0x" + std::string(132, 'a');
  EXPECT_EQ(check(Version::v1, payment), "base-sepolia");
}

TEST_F(X402, a_header_that_is_no_payment_names_the_header_and_tells_nothing_of_it) {
  const auto expect_unreadable = [&](std::string_view header, const std::string& why) {
    for (const auto version : {Version::v1, Version::v2}) {
      const auto read = read_payment(version, header, kMostBytes);
      ASSERT_FALSE(read) << header;
      EXPECT_EQ(read.error().fault, Fault::invalid_request);
      EXPECT_EQ(read.error().param, request_header(version));
      EXPECT_THAT(read.error().message, testing::HasSubstr(why)) << header;
    }
  };
  expect_unreadable("", "base64");
  expect_unreadable("%%%", "base64");
  expect_unreadable("eyJ4IjoxfQ", "base64");  // without its padding
  expect_unreadable(to_base64("{"), "base64");
  expect_unreadable(to_base64("[1]"), "base64");
  expect_unreadable(to_base64("{}"), "x402Version");
  expect_unreadable(to_base64(std::string(6144, ' ') + "{}"), "payments.max_header_bytes");
  expect_unreadable(to_base64(R"({"x402Version":1,"scheme":"exact","accepted":7,"network":[]})"), "malformed");
}

TEST_F(X402, every_member_of_a_payment_is_read_strictly) {
  struct Wrong {
    const char* pointer;
    json value;
  };
  const Wrong wrongs[] = {{"/x402Version", "1"},
                          {"/x402Version", -1},
                          {"/scheme", 7},
                          {"/network", nullptr},
                          {"/payload/signature", "0x12"},
                          {"/payload/signature", std::string(132, 'a')},
                          {"/payload/signature", "0x" + std::string(131, 'a')},
                          {"/payload/authorization/from", "0x12"},
                          {"/payload/authorization/from", "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2a"},  // checksum
                          {"/payload/authorization/to", 7},
                          {"/payload/authorization/value", 10000000},
                          {"/payload/authorization/value", "1e7"},
                          {"/payload/authorization/value", "-1"},
                          {"/payload/authorization/value", "18446744073709551616"},
                          {"/payload/authorization/validAfter", ""},
                          {"/payload/authorization/validBefore", "soon"},
                          {"/payload/authorization/nonce", "0x77"},
                          {"/payload/authorization/nonce", "0x" + std::string(64, 'g')}};
  for (const auto& [pointer, value] : wrongs) {
    auto payment = payer.payment(transfer);
    payment[json::json_pointer(pointer)] = value;
    EXPECT_EQ(check(Version::v1, payment),
              "unreadable: X-PAYMENT: its member " + std::string(pointer) + " is missing or malformed")
        << value;
  }
  for (const auto* pointer : {"/accepted/amount", "/accepted/asset", "/accepted/payTo", "/accepted/network"}) {
    auto payment = payer.payment_v2(transfer);
    payment[json::json_pointer(pointer)] = 7;
    EXPECT_EQ(check(Version::v2, payment),
              "unreadable: PAYMENT-SIGNATURE: its member " + std::string(pointer) + " is missing or malformed");
  }
}

TEST_F(X402, the_same_payment_is_the_same_in_any_case_of_its_digits) {
  transfer.nonce = "0x" + std::string(64, 'a');
  auto payment = payer.payment(transfer);
  payment["payload"]["authorization"]["nonce"] = "0x" + std::string(64, 'A');
  std::string from = payment["payload"]["authorization"]["from"];
  std::ranges::transform(from, from.begin(), [](char c) { return static_cast<char>(std::tolower(c)); });
  payment["payload"]["authorization"]["from"] = from;
  const auto read = read_payment(Version::v1, header_of(payment), kMostBytes);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->authorization,
            read_payment(Version::v1, header_of(payer.payment(transfer)), kMostBytes)->authorization);
  EXPECT_EQ(check(Version::v1, payment), "base-sepolia");
}

TEST_F(X402, a_client_is_asked_for_payment_in_the_form_of_either_version) {
  const auto body = json::parse(payment_required_body(terms(), kTenDollars, ""));
  EXPECT_EQ(body, json::parse(R"({"x402Version":1,"error":"X-PAYMENT header is required","accepts":[{
    "scheme":"exact","network":"base-sepolia","maxAmountRequired":"10000000",
    "resource":"https://gate.example/v1/credits/topup","description":"Credits for inference",
    "mimeType":"application/json","payTo":"0x2222222222222222222222222222222222222222",
    "asset":"0x5FbDB2315678afecb367f032d93F642f64180aa3","maxTimeoutSeconds":300,
    "extra":{"name":"USDC","version":"2"}}]})"));
  const auto header =
      json::parse(from_base64(payment_required_header(terms(), kTenDollars, "insufficient_funds")).value());
  EXPECT_EQ(header, json::parse(R"({"x402Version":2,"error":"insufficient_funds",
    "resource":{"url":"https://gate.example/v1/credits/topup","description":"Credits for inference","mimeType":"application/json"},
    "accepts":[{"scheme":"exact","network":"eip155:84532","amount":"10000000",
    "payTo":"0x2222222222222222222222222222222222222222","asset":"0x5FbDB2315678afecb367f032d93F642f64180aa3",
    "maxTimeoutSeconds":300,"extra":{"name":"USDC","version":"2"}}]})"));
}

TEST_F(X402, a_facilitator_is_asked_about_what_was_checked_and_nothing_else) {
  auto sent = payer.payment(transfer);
  sent["payload"]["authorization"]["extra"] = "anything";
  sent["more"] = true;
  const auto read = read_payment(Version::v1, header_of(sent), kMostBytes).value();
  const Terms wanted = terms();
  auto asked = json::parse(facilitator_request(read, wanted, wanted.networks[0]));
  EXPECT_EQ(asked["x402Version"], 1);
  EXPECT_EQ(asked["paymentPayload"], payer.payment(transfer));
  EXPECT_EQ(asked["paymentRequirements"], json::parse(payment_required_body(wanted, kTenDollars, ""))["accepts"][0]);

  const auto second = read_payment(Version::v2, header_of(payer.payment_v2(transfer)), kMostBytes).value();
  asked = json::parse(facilitator_request(second, wanted, wanted.networks[0]));
  EXPECT_EQ(asked["x402Version"], 2);
  EXPECT_EQ(asked["paymentPayload"]["payload"], payer.payment(transfer)["payload"]);
  EXPECT_EQ(asked["paymentPayload"]["accepted"], asked["paymentRequirements"]);
  EXPECT_EQ(asked["paymentRequirements"]["amount"], "10000000");
}

}  // namespace
}  // namespace turnpike::payments
