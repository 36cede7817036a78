#include "turnpike/api/token_api.hpp"

#include <memory>
#include <string>
#include <utility>

#include "api_fixture.hpp"
#include "common/request_signer.hpp"

namespace turnpike::api {
namespace {

using nlohmann::json;
using std::chrono::seconds;
using test::Asked;

class TokenApiTest : public test::ApiTest {
 protected:
  void SetUp() override {
    ApiTest::SetUp();
    api = std::make_unique<TokenApi>(
        *guard, *keys, *tokens, *ledger, clock,
        TokenLimits{.tokens_per_minute = 20, .max_clients = 10, .max_body_bytes = 1'000, .lifetime = seconds(3'600)});
  }
  http::Response ask(const std::string& body) {
    return api->exchange(Asked().field("Accept", "application/json").body(body).request());
  }
  http::Response ask(const std::string& key, json more) {
    more["api_key"] = key;
    return ask(more.dump());
  }
  static std::string param(const http::Response& response) {
    const auto body = json_of(response);
    return body["error"]["param"].is_string() ? body["error"]["param"].get<std::string>() : "";
  }
  std::unique_ptr<TokenApi> api;
};

TEST_F(TokenApiTest, a_key_is_exchanged_for_a_token_that_opens_what_it_does) {
  const auto key = make_key(with_scopes("chat:write models:read"));
  const auto response = ask(key, {{"expires_in", 60}});
  ASSERT_EQ(response.status, 200) << response.body;
  EXPECT_EQ(header_of(response, "Cache-Control"), "no-store");
  EXPECT_EQ(header_of(response, "x-ratelimit-remaining-requests"), "19");
  auto body = json_of(response);
  const std::string token = body["access_token"];
  body.erase("access_token");
  EXPECT_EQ(body, (json{{"token_type", "Bearer"}, {"expires_in", 60}, {"scope", "chat:write models:read"}}));
  const auto caller = guard->identify(Asked().key(token).request(), identity::Scope::models_read);
  ASSERT_TRUE(caller);
  EXPECT_EQ(caller->account, account);
}

TEST_F(TokenApiTest, a_lifetime_is_what_is_asked_for_or_configured_and_ends_with_the_key) {
  const auto key = make_key();
  EXPECT_EQ(json_of(ask(key, json::object()))["expires_in"], 3'600);
  EXPECT_EQ(json_of(ask(key, {{"expires_in", nullptr}}))["expires_in"], 3'600);
  EXPECT_EQ(json_of(ask(key, {{"expires_in", 86'400}}))["expires_in"], 86'400);
  const auto ending = make_key({.expires_at = clock.wall() + std::chrono::milliseconds(90'400)});
  EXPECT_EQ(json_of(ask(ending, json::object()))["expires_in"], 90);
  clock.advance(std::chrono::milliseconds(90'200));
  EXPECT_EQ(ask(ending, json::object()).status, 401) << "no whole second is left";
}

TEST_F(TokenApiTest, a_key_that_must_sign_is_exchanged_by_a_signed_request) {
  const auto signer = turnpike::test::RequestSigner::p256();
  identity::NewKey wanted;
  wanted.signing = {.public_key = identity::PublicKey::parse(signer.public_key()).value(), .required = true};
  const auto key = make_key(wanted);
  const auto refused = ask(key, json::object());
  EXPECT_EQ(refused.status, 401);
  EXPECT_EQ(json_of(refused)["error"]["code"], "invalid_signature");
  const std::string body = json{{"api_key", key}}.dump();
  Asked asked;
  asked.line("POST", "/v1/auth/token").field("Host", "gate.local").field("Accept", "application/json").body(body);
  for (const auto& [name, value] : turnpike::test::signed_fields(
           signer, {.uri = "http://gate.local/v1/auth/token", .body = body, .created = unix_seconds(clock.wall())})) {
    asked.field(name, value);
  }
  EXPECT_EQ(api->exchange(asked.request()).status, 200);
}

TEST_F(TokenApiTest, a_scope_may_be_less_and_not_more_than_the_keys) {
  const auto key = make_key(with_scopes("chat:write models:read"));
  EXPECT_EQ(json_of(ask(key, {{"scope", "models:read"}}))["scope"], "models:read");
  const auto more = ask(key, {{"scope", "chat:write usage:read"}});
  EXPECT_EQ(more.status, 403);
  EXPECT_EQ(param(more), "scope");
}

TEST_F(TokenApiTest, a_wish_with_a_fault_names_the_member) {
  const auto key = make_key();
  for (const json& wrong : {json(0), json(-1), json(86'401), json(1.5), json("60"), json(true)}) {
    const auto response = ask(key, {{"expires_in", wrong}});
    EXPECT_EQ(response.status, 400) << wrong;
    EXPECT_EQ(param(response), "expires_in") << wrong;
  }
  EXPECT_EQ(param(ask(key, {{"scope", "chat:all"}})), "scope");
  EXPECT_EQ(param(ask(key, {{"scope", 7}})), "scope");
  EXPECT_EQ(param(ask("{}")), "api_key");
  EXPECT_EQ(param(ask(R"({"api_key":7})")), "api_key");
  EXPECT_EQ(ask("[").status, 400);
  EXPECT_EQ(ask(key, {{"more", std::string(1'000, 'x')}}).status, 413);
}

TEST_F(TokenApiTest, a_dead_or_unknown_key_and_a_token_give_none) {
  const auto key = make_key();
  const std::string token = json_of(ask(key, json::object()))["access_token"];
  EXPECT_EQ(ask(token, json::object()).status, 401) << "no token lengthens its own life";
  EXPECT_EQ(ask("dkn_live_nobody", json::object()).status, 401);
  ASSERT_TRUE(loop.run(keys->revoke(keys->list().back()->id)));
  const auto response = ask(key, json::object());
  EXPECT_EQ(response.status, 401);
  EXPECT_EQ(response.body.find(key), std::string::npos);
}

TEST_F(TokenApiTest, requests_are_limited_by_client_address) {
  for (int i = 0; i < 20; ++i) EXPECT_EQ(ask("dkn_live_nobody", json::object()).status, 401);
  const auto refused = ask(make_key(), json::object());
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(header_of(refused, "Retry-After"), "3");
}

TEST_F(TokenApiTest, the_public_key_may_be_kept_for_a_while) {
  const auto response = api->jwk_set();
  EXPECT_EQ(response.body, tokens->jwk_set());
  EXPECT_EQ(header_of(response, "Cache-Control"), "public, max-age=300");
}

}  // namespace
}  // namespace turnpike::api
