#include "turnpike/receipts/verify.hpp"

#include <vector>

#include "receipts_fixture.hpp"
#include "turnpike/proof/canonical_json.hpp"

namespace turnpike::receipts {
namespace {

using nlohmann::json;

class Verify : public test::ReceiptsTest {
 protected:
  std::vector<TrustedKey> trusted() {
    std::vector<TrustedKey> all;
    for (const auto& key : keys->all()) {
      all.push_back({.id = key.id, .public_key = key.public_key, .from = key.from, .until = key.until});
    }
    return all;
  }
  Verdict verdict(const std::vector<json>& documents) { return verify(documents, trusted()); }
  std::string faults(const std::vector<json>& documents) {
    std::string all;
    for (const auto& fault : verdict(documents).faults) all += fault + "\n";
    return all;
  }
  // A receipt that says something else, signed all the same.
  json forged(const std::string& job, const std::function<void(json&)>& change) {
    json said = receipt(job)["receipt"];
    change(said);
    return signed_document(proof::canonical_json(said).value(), clock.wall());
  }
};

TEST_F(Verify, receipts_a_chain_proofs_and_roots_as_they_were_given_hold) {
  std::vector<json> documents;
  for (int i = 0; i < 5; ++i) documents.push_back(receipt(charge()));
  documents.push_back(root());
  for (int i = 1; i <= 5; ++i) documents.push_back(proof("job_" + std::to_string(i)));
  for (int i = 0; i < 3; ++i) documents.push_back(receipt(charge()));
  documents.push_back(consistency(5, 8));
  documents.push_back(root());
  const auto found = verdict(documents);
  EXPECT_EQ(found.faults, std::vector<std::string>());
  EXPECT_EQ(found.receipts, 8U);
  EXPECT_EQ(found.links, 7U);
  EXPECT_EQ(found.heads, 2U);
  EXPECT_EQ(found.proofs, 6U);
  EXPECT_EQ(verdict({json(documents)}).faults, std::vector<std::string>()) << "as one list";
}

TEST_F(Verify, a_receipt_with_its_proof_its_root_and_its_headers_in_one_document_holds) {
  const auto job = charge();
  json document = receipt(job);
  document["proof"] = proof(job);
  document["root"] = root();
  const auto& account_id = ledger->find(account)->public_id;
  const auto sign = [&](const std::string& statement) { return to_base64(keys->sign(statement, clock.wall())->bytes); };
  Movement movement{.account = account_id,
                    .job_id = job,
                    .model = "m-1",
                    .amount = ledger::Money::nanousd(200'000),
                    .at = clock.wall()};
  document["tx_signature"] = sign(hold_statement(movement));
  movement.amount = ledger::Money::nanousd(28'000);
  document["settlement_tx"] = sign(charge_statement(movement));
  EXPECT_EQ(faults({document}), "");
  EXPECT_EQ(verdict({document}).proofs, 1U);
  std::swap(document["tx_signature"], document["settlement_tx"]);
  EXPECT_NE(faults({document}), "");
}

TEST_F(Verify, a_receipt_with_any_byte_changed_fails) {
  charge();
  const json document = receipt(charge());
  const std::string text = proof::canonical_json(document).value();
  ASSERT_EQ(faults({document}), "");
  const auto good = trusted();
  for (std::size_t at = 0; at < text.size(); ++at) {
    for (const unsigned bit : {1U, 2U, 32U}) {
      std::string changed = text;
      changed[at] = static_cast<char>(static_cast<unsigned char>(changed[at]) ^ bit);
      const auto read = read_documents(changed);
      if (!read) continue;
      EXPECT_FALSE(verify(*read, good).faults.empty()) << at << ": " << changed;
    }
  }
}

TEST_F(Verify, a_charge_that_does_not_follow_from_what_the_receipt_says_fails_though_it_is_signed) {
  const auto job = charge();
  const auto finds = [&](std::string_view what, const std::function<void(json&)>& change) {
    const auto found = faults({forged(job, change)});
    EXPECT_NE(found.find(what), std::string::npos) << what << ": " << found;
  };
  finds("follow from price and usage", [](json& said) {
    said["amounts"]["charged_usdc"] = "0.000029";
    said["amounts"]["released_usdc"] = "0.000171";
  });
  finds("follow from price and usage", [](json& said) {
    said["usage"]["completion_tokens"] = 9;
    said["nodes"][0]["completion_tokens"] = 9;
  });
  finds("not add up", [](json& said) { said["nodes"][0]["completion_tokens"] = 9; });
  finds("names no node", [](json& said) { said["nodes"] = json::array(); });
  finds("not what was quoted", [](json& said) { said["quote"]["prompt_tokens"] = 101; });
  finds("not the one named", [](json& said) { said["price"]["per_request_usd"] = "0.01"; });
  finds("charged and released", [](json& said) { said["amounts"]["released_usdc"] = "0.0"; });
  finds("no amount", [](json& said) { said["amounts"]["charged_usdc"] = "-0.000028"; });
  finds("no whole number", [](json& said) { said["usage"]["completion_tokens"] = 8.5; });
  finds("another version", [](json& said) { said["version"] = 2; });
  finds("no member usage", [](json& said) { said.erase("usage"); });
  finds("the first receipt alone", [](json& said) { said["index"] = 1; });
  finds("previous", [](json& said) {
    said["index"] = 1;
    said["previous"] = "sha256:00";
  });
}

TEST_F(Verify, a_chain_with_another_receipt_in_it_fails) {
  charge();
  charge();
  const auto changed = forged("job_2", [](json& said) { said["request_sha256"] = std::string(64, '0'); });
  charge();
  EXPECT_NE(faults({receipt("job_1"), changed, receipt("job_3")}).find("does not follow"), std::string::npos);
  EXPECT_NE(faults({receipt("job_2"), changed}).find("has its place in the log"), std::string::npos);
  EXPECT_EQ(faults({receipt("job_1"), receipt("job_3")}), "") << "one that is not shown is no fault";
}

TEST_F(Verify, proofs_and_roots_of_another_log_fail) {
  for (int i = 0; i < 4; ++i) charge();
  const auto early = root();
  const auto shown = proof("job_2");
  for (int i = 0; i < 4; ++i) charge();
  const auto late = root();
  EXPECT_EQ(faults({receipt("job_2"), shown, early}), "");
  EXPECT_NE(faults({receipt("job_2"), shown, late}).find("no root of the first 4"), std::string::npos);
  EXPECT_NE(faults({receipt("job_3"), shown, early}).find("which is not here"), std::string::npos);
  auto other = shown;
  other["audit_path"][0] = base64_of(sha256("x"));
  EXPECT_NE(faults({receipt("job_2"), other, early}).find("is in the log"), std::string::npos);
  auto wrong = early;
  wrong["tree_size"] = 5;
  EXPECT_NE(faults({wrong}).find("signature"), std::string::npos);
  auto shown_again = consistency(4, 8);
  EXPECT_EQ(faults({early, late, shown_again}), "");
  shown_again["proof"][0] = base64_of(sha256("x"));
  EXPECT_NE(faults({early, late, shown_again}).find("begins with"), std::string::npos);
  EXPECT_NE(faults({early, consistency(4, 8)}).find("no root of the first 8"), std::string::npos);
}

TEST_F(Verify, by_keys_that_are_not_believed_or_not_of_that_time_fails) {
  const auto old = receipt(charge());
  clock.advance(std::chrono::seconds(1));
  rotate();
  const auto fresh = receipt(charge());
  EXPECT_EQ(faults({old, fresh}), "") << "old receipts stay good";
  const auto all = trusted();
  EXPECT_FALSE(verify(std::vector<json>{fresh}, std::vector{all[0]}).faults.empty());
  auto moved = all;
  moved[0].until = *moved[0].until - std::chrono::hours(1);
  const auto found = verify(std::vector<json>{old}, moved).faults;
  ASSERT_EQ(found.size(), 1U);
  EXPECT_NE(found[0].find("not current"), std::string::npos) << found[0];
  const TrustedKey nameless{.id = {}, .public_key = all[0].public_key};
  EXPECT_TRUE(verify(std::vector<json>{old}, std::vector{nameless}).faults.empty());
  EXPECT_FALSE(verify(std::vector<json>{fresh}, std::vector{nameless}).faults.empty());
}

TEST_F(Verify, what_is_no_document_of_ours_is_a_fault_and_no_crash) {
  for (const auto* text :
       {"{}", "[]", "null", "1", R"({"receipt":null})", R"({"receipt":{}})", R"({"root_hash":1})",
        R"({"audit_path":[1]})", R"({"proof":{},"from":-1,"to":1})", R"({"receipt":{"job_id":1}})"}) {
    EXPECT_NE(faults({json::parse(text)}), "") << text;
  }
  EXPECT_FALSE(read_documents(""));
  EXPECT_FALSE(read_documents("{\"a\":1,\"a\":2}"));
  EXPECT_FALSE(read_documents("{}\nnonsense\n"));
  EXPECT_EQ(read_documents("{}\n\n{}\n")->size(), 2U);
  EXPECT_EQ(read_documents("{\n}\n")->size(), 1U);
}

TEST_F(Verify, keys_are_read_as_the_gateway_lists_them) {
  const auto listed =
      json::parse(R"({"receipt_keys":[{"key_id":"rk_1","alg":"Ed25519","public_key":")" +
                  to_base64(std::string(32, 'k')) + R"(","from":"2026-01-01T00:00:00.000Z","until":null}]})");
  const auto read = trusted_keys(listed);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->at(0).id, "rk_1");
  EXPECT_EQ(read->at(0).public_key, std::string(32, 'k'));
  EXPECT_TRUE(read->at(0).from);
  EXPECT_FALSE(read->at(0).until);
  EXPECT_FALSE(trusted_keys(json::object()));
  EXPECT_FALSE(trusted_keys(json(1)));
  auto other = listed;
  other["receipt_keys"][0]["public_key"] = "AAAA";
  EXPECT_FALSE(trusted_keys(other));
  other = listed;
  other["receipt_keys"][0]["alg"] = "ES256";
  EXPECT_FALSE(trusted_keys(other));
}

}  // namespace
}  // namespace turnpike::receipts
