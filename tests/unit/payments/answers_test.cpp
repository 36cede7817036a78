// What a facilitator and a chain say, as far as it can be believed.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "common/payer.hpp"
#include "turnpike/payments/chain.hpp"
#include "turnpike/payments/facilitator.hpp"

namespace turnpike::payments {
namespace {

using nlohmann::json;

const std::string kTransaction = "0x" + std::string(64, 'b');

TEST(Verdict, is_what_was_said_and_unknown_when_nothing_was) {
  using Kind = Verdict::Kind;
  EXPECT_EQ(read_verdict(200, R"({"isValid":true,"payer":"0x12"})").kind, Kind::valid);
  EXPECT_EQ(read_verdict(200, R"({"isValid":true,"payer":"0x12"})").payer, "0x12");
  const auto refused = read_verdict(200, R"({"isValid":false,"invalidReason":"insufficient_funds"})");
  EXPECT_EQ(refused.kind, Kind::refused);
  EXPECT_EQ(refused.reason, "insufficient_funds");
  EXPECT_EQ(read_verdict(402, R"({"isValid":false})").reason, "invalid_payment");
  for (const auto* nonsense : {"", "{", "[]", "true", "{}", R"({"isValid":"true"})", R"({"isValid":1})"}) {
    EXPECT_EQ(read_verdict(200, nonsense).kind, Kind::unknown) << nonsense;
  }
  EXPECT_EQ(read_verdict(500, R"({"isValid":true})").kind, Kind::unknown);
  EXPECT_EQ(read_verdict(503, R"({"isValid":false})").kind, Kind::unknown);
}

TEST(Settlement, needs_a_transaction_to_be_one) {
  using Kind = Settlement::Kind;
  const json good = {
      {"success", true}, {"transaction", kTransaction}, {"network", "base"}, {"payer", "0x12"}, {"amount", "7"}};
  const auto settled = read_settlement(200, good.dump());
  EXPECT_EQ(settled.kind, Kind::settled);
  EXPECT_EQ(settled.transaction, kTransaction);
  EXPECT_EQ(settled.network, "base");
  EXPECT_EQ(settled.payer, "0x12");
  EXPECT_EQ(settled.amount, "7");
  for (const json& transaction : {json(""), json("0x12"), json(nullptr), json(7), json("0x" + std::string(64, 'x'))}) {
    auto lie = good;
    lie["transaction"] = transaction;
    EXPECT_EQ(read_settlement(200, lie.dump()).kind, Kind::unknown) << transaction;
  }
  EXPECT_EQ(read_settlement(500, good.dump()).kind, Kind::unknown);
  EXPECT_EQ(read_settlement(400, R"({"error":"reverted"})").kind, Kind::unknown);
  const auto refused = read_settlement(200, R"({"success":false,"errorReason":"insufficient_funds","transaction":""})");
  EXPECT_EQ(refused.kind, Kind::refused);
  EXPECT_EQ(refused.reason, "insufficient_funds");
}

TEST(Settlement, a_reason_is_made_fit_for_a_log) {
  const json answer = {{"success", false}, {"errorReason", "a\nb\x1b" + std::string(1000, 'x')}};
  const auto reason = read_settlement(200, answer.dump()).reason;
  EXPECT_EQ(reason.substr(0, 5), "a?b?x");
  EXPECT_LT(reason.size(), 200U);
}

TEST(Settlement, only_what_is_found_before_anything_is_sent_is_final) {
  for (const auto* reason : {"insufficient_funds", "invalid_exact_evm_payload_authorization_valid_before",
                             "invalid_exact_evm_signature", "invalid_network"}) {
    EXPECT_TRUE(is_refused_beforehand(reason)) << reason;
  }
  for (const auto* reason : {"", "invalid_transaction_state", "settlement_pending", "unexpected_settle_error",
                             "invalid_exact_evm_transaction_failed", "invalid_exact_evm_nonce_already_used"}) {
    EXPECT_FALSE(is_refused_beforehand(reason)) << reason;
  }
}

class Receipt : public testing::Test {
 protected:
  Receipt() {
    const test::Transfer signed_for = test::Payer().transfer(1'700'000'000);
    authorization = {.from = signed_for.from,
                     .to = signed_for.to,
                     .value = 10'000'000,
                     .valid_after = 0,
                     .valid_before = 0,
                     .nonce = signed_for.nonce};
    used =
        log({topic("AuthorizationUsed(address,bytes32)"), address_word(authorization.from), authorization.nonce}, "0x");
    moved = log(
        {topic("Transfer(address,address,uint256)"), address_word(authorization.from), address_word(authorization.to)},
        "0x" + to_hex(test::word(10'000'000)));
  }
  static std::string topic(const std::string& event) { return "0x" + to_hex(test::keccak256_of(event)); }
  static std::string address_word(const std::string& address) { return "0x" + to_hex(test::word_of_hex(address)); }
  static json log(const std::vector<std::string>& topics, const std::string& data) {
    std::string token = test::kAsset;
    for (char& c : token) c = static_cast<char>(std::tolower(c));
    return {{"address", token}, {"topics", topics}, {"data", data}};
  }
  Sighting::Kind read(const json& logs, const std::string& status = "0x1") const {
    const json receipt = {{"transactionHash", kTransaction}, {"status", status}, {"logs", logs}};
    return read_receipt(receipt.dump(), authorization, network).kind;
  }

  Network network{
      .name = "base-sepolia", .chain_id = 84532, .asset = test::kAsset, .asset_name = "USDC", .asset_version = "2"};
  Authorization authorization;
  json used;
  json moved;
};

TEST_F(Receipt, shows_the_money_when_its_transfer_follows_its_authorization) {
  const json other = {{"address", test::kPayTo}, {"topics", {topic("Other()")}}, {"data", "0x"}};
  EXPECT_EQ(read({used, moved}), Sighting::Kind::moved);
  EXPECT_EQ(read({other, used, other, moved}), Sighting::Kind::moved) << "other contracts' logs do not matter";
}

TEST_F(Receipt, of_anything_else_shows_that_the_authorization_is_gone) {
  using Kind = Sighting::Kind;
  EXPECT_EQ(read({used, moved}, "0x0"), Kind::misused);
  EXPECT_EQ(read(json::array({used})), Kind::misused);
  EXPECT_EQ(read({moved, used}), Kind::misused);
  auto less = moved;
  less["data"] = "0x" + to_hex(test::word(9'999'999));
  EXPECT_EQ(read({used, less}), Kind::misused);
  auto elsewhere = moved;
  elsewhere["topics"][2] = address_word("0x3333333333333333333333333333333333333333");
  EXPECT_EQ(read({used, elsewhere}), Kind::misused);
  auto token = moved;
  token["address"] = "0x3333333333333333333333333333333333333333";
  EXPECT_EQ(read({used, token}), Kind::misused);
}

TEST_F(Receipt, one_transfer_pays_for_one_authorization) {
  // Another nonce's transfer to the recipient, and this nonce's to somebody else, in one transaction.
  auto other_used = used;
  other_used["topics"][2] = "0x" + std::string(64, '9');
  auto elsewhere = moved;
  elsewhere["topics"][2] = address_word("0x3333333333333333333333333333333333333333");
  EXPECT_EQ(read({used, elsewhere, other_used, moved}), Sighting::Kind::misused);
  EXPECT_EQ(read({other_used, moved, used, elsewhere}), Sighting::Kind::misused);
}

TEST_F(Receipt, that_cannot_be_read_says_nothing) {
  for (const auto* nonsense : {"", "null", "[]", "{}", R"({"transactionHash":"0x12","status":"0x1","logs":[]})"}) {
    EXPECT_EQ(read_receipt(nonsense, authorization, network).kind, Sighting::Kind::unknown) << nonsense;
  }
}

}  // namespace
}  // namespace turnpike::payments
