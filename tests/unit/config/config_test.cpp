#include "turnpike/config/config.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "common/temp_folder.hpp"

namespace turnpike::config {
namespace {

Faults faults_of(std::string_view text) {
  const auto config = parse(text, "f.json");
  return config ? Faults() : config.error();
}

std::string read_file(const std::string& path) {
  std::ifstream stream(path);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

const std::string kSource = TURNPIKE_SOURCE_DIR;

TEST(Config, an_empty_file_gives_the_defaults) {
  const Config config = parse("{}", "f.json").value();
  EXPECT_EQ(config.listen, (Listen{.address = "127.0.0.1", .port = 7545}));
  EXPECT_EQ(config.admin_listen.port, 7546);
  EXPECT_FALSE(config.tls);
  EXPECT_EQ(config.data_dir, "./data");
  EXPECT_EQ(config.drain_timeout, std::chrono::seconds(30));
  EXPECT_EQ(config.http.max_body_bytes, 20U << 20U);
  EXPECT_EQ(config.http.cors_allowed_origins, std::vector<std::string>{"*"});
  EXPECT_EQ(config.relay.default_timeout, std::chrono::seconds(120));
  EXPECT_TRUE(config.relay.continuation);
  EXPECT_FALSE(config.relay.default_max_tokens);
  EXPECT_EQ(config.scheduler.queue_limit, 1024U);
  EXPECT_EQ(config.ledger.hold_journal_delay, Milliseconds(1000));
  EXPECT_EQ(config.log.level, "info");
  EXPECT_FALSE(config.payments);
  EXPECT_EQ(config.channels, (std::vector<std::string>{"general", "requests"}));
  ASSERT_EQ(config.tiers.size(), 5U);
  EXPECT_EQ(config.tiers[0].requests_per_minute, 10U);
  EXPECT_FALSE(config.tiers[4].requests_per_minute);
  EXPECT_EQ(config, load("").value());
}

TEST(Config, the_example_is_without_fault) {
  const auto config = load(kSource + "/config/turnpike.json");
  ASSERT_TRUE(config) << config.error().front();
  EXPECT_EQ(config->models[0].pricing.completion_per_million_nanousd, 2'000'000'000);
  EXPECT_EQ(config->nodes[0].engine, Engine::llama_cpp);
}

TEST(Config, the_reference_and_the_schema_are_what_the_table_prints) {
  EXPECT_EQ(read_file(kSource + "/docs/configuration.md"), documentation()) << "run: turnpike config docs";
  EXPECT_EQ(read_file(kSource + "/config/turnpike.schema.json"), json_schema()) << "run: turnpike config schema";
}

TEST(Config, every_fault_is_told_at_once_a_line_each) {
  const Faults faults = faults_of(R"({
    "listen": "nowhere", "colour": 1, "http": {"max_conections": 5, "max_head_bytes": "big", "idle_timeout_ms": 0},
    "storage": {"durability": "hope"}, "log": 3,
    "models": [{"id": "m 1", "pricing": {"prompt_per_million_usd": 1.5, "per_request_usd": "-1"}, "capabilities": ["chat", "juggling"]}, 7],
    "nodes": [{"id": "n", "url": "ftp://x", "models": "m"}], "tiers": {"a/b": {"requests_per_minute": -1}}
  })");
  const auto told = [&](std::string_view line) {
    return std::ranges::any_of(
        faults, [&](const std::string& fault) { return fault.starts_with("f.json: " + std::string(line)); });
  };
  EXPECT_TRUE(told(R"(/listen: expected an address and a port, as "127.0.0.1:7545", got "nowhere")"));
  EXPECT_TRUE(told("/colour: expected one of the members $schema, listen, "));
  EXPECT_TRUE(told("/http/max_conections: expected one of the members "));
  EXPECT_TRUE(told(R"(/http/max_head_bytes: expected a whole number from 1024 to 1048576, got "big")"));
  EXPECT_TRUE(told("/http/idle_timeout_ms: expected a whole number from 1 to 86400000, got 0"));
  EXPECT_TRUE(told(R"(/storage/durability: expected "process" or "power", got "hope")"));
  EXPECT_TRUE(told("/log: expected an object, got 3"));
  EXPECT_TRUE(told("/models/0/id: expected a name of 1 to 128 letters"));
  EXPECT_TRUE(told("/models/0/context_window: expected a whole number from 1 to 1099511627776, got nothing"));
  EXPECT_TRUE(told("/models/0/pricing/prompt_per_million_usd: expected dollars as a decimal string"));
  EXPECT_TRUE(told("/models/0/pricing/per_request_usd: expected dollars as a decimal string"));
  EXPECT_TRUE(told("/models/0/capabilities: expected an array of "));
  EXPECT_TRUE(told("/models/1: expected an object, got 7"));
  EXPECT_TRUE(told(R"(/nodes/0/url: expected a URL as http://host/path or https://host:port/path, got "ftp://x")"));
  EXPECT_TRUE(told(R"(/nodes/0/models: expected an array of strings, got "m")"));
  EXPECT_TRUE(told("/tiers/a~1b/requests_per_minute: expected a whole number"));
  EXPECT_EQ(faults.size(), 16U);
}

TEST(Config, a_url_has_a_host_and_a_port_that_can_be_connected_to) {
  const auto faults = [](std::string_view url) {
    return faults_of(nlohmann::json{{"network", {{"public_url", url}}}}.dump());
  };
  for (const char* good : {"http://x", "https://node.example/v1", "http://127.0.0.1:65535", "http://[::1]:8080/v1"}) {
    EXPECT_EQ(faults(good), Faults()) << good;
  }
  for (const char* bad : {"", "x", "http:", "http://", "http:///v1", "http://:80", "http://x:", "http://x:0",
                          "http://x:65536", "http://x:99999999999", "http://x:y", "http://[::1", "http://a b",
                          "http://x/<", "ftp://x", "http://user:word@x", "http://x/?q", "http://x/#f", "http://x\n"}) {
    const auto found = faults(bad);
    ASSERT_EQ(found.size(), 1U) << bad;
    EXPECT_TRUE(found[0].starts_with("f.json: /network/public_url: expected a URL as http://host/path or "))
        << found[0];
  }
}

// A file with these nodes, as JSON without the members that each must have.
std::string with_nodes(std::string_view before, const std::vector<std::string>& nodes) {
  std::string text = "{" + std::string(before) + R"("models": [{"id": "a", "context_window": 1}], "nodes": [)";
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    text += (i > 0 ? "," : "") + (R"({"id": "n)" + std::to_string(i)) + R"(", "url": "http://x", "models": ["a"])";
    text += (nodes[i].empty() ? "" : ", ") + nodes[i] + "}";
  }
  return text + "]}";
}

TEST(Config, an_owners_share_is_its_nodes_own_or_that_of_all_and_read_exactly) {
  const auto config = parse(with_nodes(R"("payout_share": "0.8", )",
                                       {R"("owner": "acct_1")", R"("owner": "acct_2", "payout_share": "0.333333")",
                                        R"("owner": "acct_3", "payout_share": "0")", ""}),
                            "f.json");
  ASSERT_TRUE(config) << config.error().front();
  EXPECT_EQ(config->nodes[0].owner, "acct_1");
  EXPECT_EQ(config->nodes[0].payout_share_millionths, 800'000U);
  EXPECT_EQ(config->nodes[1].payout_share_millionths, 333'333U);
  EXPECT_EQ(config->nodes[2].payout_share_millionths, 0U);
  EXPECT_EQ(config->nodes[3].owner, "");
  EXPECT_EQ(config->nodes[3].payout_share_millionths, 0U);
  EXPECT_EQ(
      parse(with_nodes("", {R"("owner": "acct_1", "payout_share": "1")"}), "f.json")->nodes[0].payout_share_millionths,
      1'000'000U);
}

TEST(Config, a_share_is_a_decimal_string_from_0_to_1) {
  for (const auto* share : {R"("1.000001")", R"("-0.1")", R"("0.1234567")", R"("")", R"("half")", R"("80%")", "0.8",
                            "1", R"("2")", "true"}) {
    const auto faults = faults_of(with_nodes(R"("payout_share": )" + std::string(share) + ", ", {}));
    ASSERT_EQ(faults.size(), 1U) << share;
    EXPECT_TRUE(faults[0].starts_with(R"(f.json: /payout_share: expected a share from "0" to "1")")) << faults[0];
  }
}

TEST(Config, a_node_with_an_owner_and_no_share_is_a_fault) {
  EXPECT_EQ(faults_of(with_nodes("", {"", R"("owner": "acct_1")"})),
            Faults{"f.json: /nodes/1/payout_share: expected the share of its owner, here or for all nodes, got none"});
}

TEST(Config, members_that_must_agree_are_checked_together) {
  const Faults faults = faults_of(R"({
    "admin": {"listen": "127.0.0.1:7545"}, "relay": {"default_timeout_secs": 700},
    "models": [{"id": "a", "context_window": 100, "max_output_tokens": 200}, {"id": "a", "context_window": 1, "capabilities": []}],
    "nodes": [{"id": "n", "url": "http://x", "models": ["a", "b"], "model_names": {"c": "d"}, "probe_path": "x"},
              {"id": "n", "url": "http://y/", "models": []}]
  })");
  EXPECT_EQ(faults, (Faults{"f.json: /models/0/max_output_tokens: expected at most the context window of 100, got 200",
                            "f.json: /models/1/id: expected an id of its own, got \"a\" again",
                            "f.json: /models/1/capabilities: expected at least one, got none",
                            "f.json: /nodes/0/models/1: expected the id of one of the models, got \"b\"",
                            "f.json: /nodes/0/model_names/c: expected a model that the node serves, got another",
                            "f.json: /nodes/0/probe_path: expected a path that begins with /, got \"x\"",
                            "f.json: /nodes/1/id: expected an id of its own, got \"n\" again",
                            "f.json: /nodes/1/models: expected at least one model, got none",
                            "f.json: /admin/listen: expected another address than listen, got \"127.0.0.1:7545\"",
                            "f.json: /relay/default_timeout_secs: expected at most relay.max_timeout_secs, got 700"}));
}

TEST(Config, payments_are_read_and_what_must_agree_in_them_is_checked) {
  ASSERT_EQ(::setenv("TURNPIKE_TEST_KEY", "from-env", 1), 0);  // NOLINT(concurrency-mt-unsafe)
  const auto with = [](const std::string& members) {
    return parse(R"({"payments": {"facilitator": "https://f.example/x/", )" + members + "}}", "f.json");
  };
  const std::string address = "0x2222222222222222222222222222222222222222";
  const std::string good = R"("pay_to": ")" + address + R"(", "facilitator_key_env": "TURNPIKE_TEST_KEY",
    "networks": [{"name": "base", "chain_id": 8453, "asset": ")" +
                           address + R"("}], )";
  const auto config = with(good + R"("min_usd": "0.5")");
  ASSERT_TRUE(config) << config.error().front();
  EXPECT_EQ(config->payments->facilitator, "https://f.example/x");
  EXPECT_EQ(config->payments->facilitator_key, "from-env");
  EXPECT_EQ(config->payments->min_nanousd, 500'000'000);
  EXPECT_EQ(config->payments->max_nanousd, 1'000'000'000'000);
  EXPECT_EQ(config->payments->networks.at(0).chain_id, 8453U);
  EXPECT_EQ(config->payments->networks.at(0).asset_name, "USD Coin");
  EXPECT_EQ(config->payments->networks.at(0).rpc_url, "");

  ASSERT_EQ(::setenv("TURNPIKE_TEST_RPC", "https://rpc.example/key/", 1), 0);  // NOLINT(concurrency-mt-unsafe)
  const auto with_rpc = [&](const std::string& members) {
    return with(R"("pay_to": ")" + address + R"(", "networks": [{"name": "base", "chain_id": 1, "asset": ")" + address +
                "\", " + members + "}]");
  };
  EXPECT_EQ(with_rpc(R"("rpc_url": "http://x/")")->payments->networks.at(0).rpc_url, "http://x");
  EXPECT_EQ(with_rpc(R"("rpc_url_env": "TURNPIKE_TEST_RPC")")->payments->networks.at(0).rpc_url,
            "https://rpc.example/key");
  EXPECT_EQ(
      with_rpc(R"("rpc_url": "http://x", "rpc_url_env": "TURNPIKE_TEST_RPC")").error(),
      Faults{"f.json: /payments/networks/0/rpc_url: expected one of rpc_url, rpc_url_env and rpc_url_file, got two"});
  EXPECT_EQ(
      with_rpc(R"("rpc_url_env": "TURNPIKE_TEST_KEY")").error(),
      Faults{"f.json: /payments/networks/0: expected an rpc_url that begins with http:// or https://, got another "
             "secret"});

  const auto network = R"({"name": "base", "chain_id": 8453, "asset": "0x12"})";
  EXPECT_EQ(with(R"("pay_to": "me", "min_usd": "0", "max_usd": "1000001", "max_validity_secs": 60,
    "max_header_bytes": 16384, "ca_file": "/nowhere", "networks": [)" +
                 std::string(network) + ", " + network + "]")
                .error(),
            (Faults{"f.json: /payments/ca_file: expected a file that can be read, got \"/nowhere\"",
                    "f.json: /payments/pay_to: expected an address, as 0x and 40 hex digits, got \"me\"",
                    "f.json: /payments/networks/0/asset: expected an address, as 0x and 40 hex digits, got \"0x12\"",
                    "f.json: /payments/networks/1/asset: expected an address, as 0x and 40 hex digits, got \"0x12\"",
                    "f.json: /payments/networks/1/name: expected a name of its own, got base again",
                    "f.json: /payments/networks/1/chain_id: expected a chain of its own, got 8453 again",
                    "f.json: /payments/min_usd: expected more than zero, got zero",
                    "f.json: /payments/max_usd: expected payments.min_usd to 1000000, got another amount",
                    "f.json: /payments/max_validity_secs: expected at least payments.max_timeout_secs, got 60",
                    "f.json: /payments/max_header_bytes: expected less than http.max_head_bytes, got 16384"}));
  EXPECT_EQ(with(R"("pay_to": ")" + address + R"(", "networks": [])").error(),
            Faults{"f.json: /payments/networks: expected at least one, got none"});
}

TEST(Config, what_is_no_json_says_where) {
  const Faults faults = faults_of("{\n \"listen\": oops }");
  ASSERT_EQ(faults.size(), 1U);
  EXPECT_TRUE(faults[0].starts_with("f.json: /: expected JSON, got parse error at line 2")) << faults[0];
  EXPECT_EQ(faults_of("[]"), Faults{"f.json: /: expected an object, got []"});
  EXPECT_EQ(load("/nowhere/f.json").error(), Faults{"/nowhere/f.json: /: expected a file that can be read, got none"});
}

TEST(Config, prices_are_read_exactly) {
  const Config config = parse(R"({"models": [{"id": "m", "context_window": 1, "pricing": {
    "prompt_per_million_usd": "0.05", "completion_per_million_usd": "0.000000001", "per_request_usd": "3",
    "included_output_tokens": 500, "per_thousand_beyond_usd": "0.01"}}]})",
                              "f.json")
                            .value();
  const Pricing expected{.prompt_per_million_nanousd = 50'000'000,
                         .completion_per_million_nanousd = 1,
                         .per_request_nanousd = 3'000'000'000,
                         .included_output_tokens = 500,
                         .per_thousand_beyond_nanousd = 10'000'000};
  EXPECT_EQ(config.models[0].pricing, expected);
}

TEST(Config, prices_may_be_in_credits_and_follow_demand) {
  const Config config = parse(R"({"models": [{"id": "m", "context_window": 1, "pricing": {
    "prompt_per_million_credits": "5", "completion_per_million_usd": "0.05", "per_request_credits": "0.0000001",
    "per_thousand_beyond_credits": "1.5", "demand": {"most_percent": 250}}}]})",
                              "f.json")
                            .value();
  const Pricing expected{.prompt_per_million_nanousd = 50'000'000,
                         .completion_per_million_nanousd = 50'000'000,
                         .per_request_nanousd = 1,
                         .included_output_tokens = 0,
                         .per_thousand_beyond_nanousd = 15'000'000,
                         .demand = Demand{.least_percent = 100, .most_percent = 250}};
  EXPECT_EQ(config.models[0].pricing, expected);
}

TEST(Config, a_price_of_two_units_or_too_many_decimals_is_a_fault) {
  const Faults faults = faults_of(R"({"models": [{"id": "m", "context_window": 1, "pricing": {
    "prompt_per_million_credits": "5", "prompt_per_million_usd": "0.05", "per_request_credits": "0.00000001",
    "demand": {"least_percent": 200, "most_percent": 150}}}]})");
  ASSERT_EQ(faults.size(), 3U);
  EXPECT_EQ(faults[0], "f.json: /models/0/pricing/prompt_per_million_credits: expected dollars or credits, got both");
  EXPECT_EQ(faults[1],
            "f.json: /models/0/pricing/per_request_credits: expected credits with at most 7 decimals, got "
            "\"0.00000001\"");
  EXPECT_EQ(faults[2], "f.json: /models/0/pricing/demand/most_percent: expected no less than least_percent, got 150");
}

TEST(Config, proxies_are_addresses_and_networks) {
  EXPECT_EQ(parse(R"({"http": {"trusted_proxies": ["10.0.0.0/8", "::1"]}})", "f.json")->http.trusted_proxies,
            (std::vector<std::string>{"10.0.0.0/8", "::1"}));
  EXPECT_EQ(faults_of(R"({"http": {"trusted_proxies": ["10.0.0.1/8"]}})"),
            Faults{"f.json: /http/trusted_proxies: expected an array of IP addresses and networks, as \"10.0.0.0/8\", "
                   "got [\"10.0.0.1/8\"]"});
}

TEST(Config, a_tier_that_is_written_goes_over_the_built_in_one) {
  const Config config = parse(R"({"tiers": {"free": {"requests_per_minute": 3}, "pro": {"tokens_per_minute": null},
    "bench": {"concurrent_requests": 4}}})",
                              "f.json")
                            .value();
  const auto tier = [&](std::string_view name) { return *std::ranges::find(config.tiers, name, &Tier::name); };
  EXPECT_EQ(tier("free"), (Tier{.name = "free", .requests_per_minute = 3, .tokens_per_minute = 10'000}));
  EXPECT_EQ(tier("pro"), (Tier{.name = "pro", .requests_per_minute = 100}));
  EXPECT_EQ(tier("bench"), (Tier{.name = "bench", .concurrent_requests = 4}));
}

TEST(Config, secrets_come_from_the_environment_or_a_file) {
  const turnpike::test::TempFolder folder;
  std::ofstream(folder.file("key")) << "s3cret\n";
  ASSERT_EQ(::setenv("TURNPIKE_TEST_KEY", "from-env", 1), 0);  // NOLINT(concurrency-mt-unsafe)
  const auto with = [](const std::string& members) {
    return parse(
        R"({"models": [{"id": "m", "context_window": 1}], "nodes": [{"id": "n", "url": "http://x/v1/", "models": ["m"], )" +
            members + "}]}",
        "f.json");
  };
  EXPECT_EQ(with(R"("api_key_env": "TURNPIKE_TEST_KEY")")->nodes[0].api_key, "from-env");
  EXPECT_EQ(with(R"("api_key_file": ")" + folder.file("key") + "\"")->nodes[0].api_key, "s3cret");
  EXPECT_EQ(with(R"("pool": "p")")->nodes[0].api_key, "");
  EXPECT_EQ(with(R"("pool": "p")")->nodes[0].url, "http://x/v1");
  EXPECT_EQ(with(R"("api_key_env": "TURNPIKE_TEST_NONE")").error(),
            Faults{"f.json: /nodes/0/api_key_env: expected an environment variable that is set, got none named "
                   "TURNPIKE_TEST_NONE"});
  EXPECT_EQ(with(R"("api_key_file": "/nowhere")").error().size(), 1U);
  EXPECT_EQ(with(R"("api_key_env": "A", "api_key_file": "B")").error().size(), 1U);
}

TEST(Config, an_operator_finds_the_gateway_without_its_secrets) {
  const turnpike::test::TempFolder folder;
  std::ofstream(folder.file("f.json")) << R"({"data_dir": "/d", "admin": {"listen": "127.0.0.1:1"},
    "models": [{"id": "m", "context_window": 1}],
    "nodes": [{"id": "n", "url": "http://x", "models": ["m"], "api_key_env": "TURNPIKE_TEST_NONE"}]})";
  EXPECT_FALSE(load(folder.file("f.json")));
  const auto found = find_gateway(folder.file("f.json"));
  ASSERT_TRUE(found);
  EXPECT_EQ(found->data_dir, "/d");
  EXPECT_EQ(found->admin_listen.port, 1);
  EXPECT_EQ(find_gateway("")->data_dir, "./data");
}

TEST(Config, addresses_have_a_port_and_may_be_of_version_6) {
  EXPECT_EQ(parse_listen("0.0.0.0:0"), (Listen{.address = "0.0.0.0", .port = 0}));
  EXPECT_EQ(parse_listen("[::1]:80"), (Listen{.address = "::1", .port = 80}));
  EXPECT_EQ(parse_listen("localhost:80"), (Listen{.address = "127.0.0.1", .port = 80}));
  EXPECT_EQ(to_string(*parse_listen("[::1]:80")), "[::1]:80");
  for (const char* text : {"", ":80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "::1:80", "example.org:80",
                           "[127.0.0.1]:80", "127.0.0.1:8x"}) {
    EXPECT_FALSE(parse_listen(text)) << text;
  }
}

TEST(Config, a_reload_changes_models_nodes_tiers_and_log_level_and_nothing_else) {
  const Config now = parse("{}", "f.json").value();
  Config next = now;
  next.models.emplace_back();
  next.nodes.emplace_back();
  next.tiers.pop_back();
  next.log.level = "debug";
  EXPECT_EQ(needs_restart(now, next, "f.json"), Faults());
  next.http.max_connections += 1;
  next.listen.port = 1;
  EXPECT_EQ(needs_restart(now, next, "f.json"),
            (Faults{"f.json: /listen: expected no change without a restart, got one",
                    "f.json: /http: expected no change without a restart, got one"}));
}

TEST(Config, the_schema_knows_every_member) {
  const auto schema = nlohmann::json::parse(json_schema());
  EXPECT_EQ(schema["properties"]["http"]["properties"]["max_connections"]["default"], 4096);
  EXPECT_EQ(schema["properties"]["nodes"]["items"]["required"], (nlohmann::json{"id", "url", "models"}));
  EXPECT_EQ(schema["properties"]["tls"]["type"], (nlohmann::json{"object", "null"}));
  EXPECT_EQ(schema["properties"]["storage"]["properties"]["durability"]["enum"], (nlohmann::json{"process", "power"}));
}

}  // namespace
}  // namespace turnpike::config
