#include "turnpike/api/keys_api.hpp"

#include <memory>
#include <string>
#include <utility>

#include "api_fixture.hpp"
#include "common/request_signer.hpp"

namespace turnpike::api {
namespace {

using nlohmann::json;
using std::chrono::hours;
using test::Asked;

class KeysApiTest : public test::ApiTest {
 protected:
  void SetUp() override {
    ApiTest::SetUp();
    api = std::make_unique<KeysApi>(*guard, *keys, dialects, clock, 1'000);
  }
  using Route = boost::asio::awaitable<http::Response> (KeysApi::*)(const http::Request&);
  http::Response call(Route route, const std::string& key, const std::string& id, const std::string& body) {
    Asked asked;
    asked.key(key).field("Accept", "application/json").body(body);
    if (!id.empty()) asked.parameter(id);
    return loop.run((api.get()->*route)(asked.request()));
  }
  http::Response create(const std::string& key, const json& body = json::object()) {
    return call(&KeysApi::create, key, "", body.dump());
  }
  http::Response rotate(const std::string& key, const std::string& id, const std::string& body = "") {
    return call(&KeysApi::rotate, key, id, body);
  }
  http::Response revoke(const std::string& key, const std::string& id) { return call(&KeysApi::revoke, key, id, ""); }
  json list(const std::string& key) {
    return json_of(api->list(Asked().key(key).field("Accept", "application/json").request()));
  }
  static std::string param(const http::Response& response) {
    const auto body = json_of(response);
    return body["error"]["param"].is_string() ? body["error"]["param"].get<std::string>() : "";
  }
  std::string last_id() { return keys->list().back()->id; }
  bool opens(const std::string& api_key) { return keys->find(api_key, clock.wall()).has_value(); }

  std::unique_ptr<KeysApi> api;
};

TEST_F(KeysApiTest, all_of_it_needs_the_scope_keys_manage) {
  const auto key = make_key(with_scopes("chat:write chat:read models:read usage:read"));
  const auto id = last_id();
  EXPECT_EQ(api->list(Asked().key(key).request()).status, 403);
  EXPECT_EQ(create(key).status, 403);
  EXPECT_EQ(rotate(key, id).status, 403);
  EXPECT_EQ(revoke(key, id).status, 403);
  EXPECT_EQ(create("").status, 401);
  EXPECT_EQ(keys->list().size(), 1U);
  EXPECT_TRUE(opens(key));
}

TEST_F(KeysApiTest, a_new_key_is_the_callers_but_for_what_is_asked) {
  const auto key = make_key({.dialect = "one-adn", .tier = "seven"});
  const auto response = create(key);
  EXPECT_EQ(response.status, 201);
  EXPECT_EQ(header_of(response, "Cache-Control"), "no-store");
  auto made = json_of(response);
  EXPECT_TRUE(made["api_key"].get<std::string>().starts_with("sk_live_"));
  const auto* info = *keys->find(made["api_key"].get<std::string>(), clock.wall());
  EXPECT_EQ(info->account_id, account);
  EXPECT_EQ(made["id"], info->id);
  EXPECT_EQ(made["tier"], "seven");
  EXPECT_EQ(made["scopes"], identity::Scopes::all().to_string());
  EXPECT_TRUE(made["expires_at"].is_null());
  made = json_of(
      create(key, {{"dialect", "decentral"}, {"scopes", "chat:write"}, {"expires_at", "2024-01-01T00:00:00Z"}}));
  EXPECT_TRUE(made["api_key"].get<std::string>().starts_with("dcntrl_live_"));
  EXPECT_EQ(made["tier"], "seven") << "whatever the dialect's own is";
  EXPECT_EQ(made["scopes"], "chat:write");
  EXPECT_EQ(made["expires_at"], "2024-01-01T00:00:00.000Z");
}

TEST_F(KeysApiTest, a_key_hands_out_no_more_than_it_has) {
  const auto key = make_key(
      {.scopes = identity::Scopes::parse("chat:write keys:manage").value(), .expires_at = clock.wall() + hours(24)});
  const auto made = json_of(create(key));
  EXPECT_EQ(made["scopes"], "chat:write keys:manage");
  EXPECT_EQ(made["expires_at"], "2023-11-15T22:13:20.000Z");
  const auto wide = create(key, {{"scopes", "chat:write usage:read"}});
  EXPECT_EQ(wide.status, 403);
  EXPECT_EQ(param(wide), "scopes");
  const auto late = create(key, {{"expires_at", "2023-11-15T22:13:20.001Z"}});
  EXPECT_EQ(late.status, 403);
  EXPECT_EQ(param(late), "expires_at");
  EXPECT_EQ(create(key, {{"expires_at", "2023-11-15T22:13:20Z"}}).status, 201);
}

TEST_F(KeysApiTest, a_token_hands_out_no_more_than_it_has) {
  make_key();
  const auto token = tokens
                         ->issue({.subject = "a",
                                  .key_id = last_id(),
                                  .scopes = identity::Scopes::parse("keys:manage").value(),
                                  .lifetime = hours(1)},
                                 clock.wall())
                         ->token;
  const auto made = json_of(create(token));
  EXPECT_EQ(made["scopes"], "keys:manage");
  EXPECT_EQ(made["expires_at"], "2023-11-14T23:13:20.000Z");
  EXPECT_EQ(create(token, {{"scopes", "chat:write"}}).status, 403);
  EXPECT_EQ(rotate(token, keys->list().front()->id).status, 403) << "its key can do more";
}

TEST_F(KeysApiTest, a_wish_with_a_fault_makes_nothing) {
  const auto key = make_key();
  const std::pair<json, std::string> faults[] = {{{{"scopes", 7}}, "scopes"},
                                                 {{{"scopes", ""}}, "scopes"},
                                                 {{{"scopes", "chat:all"}}, "scopes"},
                                                 {{{"expires_at", "tomorrow"}}, "expires_at"},
                                                 {{{"expires_at", 7}}, "expires_at"},
                                                 {{{"expires_at", "2023-11-14T22:13:20Z"}}, "expires_at"},  // now
                                                 {{{"dialect", "latin"}}, "dialect"},
                                                 {{{"dialect", 7}}, "dialect"},
                                                 {json::array(), ""}};
  for (const auto& [body, member] : faults) {
    const auto response = create(key, body);
    EXPECT_EQ(response.status, 400) << body;
    EXPECT_EQ(param(response), member) << body;
  }
  EXPECT_EQ(call(&KeysApi::create, key, "", "{").status, 400);
  EXPECT_EQ(create(key, {{"more", std::string(1'000, 'x')}}).status, 413);
  EXPECT_EQ(keys->list().size(), 1U);
}

TEST_F(KeysApiTest, a_list_shows_the_accounts_keys_but_not_how_to_use_them) {
  const auto mine = account;
  account = account_with(0);
  make_key();
  account = mine;
  const auto key = make_key();
  clock.advance(std::chrono::seconds(1));
  const auto made = json_of(create(key));
  const auto page = list(key);
  EXPECT_EQ(page["object"], "list");
  ASSERT_EQ(page["data"].size(), 2U);
  EXPECT_EQ(page["data"][0]["display"], key.substr(0, 12));
  EXPECT_EQ(page["data"][0]["last_used_at"], "2023-11-14T22:13:21.000Z");
  EXPECT_EQ(page["data"][1]["id"], made["id"]);
  EXPECT_TRUE(page["data"][1]["last_used_at"].is_null());
  EXPECT_EQ(page.dump().find(key.substr(12)), std::string::npos);
}

TEST_F(KeysApiTest, a_rotated_key_dies_when_its_grace_ends) {
  const auto key = make_key({.dialect = "drm3", .tier = "queue"});
  const auto id = last_id();
  const auto response = rotate(key, id);
  EXPECT_EQ(response.status, 201);
  const auto next = json_of(response);
  EXPECT_TRUE(next["api_key"].get<std::string>().starts_with("inf_"));
  EXPECT_EQ(next["tier"], "queue");
  EXPECT_EQ(next["replaces"], id);
  EXPECT_EQ(next["replaced_expires_at"], "2023-11-14T23:13:20.000Z");
  clock.advance(hours(1) - std::chrono::microseconds(1));
  EXPECT_TRUE(opens(key));
  clock.advance(std::chrono::microseconds(1));
  EXPECT_FALSE(opens(key));
  EXPECT_TRUE(opens(next["api_key"]));
  EXPECT_EQ(rotate(next["api_key"], id).status, 409);
  EXPECT_EQ(rotate(next["api_key"], next["id"], R"({"expires_at":"soon"})").status, 400);
  const auto ending = json_of(rotate(next["api_key"], next["id"], R"({"expires_at":"2024-01-01T00:00:00Z"})"));
  EXPECT_EQ(ending["expires_at"], "2024-01-01T00:00:00.000Z");
}

TEST_F(KeysApiTest, a_successor_begins_as_its_key_did) {
  const auto& prefixes = dialects.by_id("one-adn")->key_prefixes;
  ASSERT_GT(prefixes.size(), 1U);
  identity::KeyInfo info;
  info.dialect = "one-adn";
  for (const auto& prefix : prefixes) {
    info.display = prefix + "0123";
    EXPECT_EQ(prefix_like(info, dialects), prefix);
  }
  info.display = "gone_0123";
  EXPECT_EQ(prefix_like(info, dialects), prefixes.front());
  info.dialect = "latin";
  EXPECT_EQ(prefix_like(info, dialects), dialects.fallback().key_prefixes.front());
}

TEST_F(KeysApiTest, rotating_anothers_key_gives_away_no_scope_tier_or_time) {
  make_key({.tier = "thousand"});
  const auto dear = last_id();
  make_key();
  const auto wide = last_id();
  const auto narrow = make_key(with_scopes("chat:write keys:manage"));
  EXPECT_EQ(param(rotate(narrow, wide)), "scopes");
  const auto plain = make_key();
  const auto tier = rotate(plain, dear);
  EXPECT_EQ(tier.status, 403);
  EXPECT_EQ(param(tier), "tier");
  const auto brief = make_key({.expires_at = clock.wall() + hours(1)});
  EXPECT_EQ(param(rotate(brief, wide)), "expires_at");
  EXPECT_EQ(rotate(plain, wide).status, 201);
}

TEST_F(KeysApiTest, a_revoked_key_opens_nothing_and_stays_in_the_list) {
  const auto key = make_key();
  const auto other = make_key();
  const auto id = last_id();
  const auto response = revoke(key, id);
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(json_of(response)["id"], id);
  EXPECT_EQ(json_of(response)["revoked_at"], "2023-11-14T22:13:20.000Z");
  EXPECT_FALSE(opens(other));
  EXPECT_EQ(list(key)["data"][1]["revoked_at"], "2023-11-14T22:13:20.000Z");
  EXPECT_EQ(revoke(key, id).status, 200) << "twice is fine";
  EXPECT_EQ(revoke(key, keys->list().front()->id).status, 200) << "itself";
  EXPECT_EQ(api->list(Asked().key(key).request()).status, 401);
}

TEST_F(KeysApiTest, another_accounts_key_is_not_there) {
  const auto key = make_key();
  account = account_with(0);
  const auto theirs = make_key();
  EXPECT_EQ(revoke(key, last_id()).status, 404);
  EXPECT_EQ(rotate(key, last_id()).status, 404);
  EXPECT_EQ(revoke(key, "key_nobody").status, 404);
  EXPECT_TRUE(opens(theirs));
}

TEST_F(KeysApiTest, an_account_has_so_many_keys_and_no_more) {
  const auto key = make_key();
  for (int i = 1; i < 10; ++i) EXPECT_EQ(create(key).status, 201);
  const auto refused = create(key);
  EXPECT_EQ(refused.status, 409);
  EXPECT_EQ(json_of(refused)["error"]["code"], "conflict");
  EXPECT_EQ(rotate(key, last_id()).status, 409);
  EXPECT_EQ(revoke(key, last_id()).status, 200);
  EXPECT_EQ(create(key).status, 201);
}

// ---- public keys ----

class KeysThatSign : public KeysApiTest {
 protected:
  // The answer to POST /v1/keys by a caller whose key signs, which the request does.
  http::Response create_signed(const std::string& key, const json& body) {
    const std::string text = body.dump();
    Asked asked;
    asked.line("POST", "/v1/keys").field("Host", "gate.local").field("Accept", "application/json").body(text).key(key);
    for (const auto& [name, value] : turnpike::test::signed_fields(signer, {.uri = "http://gate.local/v1/keys",
                                                                            .key_value = "Bearer " + key,
                                                                            .body = text,
                                                                            .created = unix_seconds(clock.wall()),
                                                                            .nonce = std::to_string(++count)})) {
      asked.field(name, value);
    }
    return loop.run(api->create(asked.request()));
  }
  turnpike::test::RequestSigner signer = turnpike::test::RequestSigner::ed25519();
  int count = 0;
};

TEST_F(KeysThatSign, a_new_key_carries_the_public_key_that_is_named) {
  const auto key = make_key();
  const auto optional = json_of(create(key, {{"public_key", signer.public_key()}}));
  EXPECT_EQ(optional["public_key"], signer.public_key());
  EXPECT_EQ(optional["require_signature"], false);
  const auto required = json_of(create(key, {{"public_key", signer.public_key()}, {"require_signature", true}}));
  EXPECT_EQ(required["require_signature"], true);
  const auto data = list(key)["data"];
  ASSERT_EQ(data.size(), 3U);
  EXPECT_TRUE(data[0]["public_key"].is_null());
  EXPECT_EQ(data[0]["require_signature"], false);
  EXPECT_EQ(data[2]["public_key"], signer.public_key());
  EXPECT_EQ(data[2]["require_signature"], true);
}

TEST_F(KeysThatSign, what_is_malformed_is_named) {
  const auto key = make_key();
  const std::pair<json, const char*> wrong[] = {{{{"public_key", "x"}}, "public_key"},
                                                {{{"public_key", 1}}, "public_key"},
                                                {{{"require_signature", true}}, "require_signature"},
                                                {{{"require_signature", "yes"}}, "require_signature"}};
  for (const auto& [body, member] : wrong) {
    const auto response = create(key, body);
    EXPECT_EQ(response.status, 400) << body;
    EXPECT_EQ(param(response), member);
  }
  EXPECT_EQ(keys->list().size(), 1U);
}

TEST_F(KeysThatSign, a_key_that_must_sign_hands_out_none_that_need_not) {
  identity::NewKey wanted;
  wanted.signing = {.public_key = identity::PublicKey::parse(signer.public_key()).value(), .required = true};
  const auto free_id = (make_key(), last_id());
  const auto key = make_key(wanted);
  const auto refused = create_signed(key, {{"require_signature", false}});
  EXPECT_EQ(refused.status, 403);
  EXPECT_EQ(param(refused), "require_signature");
  const auto same = json_of(create_signed(key, json::object()));
  EXPECT_EQ(same["public_key"], signer.public_key()) << "what is not named is the caller's";
  EXPECT_EQ(same["require_signature"], true);
  const auto other = turnpike::test::RequestSigner::p256();
  EXPECT_EQ(json_of(create_signed(key, {{"public_key", other.public_key()}}))["require_signature"], true);
  Asked asked;
  asked.line("POST", "/v1/keys").field("Host", "gate.local").field("Accept", "application/json").key(key);
  for (const auto& [name, value] : turnpike::test::signed_fields(
           signer,
           {.uri = "http://gate.local/v1/keys", .key_value = "Bearer " + key, .created = unix_seconds(clock.wall())})) {
    asked.field(name, value);
  }
  asked.parameter(free_id);
  EXPECT_EQ(loop.run(api->rotate(asked.request())).status, 403) << "its successor need not sign either";
}

TEST_F(KeysThatSign, a_rotated_key_is_signed_by_the_same_public_key) {
  const auto key = make_key();
  const auto made = json_of(create(key, {{"public_key", signer.public_key()}, {"require_signature", true}}));
  const auto rotated = json_of(rotate(key, made["id"]));
  EXPECT_EQ(rotated["public_key"], signer.public_key());
  EXPECT_EQ(rotated["require_signature"], true);
}

}  // namespace
}  // namespace turnpike::api
