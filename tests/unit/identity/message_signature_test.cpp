#include "turnpike/identity/message_signature.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "turnpike/base/encoding.hpp"
#include "turnpike/identity/public_key.hpp"

namespace turnpike::identity {
namespace {

// RFC 9421, appendix B.1.3 and B.1.4.
constexpr std::string_view kP256Key =
    "-----BEGIN PUBLIC KEY-----\n"
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqIVYZVLCrPZHGHjP17CTW0/+D9Lf\n"
    "w0EkjqF7xB4FivAxzic30tMM4GF+hR6Dxh71Z50VGGdldkkDXZCnTNnoXQ==\n"
    "-----END PUBLIC KEY-----\n";
constexpr std::string_view kEd25519Key =
    "-----BEGIN PUBLIC KEY-----\n"
    "MCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=\n"
    "-----END PUBLIC KEY-----\n";

constexpr std::string_view kBody = R"({"hello": "world"})";
constexpr std::string_view kDigest =
    "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:";

// The test request of appendix B.2, its fields' lines in another case than the RFC's.
const std::vector<FieldView> kFields{{.name = "Host", .value = "example.com"},
                                     {.name = "DATE", .value = "Tue, 20 Apr 2021 02:07:55 GMT"},
                                     {.name = "content-type", .value = " application/json\t"},
                                     {.name = "Content-Digest", .value = kDigest},
                                     {.name = "Content-Length", .value = "18"}};
MessageView test_request() {
  return {.method = "POST",
          .scheme = "https",
          .authority = "example.com",
          .target = "/foo?param=Value&Pet=dog",
          .fields = kFields};
}

InnerList list_of(const std::string& input) {
  return std::get<InnerList>(parse_dictionary("sig=" + input).value().front().value);
}
std::string base_of(const MessageView& message, const std::string& input) {
  const auto base = signature_base(message, list_of(input));
  return base ? *base : "refused: " + base.error().param;
}
bool verifies(std::string_view key, const std::string& base, std::string_view signature) {
  return PublicKey::parse(key).value()->verifies(base, from_base64(signature).value());
}

// ---- the RFC's own vectors ----

TEST(Rfc9421, b_2_1_minimal_coverage) {
  const std::string input = R"(();created=1618884473;keyid="test-key-rsa-pss";nonce="b3k2pp5k7z-50gnwp.yemd")";
  EXPECT_EQ(base_of(test_request(), input), "\"@signature-params\": " + input);
}

TEST(Rfc9421, b_2_2_selective_coverage) {
  const std::string input =
      R"(("@authority" "content-digest" "@query-param";name="Pet");created=1618884473;keyid="test-key-rsa-pss";tag="header-example")";
  EXPECT_EQ(base_of(test_request(), input),
            "\"@authority\": example.com\n\"content-digest\": " + std::string(kDigest) +
                "\n\"@query-param\";name=\"Pet\": dog\n\"@signature-params\": " + input);
}

TEST(Rfc9421, b_2_3_full_coverage) {
  const std::string input =
      R"(("date" "@method" "@path" "@query" "@authority" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-rsa-pss")";
  EXPECT_EQ(base_of(test_request(), input),
            "\"date\": Tue, 20 Apr 2021 02:07:55 GMT\n\"@method\": POST\n\"@path\": /foo\n"
            "\"@query\": ?param=Value&Pet=dog\n\"@authority\": example.com\n\"content-type\": application/json\n"
            "\"content-digest\": " +
                std::string(kDigest) + "\n\"content-length\": 18\n\"@signature-params\": " + input);
}

TEST(Rfc9421, b_2_4_a_signature_by_ecdsa_p256_sha256) {
  // Of a response: its base is the RFC's text.
  const std::string base =
      "\"@status\": 200\n\"content-type\": application/json\n\"content-digest\": "
      "sha-512=:mEWXIS7MaLRuGgxOBdODa3xqM1XdEvxoYhvlCFJ41QJgJc4GTsPp29l5oGX69wWdXymyU0rjJuahq4l5aGgfLQ==:\n"
      "\"content-length\": 23\n\"@signature-params\": (\"@status\" \"content-type\" \"content-digest\" "
      "\"content-length\");created=1618884473;keyid=\"test-key-ecc-p256\"";
  constexpr std::string_view kSignature =
      "wNmSUAhwb5LxtOtOpNa6W5xj067m5hFrj0XQ4fvpaCLx0NKocgPquLgyahnzDnDAUy5eCdlYUEkLIj+32oiasw==";
  EXPECT_TRUE(verifies(kP256Key, base, kSignature));
  EXPECT_FALSE(verifies(kP256Key, base + " ", kSignature));
}

TEST(Rfc9421, b_2_5_the_base_of_a_mac) {
  const std::string input = R"(("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret")";
  EXPECT_EQ(base_of(test_request(), input),
            "\"date\": Tue, 20 Apr 2021 02:07:55 GMT\n\"@authority\": example.com\n"
            "\"content-type\": application/json\n\"@signature-params\": " +
                input);
}

TEST(Rfc9421, b_2_6_a_request_by_ed25519) {
  const std::string base = base_of(
      test_request(),
      R"(("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519")");
  constexpr std::string_view kSignature =
      "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==";
  EXPECT_TRUE(verifies(kEd25519Key, base, kSignature));
  EXPECT_FALSE(verifies(kEd25519Key, base + " ", kSignature));
}

TEST(Rfc9421, b_3_a_request_through_a_proxy_that_ends_tls) {
  const std::vector<FieldView> fields{
      {.name = "Client-Cert",
       .value = ":MIIBqDCCAU6gAwIBAgIBBzAKBggqhkjOPQQDAjA6MRswGQYDVQQKDBJMZXQncyBBdXRoZW50aWNhdGUxGzAZBgNVBAMMEkxBIElu"
                "dGVybWVkaWF0ZSBDQTAeFw0yMDAxMTQyMjU1MzNaFw0yMTAxMjMyMjU1MzNaMA0xCzAJBgNVBAMMAkJDMFkwEwYHKoZIzj0CAQYI"
                "KoZIzj0DAQcDQgAE8YnXXfaUgmnMtOXU/IncWalRhebrXmckC8vdgJ1p5Be5F/3YC8OthxM4+k1M6aEAEFcGzkJiNy6J84y7uzo9"
                "M6NyMHAwCQYDVR0TBAIwADAfBgNVHSMEGDAWgBRm3WjLa38lbEYCuiCPct0ZaSED2DAOBgNVHQ8BAf8EBAMCBsAwEwYDVR0lBAww"
                "CgYIKwYBBQUHAwIwHQYDVR0RAQH/BBMwEYEPYmRjQGV4YW1wbGUuY29tMAoGCCqGSM49BAMCA0gAMEUCIBHda/r1vaL6G3VliL4/"
                "Di6YK0Q6bMjeSkC3dFCOOB8TAiEAx/kHSB4urmiZ0NX5r5XarmPk0wmuydBVoU4hBVZ1yhk=:"}};
  auto message = test_request();
  message.authority = "service.internal.example";
  message.fields = fields;
  EXPECT_TRUE(verifies(
      kP256Key,
      base_of(
          message,
          R"(("@path" "@query" "@method" "@authority" "client-cert");created=1618884473;keyid="test-key-ecc-p256")"),
      "xVMHVpawaAC/0SbHrKRs9i8I3eOs5RtTMGCWXm/9nvZzoHsIg6Mce9315T6xoklyy0yzhD9ah4JHRwMLOgmizw=="));
}

TEST(Rfc9421, b_4_a_request_that_was_transformed_on_its_way) {
  const std::string input = R"(("@method" "@path" "@authority" "accept");created=1618884473;keyid="test-key-ed25519")";
  constexpr std::string_view kSignature =
      "ZT1kooQsEHpZ0I1IjCqtQppOmIqlJPeo7DHR3SoMn0s5JZ1eRGS0A+vyYP9t/LXlh5QMFFQ6cpLt2m0pmj3NDA==";
  std::vector<FieldView> fields{{.name = "Accept", .value = "application/json"},
                                {.name = "Accept-Language", .value = "en-US"},
                                {.name = "accept", .value = "*/*"}};
  MessageView message{.method = "GET",
                      .scheme = "https",
                      .authority = "example.org",
                      .target = "/demo?name1=Value1&Name2=value2&param=added",
                      .fields = fields};
  EXPECT_TRUE(verifies(kEd25519Key, base_of(message, input), kSignature));
  std::swap(fields[0].value, fields[2].value);
  EXPECT_FALSE(verifies(kEd25519Key, base_of(message, input), kSignature));
}

TEST(Rfc9421, section_4_3_the_clients_of_two_signatures) {
  const auto base = base_of(
      test_request(),
      R"(("@method" "@authority" "@path" "content-digest" "content-type" "content-length");created=1618884475;keyid="test-key-ecc-p256")");
  EXPECT_TRUE(verifies(kP256Key, base,
                       "X5spyd6CFnAG5QnDyHfqoSNICd+BUP4LYMz2Q0JXlb//4Ijpzp+kve2w4NIyqeAuM7jTDX+sNalzA8ESSaHD3A=="));
}

// ---- components ----

std::string line_of(const MessageView& message, const std::string& component) {
  const std::string base = base_of(message, "(" + component + ")");
  return base.substr(0, base.find('\n'));
}

TEST(SignatureBase, every_derived_component_of_a_request_is_known) {
  const auto message = test_request();
  EXPECT_EQ(line_of(message, "\"@target-uri\""), "\"@target-uri\": https://example.com/foo?param=Value&Pet=dog");
  EXPECT_EQ(line_of(message, "\"@scheme\""), "\"@scheme\": https");
  EXPECT_EQ(line_of(message, "\"@request-target\""), "\"@request-target\": /foo?param=Value&Pet=dog");
  auto bare = message;
  bare.target = "/foo";
  EXPECT_EQ(line_of(bare, "\"@query\""), "\"@query\": ?");
  EXPECT_EQ(line_of(bare, "\"@path\""), "\"@path\": /foo");
}

TEST(SignatureBase, a_query_parameter_is_decoded_and_encoded_anew) {
  auto message = test_request();
  message.target =
      "/p?var=this%20is%20a%20big%0Amultiline%20value&bar=with+plus+whitespace&fa%C3%A7ade%22%3A%20=something";
  EXPECT_EQ(line_of(message, "\"@query-param\";name=\"var\""),
            "\"@query-param\";name=\"var\": this%20is%20a%20big%0Amultiline%20value");
  EXPECT_EQ(line_of(message, "\"@query-param\";name=\"bar\""),
            "\"@query-param\";name=\"bar\": with%20plus%20whitespace");
  EXPECT_EQ(line_of(message, "\"@query-param\";name=\"fa%C3%A7ade%22%3A%20\""),
            "\"@query-param\";name=\"fa%C3%A7ade%22%3A%20\": something");
  message.target = "/p?a=1&b=&a=2&c&d=50%";
  EXPECT_EQ(line_of(message, "\"@query-param\";name=\"a\""), "refused: @query-param") << "which of them?";
  EXPECT_EQ(line_of(message, "\"@query-param\";name=\"b\""), "\"@query-param\";name=\"b\": ");
  EXPECT_EQ(line_of(message, "\"@query-param\";name=\"c\""), "\"@query-param\";name=\"c\": ");
  EXPECT_EQ(line_of(message, "\"@query-param\";name=\"d\""), "\"@query-param\";name=\"d\": 50%25");
}

TEST(SignatureBase, what_cannot_be_had_is_refused_by_its_name) {
  const std::pair<const char*, const char*> refused[] = {{R"("@status")", "@status"},
                                                         {R"("@signature-params")", "@signature-params"},
                                                         {R"("@unknown")", "@unknown"},
                                                         {R"("x-absent")", "x-absent"},
                                                         {R"("Date")", "Date"},
                                                         {R"("date";sf)", "date"},
                                                         {R"("date";bs)", "date"},
                                                         {R"("date";key="a")", "date"},
                                                         {R"("date";tr)", "date"},
                                                         {R"("@method";req)", "@method"},
                                                         {R"("@query-param")", "@query-param"},
                                                         {R"("@query-param";name="none")", "@query-param"},
                                                         {R"("@query-param";name=Pet)", "@query-param"},
                                                         {R"("@query-param";name="Pet";req)", "@query-param"},
                                                         {R"("@method" "date" "@method")", "@method"},
                                                         {R"(date)", "signature-input"}};
  for (const auto& [component, name] : refused) {
    EXPECT_EQ(line_of(test_request(), component), std::string("refused: ") + name) << component;
  }
}

TEST(SignatureBase, a_value_cannot_add_a_line) {
  const std::vector<FieldView> fields{{.name = "x", .value = "a\n\"@method\": GET"},
                                      {.name = "y", .value = "\xc3\xa9"}};
  auto message = test_request();
  message.fields = fields;
  EXPECT_EQ(line_of(message, "\"x\""), "refused: x");
  EXPECT_EQ(line_of(message, "\"y\""), "refused: y");
}

// ---- Signature-Input and Signature ----

std::string fault_of(const std::vector<FieldView>& fields) {
  const auto read = read_signature(fields);
  if (read) return "";
  EXPECT_EQ(read.error().fault, Fault::invalid_signature);
  return read.error().param;
}
std::string fault_of(std::string_view input, std::string_view signature) {
  return fault_of({{.name = "Signature-Input", .value = input}, {.name = "Signature", .value = signature}});
}

TEST(ReadSignature, all_its_parameters_are_read) {
  const std::vector<FieldView> fields{
      {.name = "Signature-Input",
       .value = R"(s=("@method" "x";sf);created=7;expires=9;nonce="n";alg="ed25519";keyid="any";tag="mine";other=1)"},
      {.name = "Signature", .value = "s=:AQI=:"}};
  const auto read = read_signature(fields);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->created, 7);
  EXPECT_EQ(read->expires, 9);
  EXPECT_EQ(read->nonce, "n");
  EXPECT_EQ(read->alg, "ed25519");
  EXPECT_EQ(read->signature, "\x01\x02");
  EXPECT_TRUE(read->covers("@method"));
  EXPECT_FALSE(read->covers("x")) << "not as it is";
  EXPECT_FALSE(read->covers("@path"));
}

TEST(ReadSignature, what_is_missing_or_malformed_is_named) {
  const std::string_view good = R"(s=();created=1;nonce="n")";
  EXPECT_EQ(fault_of(good, "s=:AA==:"), "");
  EXPECT_EQ(fault_of(std::vector<FieldView>{}), "signature-input");
  EXPECT_EQ(fault_of({{.name = "Signature", .value = "s=:AA==:"}}), "signature-input");
  EXPECT_EQ(fault_of({{.name = "Signature-Input", .value = good}}), "signature");
  EXPECT_EQ(fault_of("s=(", "s=:AA==:"), "signature-input");
  EXPECT_EQ(fault_of("", ""), "signature-input");
  EXPECT_EQ(fault_of("s=1", "s=:AA==:"), "signature-input");
  EXPECT_EQ(fault_of(good, "s=:A:"), "signature");
  EXPECT_EQ(fault_of(good, "t=:AA==:"), "signature");
  EXPECT_EQ(fault_of(good, "s=\"AA==\""), "signature");
  EXPECT_EQ(fault_of(good, "s=(:AA==:)"), "signature");
  EXPECT_EQ(fault_of(good, "s=:AA==:, s=:AA==:"), "signature");
  EXPECT_EQ(fault_of(R"(s=();nonce="n")", "s=:AA==:"), "created");
  EXPECT_EQ(fault_of(R"(s=();created="1";nonce="n")", "s=:AA==:"), "created");
  EXPECT_EQ(fault_of(R"(s=();created=1;expires=?1;nonce="n")", "s=:AA==:"), "expires");
  EXPECT_EQ(fault_of(R"(s=();created=1;nonce="n";alg=ed25519)", "s=:AA==:"), "alg");
  EXPECT_EQ(fault_of(R"(s=();created=1)", "s=:AA==:"), "nonce");
  EXPECT_EQ(fault_of(R"(s=();created=1;nonce="")", "s=:AA==:"), "nonce");
  EXPECT_EQ(fault_of("s=();created=1;nonce=\"" + std::string(64, 'n') + "\"", "s=:AA==:"), "");
  EXPECT_EQ(fault_of("s=();created=1;nonce=\"" + std::string(65, 'n') + "\"", "s=:AA==:"), "nonce");
}

TEST(ReadSignature, of_several_it_is_the_one_with_our_tag) {
  const auto nonce_of = [](std::string_view input) {
    const std::vector<FieldView> fields{{.name = "Signature-Input", .value = input},
                                        {.name = "Signature", .value = "a=:AA==:, b=:AA==:"},
                                        {.name = "signature", .value = "c=:AA==:"}};
    const auto read = read_signature(fields);
    return read ? read->nonce : "refused: " + read.error().param;
  };
  EXPECT_EQ(nonce_of(R"(b=();created=1;nonce="b")"), "b") << "it is alone";
  EXPECT_EQ(nonce_of(R"(a=();created=1;nonce="a", b=();created=1;nonce="b")"), "refused: signature-input");
  EXPECT_EQ(nonce_of(R"(a=();created=1;nonce="a", b=();created=1;nonce="b";tag="turnpike", c=();tag="x")"), "b");
  EXPECT_EQ(nonce_of(R"(a=();created=1;nonce="a";tag="turnpike", b=(), c=())"), "a");
  EXPECT_EQ(nonce_of(R"(a=(), b=(), c=();created=1;nonce="c";tag="turnpike")"), "c");
  EXPECT_EQ(nonce_of(R"(a=();created=1;nonce="a";tag="turnpike", b=(), c=();created=1;nonce="c";tag="turnpike")"),
            "refused: signature-input");
  EXPECT_EQ(nonce_of(R"(a=(), b=(), c=())"), "refused: signature-input");
}

// ---- Content-Digest ----

DigestCheck digest_of(std::string_view value, std::string_view body = kBody) {
  const std::vector<FieldView> fields{{.name = "content-digest", .value = value}};
  return check_content_digest(fields, body);
}

TEST(ContentDigest, rfc_9530s_and_rfc_9421s_own_are_right) {
  EXPECT_EQ(digest_of(kDigest), DigestCheck::right);
  EXPECT_EQ(digest_of("sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:", "{\"hello\": \"world\"}\n"),
            DigestCheck::right);
  EXPECT_EQ(digest_of("sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:", ""), DigestCheck::right);
}

TEST(ContentDigest, one_changed_byte_of_the_body_is_wrong) {
  for (std::size_t i = 0; i < kBody.size(); ++i) {
    std::string body(kBody);
    body[i] = static_cast<char>(body[i] ^ 1);
    EXPECT_EQ(digest_of(kDigest, body), DigestCheck::wrong) << i;
  }
  EXPECT_EQ(digest_of(kDigest, std::string(kBody) + " "), DigestCheck::wrong);
  EXPECT_EQ(digest_of(kDigest, ""), DigestCheck::wrong);
}

TEST(ContentDigest, every_known_one_must_be_right_and_one_must_be_known) {
  const std::string right(kDigest);
  EXPECT_EQ(digest_of("md5=:AA==:, " + right + ", crc32c=:AA==:"), DigestCheck::right);
  EXPECT_EQ(digest_of(right + ", sha-256=:AA==:"), DigestCheck::wrong);
  EXPECT_EQ(digest_of("sha-256=:AA==:, " + right), DigestCheck::wrong);
  EXPECT_EQ(digest_of("md5=:AA==:"), DigestCheck::unknown);
  EXPECT_EQ(digest_of(""), DigestCheck::unknown);
  EXPECT_EQ(digest_of("sha-256=AA"), DigestCheck::malformed);
  EXPECT_EQ(digest_of(right + ", " + right), DigestCheck::malformed);
  EXPECT_EQ(digest_of("sha-256=(:AA==:)"), DigestCheck::malformed);
  EXPECT_EQ(check_content_digest({}, kBody), DigestCheck::absent);
}

}  // namespace
}  // namespace turnpike::identity
