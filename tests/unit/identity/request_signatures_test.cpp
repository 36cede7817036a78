#include "turnpike/identity/request_signatures.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "common/loop.hpp"
#include "common/request_signer.hpp"
#include "common/temp_folder.hpp"
#include "turnpike/storage/sqlite.hpp"

namespace turnpike::identity {
namespace {

using std::chrono::seconds;
using turnpike::test::RequestSigner;
using turnpike::test::signed_fields;
using turnpike::test::ToSign;

constexpr auto kRight = "right";
constexpr auto kBody = R"({"model":"m-1"})";
constexpr auto kUri = "http://gate.example:7545/v1/chat/completions?x=1";

class RequestSignaturesTest : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    open();
    key.id = "key_1";
    key.signing = {.public_key = PublicKey::parse(signer.public_key()).value(), .required = true};
  }
  void TearDown() override {
    signatures = nullptr;
    database = nullptr;
  }
  void open() {
    signatures = nullptr;
    if (database) database->close();
    database = nullptr;
    database = storage::open_sqlite(loop.executor(), {.file = folder.file("turnpike.db")}).value();
    signatures = RequestSignatures::open(*database, clock, terms).value();
  }
  [[nodiscard]] std::int64_t now() const { return unix_seconds(clock.wall()); }
  // A request as the client of `kUri` would sign it, with a nonce of its own.
  ToSign request() {
    return {.uri = kUri,
            .key_value = "Bearer dkn_live_x",
            .body = kBody,
            .created = now(),
            .nonce = "n" + std::to_string(++count)};
  }
  // What is said of it: "right", or the param at fault.
  std::string outcome(const ToSign& what) { return outcome(what, signed_fields(signer, what)); }
  std::string outcome(const ToSign& what, const std::vector<std::pair<std::string, std::string>>& added) {
    std::vector<FieldView> fields{{.name = "Host", .value = host}};
    if (!what.key_value.empty()) fields.push_back({.name = what.key_field, .value = what.key_value});
    for (const auto& [name, value] : added) fields.push_back({.name = name, .value = value});
    const auto result = signatures->check(key, {.method = what.method,
                                                .host = host,
                                                .target = "/v1/chat/completions?x=1",
                                                .fields = fields,
                                                .body = what.body,
                                                .key_field = what.key_value.empty() ? "" : what.key_field});
    if (result) return kRight;
    fault = result.error();
    return result.error().fault == Fault::invalid_signature ? result.error().param : "another fault";
  }

  turnpike::test::TempFolder folder;
  turnpike::test::Loop loop;
  HeldClock clock;
  SignatureTerms terms{.public_url = "https://Public.Example:443/gate/",
                       .scheme = "http",
                       .window = seconds(300),
                       .max_nonces = 100,
                       .max_nonces_per_key = 60};
  std::unique_ptr<storage::Database> database;
  std::unique_ptr<RequestSignatures> signatures;
  RequestSigner signer = GetParam() ? RequestSigner::ed25519() : RequestSigner::p256();
  KeyInfo key;
  std::string host = "gate.example:7545";
  Error fault;
  int count = 0;
};

TEST_P(RequestSignaturesTest, a_request_that_is_signed_is_right) {
  EXPECT_EQ(outcome(request()), kRight) << fault.message;
  auto get = request();
  get.method = "GET";
  get.body.clear();
  EXPECT_EQ(outcome(get), kRight) << fault.message;
  auto other_field = request();
  other_field.key_field = "x-api-key";
  other_field.key_value = "dkn_live_x";
  EXPECT_EQ(outcome(other_field), kRight) << fault.message;
  auto in_body = request();
  in_body.key_value.clear();
  EXPECT_EQ(outcome(in_body), kRight) << fault.message;
}

TEST_P(RequestSignaturesTest, a_request_that_is_not_signed_is_refused_where_the_key_says_so) {
  EXPECT_EQ(outcome(request(), {}), "signature-input");
  key.signing.required = false;
  EXPECT_EQ(outcome(request(), {}), kRight);
  EXPECT_EQ(outcome(request(), {{"Signature", "sig1=:AA==:"}}), "signature-input") << "half a signature is one";
  EXPECT_EQ(outcome(request(), {{"Signature-Input", "sig1=()"}}), "signature");
}

TEST_P(RequestSignaturesTest, whatever_is_needed_must_be_covered) {
  for (const char* component : {"@method", "@target-uri", "authorization", "content-digest"}) {
    auto what = request();
    what.left_out = component;
    EXPECT_EQ(outcome(what), component);
  }
  auto other_field = request();
  auto fields = signed_fields(signer, other_field);
  other_field.key_field = "x-api-key";
  EXPECT_EQ(outcome(other_field, fields), "x-api-key") << "the key came in another field than the signed one";
}

TEST_P(RequestSignaturesTest, whatever_is_covered_must_be_as_it_was_signed) {
  const auto what = request();
  const auto fields = signed_fields(signer, what);
  auto changed = what;
  changed.method = "PUT";
  EXPECT_EQ(outcome(changed, fields), "signature");
  changed = what;
  changed.key_value = "Bearer dkn_live_y";
  EXPECT_EQ(outcome(changed, fields), "signature");
  changed = what;
  changed.uri += "2";
  EXPECT_EQ(outcome(what, signed_fields(signer, changed)), "signature");
  host = "other.example";
  EXPECT_EQ(outcome(what, fields), "signature");
  host = "gate.example:7545";
  EXPECT_EQ(outcome(what, fields), kRight) << "a refused request uses no nonce";
}

TEST_P(RequestSignaturesTest, one_changed_byte_of_the_body_is_refused) {
  const auto what = request();
  const auto fields = signed_fields(signer, what);
  auto changed = what;
  changed.body[3] = 'M';
  EXPECT_EQ(outcome(changed, fields), "content-digest");
  auto dressed_up = fields;  // with the digest of the changed body
  dressed_up[0].second = turnpike::test::content_digest(changed.body);
  EXPECT_EQ(outcome(changed, dressed_up), "signature");
  changed.body.clear();
  EXPECT_EQ(outcome(changed, fields), "content-digest");
  auto malformed = fields;
  malformed[0].second = "sha-256=x";
  EXPECT_EQ(outcome(what, malformed), "content-digest");
  malformed[0].second = "md5=:AA==:";
  EXPECT_EQ(outcome(what, malformed), "content-digest");
}

TEST_P(RequestSignaturesTest, a_signature_is_good_for_the_window_either_way) {
  const std::pair<int, const char*> ages[] = {{-301, "created"}, {-300, kRight}, {300, kRight}, {301, "created"}};
  for (const auto& [age, expected] : ages) {
    auto what = request();
    what.created += age;
    EXPECT_EQ(outcome(what), expected) << age;
  }
  auto never = request();
  never.created = 0;
  EXPECT_EQ(outcome(never), "created");
}

TEST_P(RequestSignaturesTest, a_signature_ends_when_it_says) {
  auto what = request();
  what.more_parameters = ";expires=" + std::to_string(now() + 1);
  EXPECT_EQ(outcome(what), kRight);
  what = request();
  what.more_parameters = ";expires=" + std::to_string(now());
  EXPECT_EQ(outcome(what), "expires");
}

TEST_P(RequestSignaturesTest, a_nonce_is_good_once_and_only_for_the_window_remembered) {
  auto what = request();
  EXPECT_EQ(outcome(what), kRight);
  EXPECT_EQ(outcome(what), "nonce");
  clock.advance(seconds(300));
  EXPECT_EQ(outcome(what), "nonce");
  clock.advance(seconds(1));
  EXPECT_EQ(outcome(what), "created") << "the same request stays refused";
  what.created = now();
  EXPECT_EQ(outcome(what), kRight) << "the nonce is forgotten";
}

TEST_P(RequestSignaturesTest, a_nonce_from_ahead_is_remembered_until_nobody_can_send_it_again) {
  auto what = request();
  what.created += 300;
  EXPECT_EQ(outcome(what), kRight);
  clock.advance(seconds(600));
  EXPECT_EQ(outcome(what), "nonce");
  clock.advance(seconds(1));
  EXPECT_EQ(outcome(what), "created");
}

TEST_P(RequestSignaturesTest, a_nonce_that_was_used_stays_used_across_a_restart) {
  auto what = request();
  EXPECT_EQ(outcome(what), kRight);
  open();
  EXPECT_EQ(outcome(what), "nonce");
  EXPECT_EQ(outcome(request()), kRight);
  clock.advance(seconds(301));
  open();
  what.created = now();
  EXPECT_EQ(outcome(what), kRight);
}

TEST_P(RequestSignaturesTest, keys_have_nonces_of_their_own) {
  const auto what = request();
  EXPECT_EQ(outcome(what), kRight);
  key.id = "key_2";
  EXPECT_EQ(outcome(what), kRight);
}

TEST_P(RequestSignaturesTest, a_key_that_signs_too_much_is_told_and_leaves_room_for_others) {
  terms.max_nonces = 3;
  terms.max_nonces_per_key = 2;
  open();
  EXPECT_EQ(outcome(request()), kRight);
  EXPECT_EQ(outcome(request()), kRight);
  EXPECT_EQ(outcome(request()), "another fault");
  EXPECT_EQ(fault.fault, Fault::rate_limit_exceeded);
  EXPECT_EQ(fault.retry_after, seconds(301));
  key.id = "key_2";
  EXPECT_EQ(outcome(request()), kRight);
  key.id = "key_3";
  EXPECT_EQ(outcome(request()), "another fault");
  EXPECT_EQ(fault.fault, Fault::service_unavailable);
  clock.advance(*fault.retry_after);
  EXPECT_EQ(outcome(request()), kRight);
}

TEST_P(RequestSignaturesTest, only_the_keys_own_signature_is_right) {
  const auto what = request();
  EXPECT_EQ(outcome(what, signed_fields(RequestSigner::ed25519(), what)), "signature");
  EXPECT_EQ(outcome(what, signed_fields(RequestSigner::p256(), what)), "signature");
  auto fields = signed_fields(signer, what);
  fields.back().second = "sig1=:AAAA:";
  EXPECT_EQ(outcome(what, fields), "signature");
}

TEST_P(RequestSignaturesTest, an_algorithm_that_is_named_must_be_the_keys) {
  auto what = request();
  what.more_parameters = ";alg=\"" + signer.algorithm() + "\"";
  EXPECT_EQ(outcome(what), kRight);
  for (const char* wrong : {"ed25519", "ecdsa-p256-sha256", "hmac-sha256", "none", ""}) {
    if (wrong == signer.algorithm()) continue;
    what = request();
    what.more_parameters = ";alg=\"" + std::string(wrong) + "\"";
    EXPECT_EQ(outcome(what), "alg") << wrong;
  }
}

TEST_P(RequestSignaturesTest, the_keyid_is_the_signers_own) {
  auto what = request();
  what.more_parameters = ";keyid=\"whatever\"";
  EXPECT_EQ(outcome(what), kRight);
}

TEST_P(RequestSignaturesTest, behind_a_proxy_the_public_url_is_what_was_signed) {
  auto what = request();
  what.uri = "https://public.example/gate/v1/chat/completions?x=1";
  EXPECT_EQ(outcome(what), kRight) << "whatever Host the proxy sends: " << fault.message;
  host = "PUBLIC.example";
  what.nonce = "other";
  EXPECT_EQ(outcome(what), kRight) << fault.message;
  what.nonce = "third";
  what.uri = "https://public.example/v1/chat/completions?x=1";
  EXPECT_EQ(outcome(what), "signature") << "without the path that clients see";
}

TEST_P(RequestSignaturesTest, a_listeners_default_port_is_not_part_of_its_authority) {
  host = "GATE.example:80";
  auto what = request();
  what.uri = "http://gate.example/v1/chat/completions?x=1";
  EXPECT_EQ(outcome(what), kRight) << fault.message;
}

TEST_P(RequestSignaturesTest, a_digest_that_is_wrong_is_told_without_a_signature_too) {
  key.signing = {};
  EXPECT_EQ(outcome(request(), {{"Content-Digest", turnpike::test::content_digest(kBody)}}), kRight);
  EXPECT_EQ(outcome(request(), {{"Content-Digest", "md5=:AA==:"}}), kRight) << "not known here";
  for (const auto& wrong : {turnpike::test::content_digest("x"), std::string("sha-256=x")}) {
    EXPECT_EQ(outcome(request(), {{"Content-Digest", wrong}}), "another fault");
    EXPECT_EQ(fault.fault, Fault::invalid_request);
    EXPECT_EQ(fault.param, "content-digest");
  }
}

TEST_P(RequestSignaturesTest, signatures_of_a_key_that_carries_no_public_key_are_nobodys_business) {
  key.signing = {};
  EXPECT_EQ(outcome(request(), {{"Signature-Input", "("}, {"Signature", "x"}}), kRight);
}

INSTANTIATE_TEST_SUITE_P(Algorithms, RequestSignaturesTest, testing::Bool(),
                         [](const auto& kind) { return kind.param ? "Ed25519" : "P256"; });

}  // namespace
}  // namespace turnpike::identity
