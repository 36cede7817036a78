// Signed requests (RFC 9421) over real sockets.
#include <gmock/gmock.h>

#include <chrono>
#include <csignal>
#include <fstream>

#include "common/request_signer.hpp"
#include "support/network.hpp"

namespace turnpike::test {
namespace {

using nlohmann::json;

std::int64_t unix_now() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

class Signatures : public NetworkTest {
 protected:
  // An operator's key that must sign.
  std::string signing_key() {
    std::ofstream(folder.file("public.pem")) << signer.public_key();
    return create_key("100", {"--public-key", folder.file("public.pem"), "--require-signature"});
  }
  ToSign request(const std::string& bearer, const std::string& path, const std::string& body) {
    return {.method = body.empty() ? "GET" : "POST",
            .uri = "http://test" + path,  // the client's Host
            .key_value = bearer.empty() ? "" : "Bearer " + bearer,
            .body = body,
            .created = unix_now(),
            .nonce = "n-" + std::to_string(++count)};
  }
  // Everything the request's head has but the key, which goes first.
  Headers head_of(const ToSign& what) const {
    Headers headers = signed_fields(signer, what);
    if (!what.key_value.empty()) headers.emplace_back("Authorization", what.key_value);
    headers.emplace_back("Accept", "application/json");
    return headers;
  }
  Answer send(const ToSign& what, const Headers& headers) const {
    return call(address, what.method, what.uri.substr(what.uri.find('/', 7)), headers, what.body);
  }
  Answer send(const ToSign& what) const { return send(what, head_of(what)); }
  Answer ask_signed(const std::string& bearer, const std::string& path, const std::string& body = "") {
    return send(request(bearer, path, body));
  }
  static void expect_refused(const Answer& answer, const std::string& param) {
    EXPECT_EQ(answer.status, 401) << answer.body;
    EXPECT_EQ(answer.json()["error"]["code"], "invalid_signature");
    EXPECT_EQ(answer.json()["error"]["param"], param);
    EXPECT_EQ(answer.header("www-authenticate"), "Bearer");
  }
  RequestSigner signer = RequestSigner::ed25519();
  int count = 0;
};

TEST_F(Signatures, a_stolen_key_is_worth_nothing_without_its_other_half) {
  add_node();
  start_gateway();
  const auto key = signing_key();
  EXPECT_TRUE(eventually([&] { return ask_signed(key, "/v1/chat/completions", chat("hello").dump()).status == 200; }));
  const auto stream = ask_signed(key, "/v1/chat/completions", chat("hello", true).dump());
  EXPECT_TRUE(stream.done());
  EXPECT_EQ(ask_signed(key, "/v1/credits/balance").status, 200);
  EXPECT_EQ(ask_signed(key, "/v1/models?x=1").status, 200);

  expect_refused(ask(key, chat("hello")), "signature-input");
  expect_refused(call(address, "GET", "/v1/keys", {{"X-API-Key", key}, {"Accept", "application/json"}}),
                 "signature-input");
  const auto refused =
      call(address, "POST", "/v1/auth/token", {{"Accept", "application/json"}}, json{{"api_key", key}}.dump());
  expect_refused(refused, "signature-input");
}

TEST_F(Signatures, a_token_of_such_a_key_is_worth_nothing_alone_either) {
  start_gateway();
  const auto key = signing_key();
  const auto granted = ask_signed("", "/v1/auth/token", json{{"api_key", key}}.dump());
  ASSERT_EQ(granted.status, 200) << granted.body;
  const std::string token = granted.json()["access_token"];
  EXPECT_EQ(ask_signed(token, "/v1/credits/balance").status, 200);
  expect_refused(call(address, "GET", "/v1/credits/balance",
                      {{"Authorization", "Bearer " + token}, {"Accept", "application/json"}}),
                 "signature-input");
}

TEST_F(Signatures, what_was_sent_cannot_be_sent_again_or_changed) {
  start_gateway();
  const auto key = signing_key();
  const auto what = request(key, "/v1/keys", R"({"scopes":"usage:read"})");
  const auto headers = head_of(what);
  auto changed = what;
  changed.body = R"({"scopes":"chat:write"})";
  expect_refused(send(changed, headers), "content-digest");
  changed = what;
  changed.uri += "?x";
  expect_refused(send(changed, headers), "signature");
  EXPECT_EQ(send(what, headers).status, 201);
  expect_refused(send(what, headers), "nonce");
  // Not even after the gateway went down, politely or not.
  ASSERT_EQ(stop_gateway(), 0);
  config["listen"] = address;
  start_gateway();
  expect_refused(send(what, headers), "nonce");
}

TEST_F(Signatures, the_bytes_are_checked_as_they_arrived) {
  start_gateway();
  const auto key = signing_key();
  const std::string body = " {\"scopes\" :  \"usage:read\"}\n";
  auto what = request(key, "/v1/keys", body);
  Client client(address);
  std::string head = "POST /v1/keys HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n";
  for (const auto& [name, value] : head_of(what)) head.append(name).append(": ").append(value).append("\r\n");
  client.send(head + "\r\n3\r\n" + body.substr(0, 3) + "\r\n");
  client.send("19\r\n" + body.substr(3) + "\r\n0\r\n\r\n");
  const auto answer = client.read_answer();
  EXPECT_EQ(answer.status, 201) << answer.body;
}

TEST_F(Signatures, a_signature_is_good_for_the_window_of_the_configuration) {
  config["signatures"] = {{"window_secs", 60}};
  start_gateway();
  const auto key = signing_key();
  for (const auto& [age, status] : {std::pair(-50, 200), std::pair(50, 200), std::pair(-70, 401), std::pair(70, 401)}) {
    auto what = request(key, "/v1/credits/balance", "");
    what.created += age;
    EXPECT_EQ(send(what).status, status) << age;
  }
}

TEST_F(Signatures, a_client_of_the_public_url_is_believed_behind_a_proxy) {
  config["network"]["public_url"] = "https://gate.example/inference";
  start_gateway();
  const auto key = signing_key();
  auto what = request(key, "/v1/credits/balance", "");
  what.uri = "https://gate.example/inference/v1/credits/balance";
  EXPECT_EQ(call(address, "GET", "/v1/credits/balance", head_of(what)).status, 200);
  what.uri = "https://other.example/v1/credits/balance";
  what.nonce = "other";
  expect_refused(call(address, "GET", "/v1/credits/balance", head_of(what)), "signature");
}

TEST_F(Signatures, an_account_makes_keys_that_sign_by_either_algorithm) {
  start_gateway();
  const auto key = create_key("100");
  for (auto* make : {&RequestSigner::ed25519, &RequestSigner::p256}) {
    signer = make();
    const json wish{{"public_key", signer.public_key()}, {"require_signature", true}};
    Headers headers = bearer(key);
    headers.emplace_back("Content-Digest", content_digest(wish.dump()));
    const auto made = call(address, "POST", "/v1/keys", headers, wish.dump());
    ASSERT_EQ(made.status, 201) << made.body;
    EXPECT_EQ(ask_signed(made.json()["api_key"], "/v1/credits/balance").status, 200);
  }
  Headers headers = bearer(key);
  headers.emplace_back("Content-Digest", content_digest("{ }"));
  headers.emplace_back("Accept", "application/json");
  const auto wrong = call(address, "POST", "/v1/keys", headers, "{}");
  EXPECT_EQ(wrong.status, 400);
  EXPECT_EQ(wrong.json()["error"]["param"], "content-digest");
}

TEST_F(Signatures, one_key_cannot_take_the_room_of_others) {
  config["signatures"] = {{"max_nonces", 3}, {"max_nonces_per_key", 2}};
  start_gateway();
  const auto key = signing_key();
  const auto other = signing_key();
  EXPECT_EQ(ask_signed(key, "/v1/credits/balance").status, 200);
  EXPECT_EQ(ask_signed(key, "/v1/credits/balance").status, 200);
  const auto full = ask_signed(key, "/v1/credits/balance");
  EXPECT_EQ(full.status, 429);
  EXPECT_NE(full.header("retry-after"), "");
  EXPECT_EQ(ask_signed(other, "/v1/credits/balance").status, 200);
  EXPECT_EQ(ask_signed(other, "/v1/credits/balance").status, 503);
}

TEST_F(Signatures, neither_signature_nor_nonce_reaches_the_log) {
  config["log"]["level"] = "trace";
  start_gateway();
  const auto what = request(signing_key(), "/v1/credits/balance", "");
  const auto headers = head_of(what);
  EXPECT_EQ(send(what, headers).status, 200);
  EXPECT_EQ(send(what, headers).status, 401);
  ASSERT_EQ(stop_gateway(), 0);
  EXPECT_THAT(gateway->output(), testing::HasSubstr("/v1/credits/balance"));
  EXPECT_THAT(gateway->output(), testing::Not(testing::HasSubstr(headers[1].second.substr(6, 30))));
  EXPECT_THAT(gateway->output(), testing::Not(testing::HasSubstr("\"" + what.nonce + "\"")));
}

}  // namespace
}  // namespace turnpike::test
