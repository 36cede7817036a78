// An operator's dialects, tiers, keys and accounts, and requests as a session hands them on.
#pragma once

#include <gtest/gtest.h>

#include <boost/beast/http/field.hpp>
#include <deque>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "common/loop.hpp"
#include "common/temp_folder.hpp"
#include "turnpike/api/guard.hpp"
#include "turnpike/storage/sqlite.hpp"

namespace turnpike::api::test {

// A request with the texts that its views are into.
class Asked {
 public:
  Asked& field(std::string_view name, std::string value) {
    const auto id = boost::beast::http::string_to_field({name.data(), name.size()});
    request_.fields.add({id, keep(std::string(name)), keep(std::move(value))});
    return *this;
  }
  Asked& key(const std::string& api_key) { return field("Authorization", "Bearer " + api_key); }
  Asked& line(std::string method, std::string target) {
    request_.method = keep(std::move(method));
    request_.target = keep(std::move(target));
    return *this;
  }
  Asked& peer(std::string address) {
    request_.peer = keep(std::move(address));
    return *this;
  }
  Asked& query(std::string text) {
    request_.query = keep(std::move(text));
    return *this;
  }
  Asked& parameter(std::string value) {
    request_.parameters.push_back(std::move(value));
    return *this;
  }
  Asked& body(std::string text) {
    request_.body = keep(std::move(text));
    return *this;
  }
  [[nodiscard]] const http::Request& request() const { return request_; }

 private:
  std::string_view keep(std::string text) { return texts_.emplace_back(std::move(text)); }
  std::deque<std::string> texts_;
  http::Request request_;
};

class ApiTest : public testing::Test {
 protected:
  void SetUp() override {
    auto opened = storage::open_sqlite(loop.executor(), {.file = folder.file("turnpike.db")});
    ASSERT_TRUE(opened) << opened.error().message;
    database = std::move(*opened);
    ledger = ledger::Ledger::open(*database, clock, {}).value();
    keys = identity::KeyRing::open(*database, clock, rules).value();
    tokens.emplace(identity::AccessTokens::open(
                       {.key_file = folder.file("token.key"), .issuer = "https://gate.example", .remembered = 4})
                       .value());
    signatures = identity::RequestSignatures::open(*database, clock, signature_terms).value();
    overrides = limits::AccountLimits::open(*database).value();
    guard = std::make_unique<Guard>(
        dialects, *keys, *tokens, *signatures,
        Limiting{.accounts = limiter, .tiers = tiers, .overrides = *overrides, .strangers = strangers}, clock);
    account = account_with(0);
  }
  void TearDown() override {
    guard = nullptr;
    signatures = nullptr;
    tokens.reset();
    keys = nullptr;
    ledger = nullptr;
    database = nullptr;
  }

  ledger::AccountId account_with(std::int64_t nanousd) {
    const auto made = loop.run(ledger->create_account("test")).value().id;
    if (nanousd > 0) EXPECT_TRUE(loop.run(ledger->grant(made, ledger::Money::nanousd(nanousd), "for a test")));
    return made;
  }
  // A key of `account`. Members that are not set are those of a dria key of the tier "metered".
  std::string make_key(identity::NewKey wanted = {}) {
    wanted.account_id = account;
    if (wanted.dialect.empty()) wanted.dialect = "dria";
    if (wanted.tier.empty()) wanted.tier = "metered";
    wanted.prefix = dialects.by_id(wanted.dialect) != nullptr
                        ? std::string_view(dialects.by_id(wanted.dialect)->key_prefixes.front())
                        : "gone_";
    return loop.run(keys->create(wanted)).value().api_key;
  }
  static identity::NewKey with_scopes(const char* scopes) {
    return {.scopes = identity::Scopes::parse(scopes).value()};
  }
  static nlohmann::json json_of(const http::Response& response) {
    return nlohmann::json::parse(response.body, nullptr, false);
  }
  static std::string header_of(const http::Response& response, std::string_view name) {
    for (const auto& [each, value] : response.headers) {
      if (each == name) return value;
    }
    return "none";
  }

  turnpike::test::TempFolder folder;
  turnpike::test::Loop loop;
  HeldClock clock;
  std::unique_ptr<storage::Database> database;
  std::unique_ptr<ledger::Ledger> ledger;
  identity::KeyRules rules{.max_keys = 100, .max_per_account = 10, .rotation_grace = std::chrono::hours(1)};
  std::unique_ptr<identity::KeyRing> keys;
  std::optional<identity::AccessTokens> tokens;
  identity::SignatureTerms signature_terms{.public_url = "https://gate.example",
                                           .scheme = "http",
                                           .window = std::chrono::seconds(300),
                                           .max_nonces = 100,
                                           .max_nonces_per_key = 10};
  std::unique_ptr<identity::RequestSignatures> signatures;
  dialect::Dialects dialects = dialect::Dialects::load("", "dria").value();
  limits::RateLimiter limiter{100};
  limits::AddressLimiter strangers{1'000, 100};
  std::unique_ptr<limits::AccountLimits> overrides;
  Tiers tiers{{"metered", {}},
              {"queue", {}},
              {"free", {.requests_per_minute = 2, .concurrent_requests = std::nullopt}},
              {"one-at-once", {.requests_per_minute = std::nullopt, .concurrent_requests = 1}},
              {"seven", {.requests_per_minute = 7, .concurrent_requests = std::nullopt}},
              {"thousand", {.requests_per_minute = 1'000, .concurrent_requests = std::nullopt}}};
  std::unique_ptr<Guard> guard;
  ledger::AccountId account = 0;
};

}  // namespace turnpike::api::test
