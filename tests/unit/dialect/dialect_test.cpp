#include "turnpike/dialect/dialect.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "common/temp_folder.hpp"
#include "turnpike/dialect/error_body.hpp"

namespace turnpike::dialect {
namespace {

const Dialects& built_in() {
  static const Dialects dialects = Dialects::load("", "dria").value();
  return dialects;
}
const Dialect& named(std::string_view id) {
  return *built_in().by_id(id);
}

std::string id_of(const Dialect& dialect, WallTime now) {
  IdSource ids;
  std::string id;
  append_id(dialect, ids, now, id);
  return id;
}

TEST(Dialects, a_key_names_its_dialect) {
  EXPECT_EQ(built_in().by_key_prefix("dkn_live_abc").id, "dria");
  EXPECT_EQ(built_in().by_key_prefix("inf_abc").id, "drm3");
  EXPECT_EQ(built_in().by_key_prefix("sk_live_abc").id, "one-adn");
  EXPECT_EQ(built_in().by_key_prefix("sk_test_abc").id, "one-adn");
  EXPECT_EQ(built_in().by_key_prefix("dcntrl_live_abc").id, "decentral");
  EXPECT_EQ(built_in().by_key_prefix("sk-openai").id, "dria");
  EXPECT_EQ(built_in().by_key_prefix("").id, "dria");
  EXPECT_EQ(built_in().by_id("none"), nullptr);
}

TEST(Dialects, say_what_the_contract_says) {
  EXPECT_EQ(named("dria").default_max_tokens, 2048U);
  ASSERT_EQ(named("dria").request_defaults.size(), 2U);
  EXPECT_EQ(named("dria").request_defaults[0].member, "temperature");
  EXPECT_EQ(named("dria").request_defaults[0].json, "0.7");
  EXPECT_EQ(named("one-adn").request_defaults[0].json, "1");
  EXPECT_EQ(named("dria").default_tier, "metered");
  EXPECT_EQ(named("decentral").default_tier, "metered");
  EXPECT_EQ(named("drm3").default_tier, "queue");
  EXPECT_EQ(named("one-adn").default_tier, "free");
  EXPECT_EQ(named("decentral").header_prefix, "x-decentral-");
  EXPECT_EQ(named("drm3").header_prefix, "x-turnpike-");
}

TEST(Dialects, ids_have_their_form_and_sort_by_time) {
  const WallTime now{std::chrono::seconds(1'700'000'000)};
  EXPECT_EQ(id_of(named("dria"), now).size(), 4U + 24U);
  EXPECT_TRUE(id_of(named("one-adn"), now).starts_with("chatcmpl-"));
  EXPECT_TRUE(id_of(named("decentral"), now).starts_with("job_"));
  const std::string uuid = id_of(named("drm3"), now);
  ASSERT_EQ(uuid.size(), 36U);
  EXPECT_EQ(uuid.substr(0, 15), "018bcfe5-6800-7");  // 1'700'000'000'000 is 0x018bcfe56800
  EXPECT_NE(std::string("89ab").find(uuid[19]), std::string::npos);
  for (const Dialect& dialect : built_in().all()) {
    EXPECT_LT(id_of(dialect, now), id_of(dialect, now + std::chrono::milliseconds(1)));
    EXPECT_NE(id_of(dialect, now), id_of(dialect, now));
  }
}

class DialectFiles : public testing::Test {
 protected:
  std::vector<std::string> faults_of(const std::string& text) {
    std::ofstream(folder.file("x.json")) << text;
    const auto loaded = Dialects::load(folder.path().string(), "x");
    return loaded ? std::vector<std::string>() : loaded.error();
  }
  turnpike::test::TempFolder folder;
};

TEST_F(DialectFiles, a_folder_replaces_the_built_in_ones) {
  EXPECT_TRUE(faults_of(R"({"id":"x","key_prefixes":["x_"],"header_prefix":"x-x-","default_tier":"free"} // a comment)")
                  .empty());
}

TEST_F(DialectFiles, every_fault_is_told_at_once_with_its_place) {
  const auto faults = faults_of(R"({"id":"x","key_prefixes":[],"header_prefix":5,"default_tier":"free","colour":1,
    "answer_id":{"form":"roman"},"request_defaults":{"max_tokens":-1,"n":2},"errors":{"insufficient_credits":{"status":200}}})");
  const std::string file = folder.file("x.json") + ": ";
  for (const std::string fault :
       {"/key_prefixes: expected an array of strings, at least one, got []", "/header_prefix: expected a string, got 5",
        "/colour: unknown member", "/answer_id/form: expected \"base62\" or \"uuid\", got \"roman\"",
        "/request_defaults/max_tokens: expected a whole number, got -1", "/request_defaults/n: unknown member",
        "/errors/insufficient_credits/status: expected a status from 400 to 499, got 200"}) {
    EXPECT_NE(std::ranges::find(faults, file + fault), faults.end()) << fault;
  }
  EXPECT_EQ(faults.size(), 7U);
}

TEST_F(DialectFiles, prefixes_that_begin_each_other_are_a_fault) {
  std::ofstream(folder.file("y.json"))
      << R"({"id":"y","key_prefixes":["x_y_"],"header_prefix":"y-","default_tier":"t"})";
  EXPECT_EQ(faults_of(R"({"id":"x","key_prefixes":["x_"],"header_prefix":"x-","default_tier":"t"})").size(), 1U);
}

TEST_F(DialectFiles, an_unknown_default_and_broken_json_are_faults) {
  EXPECT_FALSE(Dialects::load("", "latin"));
  EXPECT_EQ(faults_of("{").size(), 1U);
}

nlohmann::json json_of(const Dialect& dialect, const Error& error) {
  return nlohmann::json::parse(render_error(dialect, error, true).body);
}

TEST(ErrorBody, has_the_form_of_the_contract) {
  const Error error{.fault = Fault::model_not_found, .message = "There is no model \"x\".", .param = "model"};
  const ErrorBody body = render_error(named("one-adn"), error, false);
  EXPECT_EQ(body.status, 404);
  EXPECT_EQ(body.content_type, "application/json");
  EXPECT_EQ(
      body.body,
      R"({"error":{"message":"There is no model \"x\".","type":"invalid_request_error","code":"model_not_found","param":"model"}})");
  EXPECT_FALSE(body.retry_after);
}

TEST(ErrorBody, credits_are_refused_as_the_dialect_does) {
  const Error error{.fault = Fault::insufficient_credits, .message = "no"};
  EXPECT_EQ(render_error(named("dria"), error, true).status, 402);
  EXPECT_EQ(json_of(named("dria"), error)["error"]["type"], "payment_error");
  EXPECT_EQ(render_error(named("one-adn"), error, true).status, 403);
  EXPECT_EQ(json_of(named("one-adn"), error)["error"]["code"], "insufficient_quota");
}

TEST(ErrorBody, dria_answers_in_plain_text_unless_json_is_accepted_by_name) {
  const Error error{.fault = Fault::invalid_request, .message = "messages is missing"};
  EXPECT_EQ(render_error(named("dria"), error, false).content_type, "text/plain; charset=utf-8");
  EXPECT_EQ(render_error(named("dria"), error, false).body, "messages is missing\n");
  EXPECT_EQ(render_error(named("dria"), error, true).content_type, "application/json");
}

TEST(ErrorBody, a_fault_that_passes_says_when_to_come_back) {
  const Error busy{.fault = Fault::service_unavailable, .message = "no node", .retry_after = std::chrono::seconds(7)};
  EXPECT_EQ(render_error(named("drm3"), busy, true).retry_after, "7");
  EXPECT_EQ(json_of(named("drm3"), busy)["error"]["retry_after"], 7);
  const Error limited{.fault = Fault::rate_limit_exceeded, .message = "slow down"};
  EXPECT_EQ(render_error(named("drm3"), limited, true).retry_after, "1");
}

TEST(ErrorBody, a_message_that_is_no_utf8_is_still_json) {
  const Error error{.fault = Fault::invalid_request, .message = std::string("bad \xff\"\n\0byte", 12)};
  EXPECT_EQ(json_of(named("drm3"), error)["error"]["message"], std::string("bad \xEF\xBF\xBD\"\n\0byte", 14));
}

TEST(ErrorBody, a_message_that_is_no_utf8_is_still_text) {
  const Error error{.fault = Fault::not_found, .message = "no such path: /\xc3\xa9\xff\"\\"};
  EXPECT_EQ(render_error(named("dria"), error, false).body, "no such path: /\xc3\xa9\xef\xbf\xbd\"\\\n");
}

TEST(JsonString, is_well_formed_whatever_it_is_made_of) {
  for (const std::string_view text : {"", "m-1", "caf\xc3\xa9", "\xff", "\xc3", "a\"b\\", "\x1f\x7f"}) {
    std::string out = "before ";
    append_json_string(out, text);
    ASSERT_TRUE(out.starts_with("before "));
    const auto read = nlohmann::json::parse(out.substr(7), nullptr, false);
    ASSERT_TRUE(read.is_string()) << out;
    if (text != "\xff" && text != "\xc3") {
      EXPECT_EQ(read.get<std::string>(), text);
    }
  }
}

TEST(ErrorBody, an_event_is_one_line_and_an_empty_one) {
  const std::string event = error_event(named("dria"), {.fault = Fault::node_error, .message = "two\nlines"});
  EXPECT_TRUE(event.starts_with("data: {\"error\":{"));
  EXPECT_TRUE(event.ends_with("}}\n\n"));
  EXPECT_EQ(std::ranges::count(event, '\n'), 2);
}

TEST(ErrorBody, every_fault_has_a_status_of_its_table) {
  const auto status = [](Fault fault) { return kind_of(named("drm3"), fault).status; };
  EXPECT_EQ(status(Fault::invalid_api_key), 401);
  EXPECT_EQ(status(Fault::insufficient_scope), 403);
  EXPECT_EQ(status(Fault::method_not_allowed), 405);
  EXPECT_EQ(status(Fault::request_timeout), 408);
  EXPECT_EQ(status(Fault::conflict), 409);
  EXPECT_EQ(status(Fault::request_too_large), 413);
  EXPECT_EQ(status(Fault::unsupported_media_type), 415);
  EXPECT_EQ(status(Fault::idempotency_mismatch), 422);
  EXPECT_EQ(status(Fault::rate_limit_exceeded), 429);
  EXPECT_EQ(status(Fault::headers_too_large), 431);
  EXPECT_EQ(status(Fault::internal_error), 500);
  EXPECT_EQ(status(Fault::node_error), 502);
  EXPECT_EQ(status(Fault::unfit_answer), 502);
  EXPECT_EQ(status(Fault::node_timeout), 504);
}

}  // namespace
}  // namespace turnpike::dialect
