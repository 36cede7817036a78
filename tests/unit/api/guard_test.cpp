#include "turnpike/api/guard.hpp"

#include <string>
#include <utility>

#include "api_fixture.hpp"
#include "common/request_signer.hpp"

namespace turnpike::api {
namespace {

using identity::Scope;
using std::chrono::seconds;
using test::Asked;

class GuardTest : public test::ApiTest {
 protected:
  // Why the request is not let in; `error` is empty when it is.
  std::optional<Error> refusal(const Asked& asked, Scope scope = Scope::chat_write) {
    const auto caller = guard->identify(asked.request(), scope);
    if (caller) return std::nullopt;
    return caller.error();
  }
  std::optional<Fault> fault_of(const Asked& asked, Scope scope = Scope::chat_write) {
    const auto error = refusal(asked, scope);
    return error ? std::optional(error->fault) : std::nullopt;
  }
  Caller caller_with(std::string_view tier) {
    const auto key = make_key({.tier = tier});
    return guard->identify(Asked().key(key).request(), Scope::chat_write).value();
  }
  // Admits the caller until it is refused.
  std::pair<int, Error> admit_all(std::string_view tier) {
    auto caller = caller_with(tier);
    for (int admitted = 0; admitted < 10'000; ++admitted) {
      if (auto ok = guard->admit(caller); !ok) return {admitted, ok.error()};
    }
    return {10'000, {}};
  }
};

// ---- who asks ----

using Identify = GuardTest;

TEST_F(Identify, a_key_is_taken_from_either_field) {
  const auto key = make_key();
  EXPECT_FALSE(fault_of(Asked().field("Authorization", "Bearer " + key)));
  EXPECT_FALSE(fault_of(Asked().field("authorization", "bearer   " + key)));
  EXPECT_FALSE(fault_of(Asked().field("X-API-Key", key)));
  EXPECT_FALSE(fault_of(Asked().field("x-api-key", key)));
}

TEST_F(Identify, a_request_without_a_key_is_told_how_to_send_one) {
  const auto key = make_key();
  for (const auto& asked : {Asked(), Asked().field("X-API-Key", ""), Asked().field("Authorization", "Bearer"),
                            Asked().field("Authorization", "Bearer "), Asked().field("Authorization", "Basic " + key),
                            Asked().field("Authorization", key), Asked().query("api_key=" + key)}) {
    const auto error = refusal(asked);
    ASSERT_TRUE(error);
    EXPECT_EQ(error->fault, Fault::invalid_api_key);
    EXPECT_NE(error->message.find("Authorization: Bearer"), std::string::npos);
  }
}

TEST_F(Identify, an_unknown_a_revoked_and_an_expired_key_are_told_apart) {
  const auto revoked = make_key();
  ASSERT_TRUE(loop.run(keys->revoke(keys->list().back()->id)));
  const auto expiring = make_key({.expires_at = clock.wall() + seconds(60)});
  EXPECT_FALSE(fault_of(Asked().key(expiring)));
  clock.advance(seconds(60));
  const std::pair<std::string, identity::Refusal> refused[] = {{"dkn_live_nobody", identity::Refusal::unknown},
                                                               {revoked, identity::Refusal::revoked},
                                                               {expiring, identity::Refusal::expired}};
  for (const auto& [key, reason] : refused) {
    const auto error = refusal(Asked().key(key));
    ASSERT_TRUE(error) << to_string(reason);
    EXPECT_EQ(error->fault, Fault::invalid_api_key);
    EXPECT_TRUE(error->message.ends_with(to_string(reason))) << error->message;
    EXPECT_EQ(error->message.find(key), std::string::npos);
  }
}

TEST_F(Identify, a_key_opens_what_its_scopes_name_and_nothing_else) {
  const auto key = make_key(with_scopes("models:read usage:read"));
  EXPECT_FALSE(fault_of(Asked().key(key), Scope::models_read));
  EXPECT_FALSE(fault_of(Asked().key(key), Scope::usage_read));
  EXPECT_EQ(fault_of(Asked().key(key), Scope::chat_write), Fault::insufficient_scope);
  EXPECT_EQ(fault_of(Asked().key(key), Scope::keys_manage), Fault::insufficient_scope);
}

TEST_F(Identify, a_caller_is_the_keys_account_and_dialect) {
  const auto key = make_key({.dialect = "decentral"});
  const auto caller = guard->identify(Asked().key(key).request(), Scope::chat_write).value();
  EXPECT_EQ(caller.account, account);
  EXPECT_EQ(caller.dialect->id, "decentral");
  EXPECT_EQ(caller.key->tier, "metered");
}

TEST_F(Identify, a_key_whose_dialect_is_gone_speaks_the_default_one) {
  const auto key = make_key({.dialect = "latin"});
  EXPECT_EQ(guard->identify(Asked().key(key).request(), Scope::chat_write)->dialect->id, "dria");
}

// ---- access tokens in place of keys ----

class IdentifyToken : public GuardTest {
 protected:
  std::string token(const char* scopes = "chat:write models:read", seconds lifetime = seconds(600)) {
    return tokens
        ->issue({.subject = "acct_x",
                 .key_id = keys->list().back()->id,
                 .scopes = identity::Scopes::parse(scopes).value(),
                 .lifetime = lifetime},
                clock.wall())
        ->token;
  }
  std::string reason(const std::string& presented) {
    const auto error = refusal(Asked().key(presented));
    return error ? error->message : "";
  }
};

TEST_F(IdentifyToken, a_token_is_taken_wherever_its_key_is) {
  make_key({.dialect = "decentral"});
  const auto bearer = token();
  for (const auto& asked : {Asked().key(bearer), Asked().field("X-API-Key", bearer)}) {
    const auto caller = guard->identify(asked.request(), Scope::chat_write);
    ASSERT_TRUE(caller);
    EXPECT_EQ(caller->account, account);
    EXPECT_EQ(caller->key, keys->list().back());
    EXPECT_EQ(caller->dialect->id, "decentral");
    EXPECT_EQ(caller->grant.scopes.to_string(), "chat:write models:read");
    EXPECT_EQ(caller->grant.expires_at, clock.wall() + seconds(600));
  }
  EXPECT_EQ(keys->list().back()->last_used_at, clock.wall());
}

TEST_F(IdentifyToken, a_token_opens_what_both_it_and_its_key_may) {
  make_key(with_scopes("chat:write usage:read"));
  EXPECT_FALSE(fault_of(Asked().key(token("chat:write")), Scope::chat_write));
  EXPECT_EQ(fault_of(Asked().key(token("chat:write")), Scope::usage_read), Fault::insufficient_scope);
  EXPECT_EQ(fault_of(Asked().key(token("keys:manage")), Scope::keys_manage), Fault::insufficient_scope);
}

TEST_F(IdentifyToken, a_token_ends_with_its_key_at_once) {
  make_key();
  const auto bearer = token();
  EXPECT_EQ(reason(bearer), "");
  ASSERT_TRUE(loop.run(keys->revoke(keys->list().back()->id)));
  EXPECT_EQ(reason(bearer), "the access token's key is revoked");
  make_key();
  const auto other = token();
  ASSERT_TRUE(loop.run(keys->expire(keys->list().back()->id, clock.wall() + seconds(5))));
  EXPECT_EQ(guard->identify(Asked().key(other).request(), Scope::chat_write)->grant.expires_at,
            clock.wall() + seconds(5));
  clock.advance(seconds(5));
  EXPECT_EQ(reason(other), "the access token's key is expired");
}

TEST_F(IdentifyToken, a_token_that_is_none_is_a_401_that_does_not_repeat_it) {
  make_key();
  const auto bearer = token("chat:write", seconds(5));
  EXPECT_EQ(reason("eyJ"), "the access token is not one of this gateway");
  EXPECT_EQ(reason("eyJhbGciOiJub25lIn0.e30."), "the access token is not one of this gateway");
  auto forged = bearer;
  forged.replace(forged.size() - 20, 3, forged.substr(forged.size() - 20, 3) == "AAA" ? "BBB" : "AAA");
  EXPECT_EQ(reason(forged), "the access token is not signed by this gateway");
  clock.advance(seconds(5));
  EXPECT_EQ(reason(bearer), "the access token is expired");
  EXPECT_EQ(fault_of(Asked().key(bearer)), Fault::invalid_api_key);
}

TEST_F(IdentifyToken, an_error_is_told_in_the_dialect_of_the_tokens_key) {
  make_key({.dialect = "one-adn"});
  const Error poor{.fault = Fault::insufficient_credits, .message = "too dear"};
  EXPECT_EQ(guard->refuse(&Asked().key(token()).request(), poor).status, 403);
  EXPECT_EQ(guard->refuse(&Asked().key("eyJ").request(), poor).status, 402);
}

// ---- keys whose requests are signed ----

class IdentifySigned : public GuardTest {
 protected:
  identity::NewKey signing_key(bool required = true) {
    return {.signing = {.public_key = identity::PublicKey::parse(signer.public_key()).value(), .required = required}};
  }
  turnpike::test::ToSign request_by(const std::string& bearer) {
    return {.method = "POST",
            .uri = "http://gate.local/v1/keys",
            .key_value = "Bearer " + bearer,
            .body = "{}",
            .created = unix_seconds(clock.wall()),
            .nonce = std::to_string(++count)};
  }
  // The request with the fields that sign it.
  static Asked asked(const turnpike::test::ToSign& what,
                     const std::vector<std::pair<std::string, std::string>>& added) {
    Asked request;
    request.line(what.method, "/v1/keys").field("Host", "gate.local").body(what.body);
    request.field(what.key_field, what.key_value);
    for (const auto& [name, value] : added) request.field(name, value);
    return request;
  }
  Asked asked(const turnpike::test::ToSign& what) { return asked(what, turnpike::test::signed_fields(signer, what)); }
  turnpike::test::RequestSigner signer = turnpike::test::RequestSigner::ed25519();
  int count = 0;
};

TEST_F(IdentifySigned, a_stolen_key_alone_is_worth_nothing) {
  const auto key = make_key(signing_key());
  EXPECT_FALSE(refusal(asked(request_by(key))));
  const auto error = refusal(asked(request_by(key), {}));
  ASSERT_TRUE(error);
  EXPECT_EQ(error->fault, Fault::invalid_signature);
  EXPECT_EQ(error->param, "signature-input");
  EXPECT_EQ(fault_of(Asked().field("X-API-Key", key)), Fault::invalid_signature);
}

TEST_F(IdentifySigned, a_request_is_good_once) {
  const auto key = make_key(signing_key(false));
  const auto once = asked(request_by(key));
  EXPECT_FALSE(refusal(once));
  EXPECT_EQ(refusal(once)->param, "nonce");
  EXPECT_FALSE(refusal(asked(request_by(key), {}))) << "it need not be signed";
}

TEST_F(IdentifySigned, the_field_that_bore_the_key_must_be_covered) {
  auto what = request_by(make_key(signing_key()));
  what.key_field = "x-api-key";
  what.key_value = what.key_value.substr(7);
  EXPECT_FALSE(refusal(asked(what)));
  what.left_out = "x-api-key";
  what.nonce = "other";
  EXPECT_EQ(refusal(asked(what))->param, "x-api-key");
}

TEST_F(IdentifySigned, a_token_of_such_a_key_is_signed_like_the_key) {
  make_key(signing_key());
  const auto token = tokens
                         ->issue({.subject = "acct_x",
                                  .key_id = keys->list().back()->id,
                                  .scopes = identity::Scopes::all(),
                                  .lifetime = seconds(600)},
                                 clock.wall())
                         ->token;
  EXPECT_FALSE(refusal(asked(request_by(token))));
  EXPECT_EQ(fault_of(asked(request_by(token), {})), Fault::invalid_signature);
  const auto other_bearer = turnpike::test::signed_fields(signer, request_by("eyJ"));
  EXPECT_EQ(fault_of(asked(request_by(token), other_bearer)), Fault::invalid_signature);
}

TEST_F(IdentifySigned, a_key_is_asked_for_its_signature_before_its_scopes) {
  auto wanted = signing_key();
  wanted.scopes = identity::Scopes::parse("usage:read").value();
  const auto key = make_key(wanted);
  EXPECT_EQ(fault_of(asked(request_by(key), {})), Fault::invalid_signature);
  EXPECT_EQ(fault_of(asked(request_by(key))), Fault::insufficient_scope);
}

TEST_F(IdentifySigned, a_wrong_digest_is_a_400_for_every_key) {
  const auto key = make_key();
  const auto what = request_by(key);
  EXPECT_FALSE(refusal(asked(what, {{"Content-Digest", turnpike::test::content_digest("{}")}})));
  const auto error = refusal(asked(what, {{"Content-Digest", turnpike::test::content_digest("{ }")}}));
  ASSERT_TRUE(error);
  EXPECT_EQ(error->fault, Fault::invalid_request);
  EXPECT_EQ(error->param, "content-digest");
}

// ---- strangers ----

using Strangers = GuardTest;

TEST_F(Strangers, who_shows_no_good_key_is_counted_and_who_does_is_not) {
  strangers = limits::AddressLimiter(3, 100);
  const auto key = make_key();
  const auto from = [](const std::string& presented) {
    Asked asked;
    asked.peer("192.0.2.1");
    if (!presented.empty()) asked.key(presented);
    return asked;
  };
  const auto fault = [&](const Asked& asked) {
    const auto caller = guard->identify(asked.request(), identity::Scope::chat_write);
    return caller ? std::optional<Fault>() : caller.error().fault;
  };
  for (int i = 0; i < 5; ++i) EXPECT_EQ(fault(from(key)), std::nullopt);
  EXPECT_EQ(fault(from("dkn_live_nobody")), Fault::invalid_api_key);
  EXPECT_EQ(fault(from("")), Fault::invalid_api_key);
  EXPECT_TRUE(guard->admit_stranger(from("").request()));
  const auto refused = guard->identify(from("dkn_live_nobody").request(), identity::Scope::chat_write);
  EXPECT_EQ(refused.error().fault, Fault::rate_limit_exceeded);
  EXPECT_EQ(refused.error().retry_after, seconds(20));
  EXPECT_FALSE(guard->admit_stranger(from("").request()));
  EXPECT_EQ(fault(from(key)), std::nullopt) << "who has a key is served";
  EXPECT_TRUE(guard->admit_stranger(Asked().peer("192.0.2.2").request()));
  clock.advance(seconds(20));
  EXPECT_TRUE(guard->admit_stranger(from("").request()));
}

// ---- how much ----

using Admit = GuardTest;

TEST_F(Admit, a_tier_is_a_number_of_requests_a_minute) {
  const auto [admitted, error] = admit_all("free");
  EXPECT_EQ(admitted, 2);
  EXPECT_EQ(error.fault, Fault::rate_limit_exceeded);
  EXPECT_EQ(error.retry_after, seconds(30));
  EXPECT_FALSE(error.message.empty());
}

TEST_F(Admit, the_wait_is_rounded_up_to_whole_seconds_and_never_none) {
  EXPECT_EQ(admit_all("seven").second.retry_after, seconds(9));  // 60 s / 7 = 8.57 s
  account = account_with(0);
  EXPECT_EQ(admit_all("thousand").second.retry_after, seconds(1));
}

TEST_F(Admit, whoever_waits_as_long_as_told_is_let_in) {
  const auto [admitted, error] = admit_all("seven");
  clock.advance(*error.retry_after);
  auto caller = caller_with("seven");
  EXPECT_TRUE(guard->admit(caller));
}

TEST_F(Admit, all_keys_of_an_account_share_its_limit) {
  auto one = caller_with("free");
  auto other = caller_with("free");
  EXPECT_TRUE(guard->admit(one));
  EXPECT_TRUE(guard->admit(other));
  EXPECT_FALSE(guard->admit(one));
}

TEST_F(Admit, a_request_counts_among_those_at_once_as_long_as_its_caller_lives) {
  {
    auto first = caller_with("one-at-once");
    EXPECT_TRUE(guard->admit(first));
    auto second = caller_with("one-at-once");
    EXPECT_FALSE(guard->admit(second));
  }
  auto third = caller_with("one-at-once");
  EXPECT_TRUE(guard->admit(third));
}

TEST_F(Admit, a_tier_that_a_reload_took_away_limits_nobody) {
  tiers.erase("free");
  EXPECT_EQ(admit_all("free").first, 10'000);
}

TEST_F(Admit, a_tier_that_a_reload_changed_counts_from_the_next_request) {
  auto caller = caller_with("free");
  EXPECT_TRUE(guard->admit(caller));
  tiers["free"].requests_per_minute = 1;
  EXPECT_FALSE(guard->admit(caller));
}

TEST_F(Admit, what_is_set_for_an_account_goes_over_its_keys_tier) {
  ASSERT_TRUE(loop.run(overrides->set(account, {.tier = std::nullopt, .limits = {.requests_per_minute = 5}})));
  EXPECT_EQ(admit_all("free").first, 5);
  account = account_with(0);
  ASSERT_TRUE(loop.run(overrides->set(account, {.tier = "free", .limits = {}})));
  EXPECT_EQ(admit_all("metered").first, 2);
  account = account_with(0);
  ASSERT_TRUE(loop.run(overrides->set(account, {.tier = "gone", .limits = {.requests_per_minute = 3}})));
  EXPECT_EQ(admit_all("free").first, 3);
  account = account_with(0);
  ASSERT_TRUE(loop.run(overrides->set(account, {.tier = std::nullopt, .limits = {.requests_per_minute = 0}})));
  EXPECT_EQ(admit_all("free").first, 10'000);
}

TEST_F(Admit, how_long_it_takes_is_told_as_openai_does) {
  const auto told = [](std::chrono::milliseconds time) {
    return Guard::limit_fields({.limit = 1, .reset = time}).at(2).second;
  };
  using std::chrono::milliseconds;
  EXPECT_EQ(told(milliseconds(0)), "0s");
  EXPECT_EQ(told(milliseconds(20)), "20ms");
  EXPECT_EQ(told(milliseconds(1'000)), "1s");
  EXPECT_EQ(told(milliseconds(8'640)), "8.64s");
  EXPECT_EQ(told(milliseconds(1'005)), "1.005s");
  EXPECT_EQ(told(milliseconds(360'000)), "6m0s");
  EXPECT_EQ(told(milliseconds(66'400)), "1m6.4s");
  EXPECT_EQ(told(milliseconds(3'600'000)), "1h0m0s");
  EXPECT_EQ(told(milliseconds(86'399'999)), "23h59m59.999s");
}

TEST_F(Admit, the_limit_fields_say_what_is_left) {
  auto caller = caller_with("free");
  ASSERT_TRUE(guard->admit(caller));
  using Fields = std::vector<std::pair<std::string, std::string>>;
  EXPECT_EQ(Guard::limit_fields(caller.admission.requests()), (Fields{{"x-ratelimit-limit-requests", "2"},
                                                                      {"x-ratelimit-remaining-requests", "1"},
                                                                      {"x-ratelimit-reset-requests", "30s"}}));
  ASSERT_TRUE(guard->admit(caller));
  ASSERT_FALSE(guard->admit(caller));
  EXPECT_EQ(Guard::limit_fields(caller.admission.requests()).at(1).second, "0");
}

TEST_F(Admit, the_lines_of_a_head_are_the_same_fields) {
  auto caller = caller_with("seven");
  ASSERT_TRUE(guard->admit(caller));
  std::string fields;
  for (const auto& [name, value] : Guard::limit_fields(caller.admission.requests()))
    fields.append(name).append(": ").append(value).append("\r\n");
  std::string head = "before\r\n";
  Guard::append_limit_lines(head, caller.admission);
  EXPECT_EQ(head, "before\r\n" + fields);
  EXPECT_FALSE(fields.empty());
}

TEST_F(Admit, without_a_limit_there_are_no_fields) {
  auto caller = caller_with("metered");
  ASSERT_TRUE(guard->admit(caller));
  EXPECT_TRUE(Guard::limit_fields(caller.admission.requests()).empty());
  std::string head;
  Guard::append_limit_lines(head, caller.admission);
  EXPECT_EQ(head, "");
}

// ---- how a refusal is told ----

using Refuse = GuardTest;

constexpr auto kJson = "application/json";

TEST_F(Refuse, the_prefix_of_a_key_that_is_none_still_says_the_dialect) {
  const Error poor{.fault = Fault::insufficient_credits, .message = "too dear"};
  const auto one_adn = guard->refuse(&Asked().key("sk_live_x").request(), poor);
  EXPECT_EQ(one_adn.status, 403);
  EXPECT_EQ(json_of(one_adn)["error"]["code"], "insufficient_quota");
  const auto drm3 = guard->refuse(&Asked().field("X-API-Key", "inf_x").request(), poor);
  EXPECT_EQ(drm3.status, 402);
  EXPECT_EQ(json_of(drm3)["error"]["code"], "insufficient_credits");
}

TEST_F(Refuse, without_a_key_it_is_the_default_dialects_form) {
  const Error error{.fault = Fault::not_found, .message = "no such thing"};
  const auto plain = guard->refuse(&Asked().request(), error);
  EXPECT_EQ(plain.content_type, "text/plain; charset=utf-8");
  EXPECT_EQ(plain.body, "no such thing\n");
  const auto named = guard->refuse(&Asked().field("Accept", "text/html, application/json;q=0.9").request(), error);
  EXPECT_EQ(named.content_type, kJson);
  EXPECT_EQ(json_of(named)["error"]["message"], "no such thing");
  EXPECT_EQ(guard->refuse(&Asked().field("Accept", "*/*").request(), error).content_type, plain.content_type);
}

TEST_F(Refuse, bytes_that_are_no_request_are_answered_too) {
  const auto response = guard->refuse(nullptr, {.fault = Fault::headers_too_large, .message = "the head is too large"});
  EXPECT_EQ(response.status, 431);
  EXPECT_EQ(response.body, "the head is too large\n");
}

TEST_F(Refuse, a_401_names_the_scheme_and_nothing_else_does) {
  const auto of = [&](Fault fault) {
    return header_of(guard->refuse(nullptr, {.fault = fault, .message = "no"}), "WWW-Authenticate");
  };
  EXPECT_EQ(of(Fault::invalid_api_key), "Bearer");
  EXPECT_EQ(of(Fault::invalid_signature), "Bearer");
  EXPECT_EQ(of(Fault::insufficient_scope), "none");
  EXPECT_EQ(of(Fault::rate_limit_exceeded), "none");
}

TEST_F(Refuse, what_passes_says_when_to_come_back) {
  const Error limited{.fault = Fault::rate_limit_exceeded, .message = "slow down", .retry_after = seconds(9)};
  const auto response = guard->refuse(nullptr, limited);
  EXPECT_EQ(response.status, 429);
  EXPECT_EQ(header_of(response, "Retry-After"), "9");
  EXPECT_EQ(header_of(guard->refuse(nullptr, {.fault = Fault::not_found, .message = "no"}), "Retry-After"), "none");
}

}  // namespace
}  // namespace turnpike::api
