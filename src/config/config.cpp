// From a checked document to typed values, and the checks that look at more than one member.
#include "turnpike/config/config.hpp"

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <set>
#include <utility>

#include "check.hpp"
#include "turnpike/base/decimal.hpp"
#include "turnpike/base/encoding.hpp"
#include "turnpike/base/text.hpp"

namespace turnpike::config {
namespace {

constexpr int kPriceDecimals = 9;
constexpr int kShareDecimals = 6;
constexpr int kCreditDecimals = 7;  // to the nano-dollar: a credit is 0.01 USD

std::string text(const Json& object, const char* name) {
  const Json& value = object.at(name);
  return value.is_null() ? std::string() : value.get<std::string>();
}

std::size_t count(const Json& object, const char* name) {
  return object.at(name).get<std::size_t>();
}

Milliseconds millis(const Json& object, const char* name) {
  return Milliseconds(object.at(name).get<std::int64_t>());
}

std::optional<std::uint64_t> count_or_none(const Json& object, const char* name) {
  const Json& value = object.at(name);
  if (value.is_null()) return std::nullopt;
  return value.get<std::uint64_t>();
}

std::int64_t nanousd(const Json& object, const char* name) {
  return parse_decimal(text(object, name), kPriceDecimals).value();
}

std::string without_slash(std::string url) {
  while (url.ends_with('/')) url.pop_back();
  return url;
}

Http read_http(const Json& from) {
  return {.max_connections = count(from, "max_connections"),
          .max_head_bytes = count(from, "max_head_bytes"),
          .max_body_bytes = count(from, "max_body_bytes"),
          .max_body_memory_bytes = count(from, "max_body_memory_bytes"),
          .head_timeout = millis(from, "head_timeout_ms"),
          .body_timeout = millis(from, "body_timeout_ms"),
          .idle_timeout = millis(from, "idle_timeout_ms"),
          .write_timeout = millis(from, "write_timeout_ms"),
          .cors_allowed_origins = from.at("cors_allowed_origins").get<std::vector<std::string>>(),
          .trusted_proxies = from.at("trusted_proxies").get<std::vector<std::string>>(),
          .anonymous_requests_per_minute = count(from, "anonymous_requests_per_minute"),
          .max_anonymous_clients = count(from, "max_anonymous_clients")};
}

Relay read_relay(const Json& from) {
  return {.connect_timeout = millis(from, "connect_timeout_ms"),
          .first_token_timeout = millis(from, "first_token_timeout_ms"),
          .between_tokens_timeout = millis(from, "between_tokens_timeout_ms"),
          .default_timeout = std::chrono::seconds(count(from, "default_timeout_secs")),
          .max_timeout = std::chrono::seconds(count(from, "max_timeout_secs")),
          .keep_alive_interval = millis(from, "keep_alive_interval_ms"),
          .max_answer_bytes = count(from, "max_answer_bytes"),
          .max_stream_bytes = count(from, "max_stream_bytes"),
          .max_event_bytes = count(from, "max_event_bytes"),
          .max_node_head_bytes = count(from, "max_node_head_bytes"),
          .retries = count(from, "retries"),
          .idle_connections_per_node = count(from, "idle_connections_per_node"),
          .resolver_threads = count(from, "resolver_threads"),
          .idle_connection_timeout = millis(from, "idle_connection_timeout_ms"),
          .continuation = from.at("continuation").get<bool>(),
          .image_token_allowance = count(from, "image_token_allowance"),
          .default_max_tokens = count_or_none(from, "default_max_tokens"),
          .schema_max_bytes = count(from, "schema_max_bytes"),
          .schema_max_steps = count(from, "schema_max_steps")};
}

Scheduler read_scheduler(const Json& from) {
  return {.probe_interval = millis(from, "probe_interval_ms"),
          .probe_timeout = millis(from, "probe_timeout_ms"),
          .breaker_failures = count(from, "breaker_failures"),
          .breaker_open = millis(from, "breaker_open_ms"),
          .breaker_max_open = millis(from, "breaker_max_open_ms"),
          .queue_limit = count(from, "queue_limit"),
          .queue_limit_per_account = count(from, "queue_limit_per_account"),
          .queue_timeout = millis(from, "queue_timeout_ms")};
}

Wallets read_wallets(const Json& from) {
  return {.nonce_lifetime = millis(from, "nonce_lifetime_ms"),
          .max_nonces = count(from, "max_nonces"),
          .max_body_bytes = count(from, "max_body_bytes"),
          .challenges_per_minute = count(from, "challenges_per_minute"),
          .logins_per_minute = count(from, "logins_per_minute"),
          .max_clients = count(from, "max_clients")};
}

Keys read_keys(const Json& from) {
  return {.max_per_account = count(from, "max_per_account"),
          .rotation_grace = millis(from, "rotation_grace_ms"),
          .last_used_flush = millis(from, "last_used_flush_ms"),
          .max_body_bytes = count(from, "max_body_bytes"),
          .token_lifetime = std::chrono::seconds(count(from, "token_lifetime_secs")),
          .tokens_per_minute = count(from, "tokens_per_minute"),
          .max_clients = count(from, "max_clients"),
          .remembered_tokens = count(from, "remembered_tokens")};
}

Capabilities read_capabilities(const Json& names) {
  const auto has = [&names](const char* name) { return std::ranges::find(names, Json(name)) != names.end(); };
  return {.chat = has("chat"),
          .completion = has("completion"),
          .embeddings = has("embeddings"),
          .vision = has("vision"),
          .structured_output = has("structured_output")};
}

// A price by its name without the unit, in dollars or in credits.
std::int64_t read_price(const Json& pricing, const std::string& name, const std::string& pointer, Report& report) {
  const std::int64_t dollars = nanousd(pricing, (name + "_usd").c_str());
  const std::string in_credits = text(pricing, (name + "_credits").c_str());
  if (in_credits.empty()) return dollars;
  const std::string place = pointer + "/" + name + "_credits";
  if (dollars != 0) report.add(place, "dollars or credits", "both");
  const auto credits = parse_decimal(in_credits, kCreditDecimals);
  if (!credits) report.add(place, "credits with at most 7 decimals", "\"" + in_credits + "\"");
  return credits.value_or(0);
}

Pricing read_pricing(const Json& from, const std::string& pointer, Report& report) {
  Pricing pricing{.prompt_per_million_nanousd = read_price(from, "prompt_per_million", pointer, report),
                  .completion_per_million_nanousd = read_price(from, "completion_per_million", pointer, report),
                  .per_request_nanousd = read_price(from, "per_request", pointer, report),
                  .included_output_tokens = count(from, "included_output_tokens"),
                  .per_thousand_beyond_nanousd = read_price(from, "per_thousand_beyond", pointer, report)};
  const Json& demand = from.at("demand");
  if (demand.is_null()) return pricing;
  pricing.demand =
      Demand{.least_percent = count(demand, "least_percent"), .most_percent = count(demand, "most_percent")};
  if (pricing.demand->most_percent < pricing.demand->least_percent) {
    report.add(pointer + "/demand/most_percent", "no less than least_percent",
               std::to_string(pricing.demand->most_percent));
  }
  return pricing;
}

Model read_model(const Json& from, const std::string& pointer, Report& report) {
  return {.id = text(from, "id"),
          .owned_by = text(from, "owned_by"),
          .created = from.at("created").get<std::int64_t>(),
          .capabilities = read_capabilities(from.at("capabilities")),
          .context_window = count(from, "context_window"),
          .max_output_tokens = count_or_none(from, "max_output_tokens"),
          .pricing = read_pricing(from.at("pricing"), pointer + "/pricing", report)};
}

Engine read_engine(std::string_view name) {
  for (const auto engine : {Engine::llama_cpp, Engine::vllm, Engine::sglang, Engine::ollama}) {
    if (to_string(engine) == name) return engine;
  }
  return Engine::openai;
}

// The first line of the file.
std::string read_secret_file(const std::string& file, std::string_view pointer, Report& report) {
  std::ifstream stream(file);
  std::string secret;
  if (!stream || !std::getline(stream, secret) || secret.empty()) {
    report.add(pointer, "a file that holds the key", "none that can be read");
  }
  return secret;
}

// What the member NAME_env or NAME_file of `from`, which is at `pointer`, stands for.
std::string read_secret(const Json& from, const std::string& pointer, const std::string& name, Report& report) {
  const std::string variable = text(from, (name + "_env").c_str());
  const std::string file = text(from, (name + "_file").c_str());
  const std::string at = pointer + "/" + name;
  if (!variable.empty() && !file.empty()) {
    report.add(at + "_file", "either " + name + "_env or " + name + "_file", "both");
    return {};
  }
  if (!file.empty()) return read_secret_file(file, at + "_file", report);
  if (variable.empty()) return {};
  const char* value = std::getenv(variable.c_str());  // NOLINT(concurrency-mt-unsafe): nothing sets variables
  if (value == nullptr || *value == '\0') {
    report.add(at + "_env", "an environment variable that is set", "none named " + variable);
    return {};
  }
  return value;
}

// The share of a node's owner; zero where there is none.
std::uint32_t read_share(const Json& node, const Json& of_all, const std::string& pointer, Report& report) {
  if (node.at("owner").is_null()) return 0;
  const Json& share = node.at("payout_share").is_null() ? of_all : node.at("payout_share");
  if (!share.is_null()) {
    return static_cast<std::uint32_t>(parse_decimal(share.get<std::string>(), kShareDecimals).value());
  }
  report.add(pointer + "/payout_share", "the share of its owner, here or for all nodes", "none");
  return 0;
}

Node read_node(const Json& from, const Json& share_of_all, const std::string& pointer, Report& report) {
  Node node{.id = text(from, "id"),
            .url = without_slash(text(from, "url")),
            .models = from.at("models").get<std::vector<std::string>>(),
            .model_names = {},
            .capacity = count(from, "capacity"),
            .engine = read_engine(text(from, "engine")),
            .pool = text(from, "pool"),
            .api_key = read_secret(from, pointer, "api_key", report),
            .weight = from.at("weight").get<std::uint32_t>(),
            .probe_path = text(from, "probe_path"),
            .owner = text(from, "owner"),
            .payout_share_millionths = read_share(from, share_of_all, pointer, report)};
  for (const auto& [id, name] : from.at("model_names").items()) {
    node.model_names.push_back({.id = id, .name = name.get<std::string>()});
  }
  return node;
}

std::vector<Tier> built_in_tiers() {
  return {{.name = "free", .requests_per_minute = 10, .tokens_per_minute = 10'000},
          {.name = "pro", .requests_per_minute = 100, .tokens_per_minute = 100'000},
          {.name = "enterprise", .requests_per_minute = 1'000},
          {.name = "queue", .requests_per_minute = 20, .tokens_per_day = 100'000, .concurrent_jobs = 2},
          {.name = "metered"}};
}

// `written` says which limits the file names: the check has given the others a null.
void read_tier(const Json& from, const Json& written, Tier& tier) {
  const std::pair<const char*, std::optional<std::uint64_t>*> limits[] = {
      {"requests_per_minute", &tier.requests_per_minute},
      {"tokens_per_minute", &tier.tokens_per_minute},
      {"tokens_per_day", &tier.tokens_per_day},
      {"concurrent_requests", &tier.concurrent_requests},
      {"concurrent_jobs", &tier.concurrent_jobs}};
  for (const auto& [name, limit] : limits) {
    if (written.contains(name)) *limit = count_or_none(from, name);
  }
}

std::vector<Tier> read_tiers(const Json& from, const Json& written) {
  std::vector<Tier> tiers = built_in_tiers();
  for (const auto& [name, limits] : from.items()) {
    auto tier = std::ranges::find(tiers, name, &Tier::name);
    if (tier == tiers.end()) {
      tiers.push_back({.name = name});
      tier = tiers.end() - 1;
    }
    read_tier(limits, written.at("tiers").at(name), *tier);
  }
  return tiers;
}

// Written, or named like any other secret: the URLs of many servers hold a key.
std::string read_rpc_url(const Json& from, const std::string& pointer, Report& report) {
  const std::string written = text(from, "rpc_url");
  const std::string secret = read_secret(from, pointer, "rpc_url", report);
  if (secret.empty()) return without_slash(written);
  if (!written.empty()) report.add(pointer + "/rpc_url", "one of rpc_url, rpc_url_env and rpc_url_file", "two");
  if (!is_url(secret)) report.add(pointer, "an rpc_url that begins with http:// or https://", "another secret");
  return without_slash(secret);
}

PaymentNetwork read_payment_network(const Json& from, const std::string& pointer, Report& report) {
  return {.name = text(from, "name"),
          .chain_id = from.at("chain_id").get<std::uint64_t>(),
          .asset = text(from, "asset"),
          .asset_name = text(from, "asset_name"),
          .asset_version = text(from, "asset_version"),
          .rpc_url = read_rpc_url(from, pointer, report)};
}

std::optional<Payments> read_payments(const Json& from, Report& report) {
  if (from.is_null()) return std::nullopt;
  Payments payments{.pay_to = text(from, "pay_to"),
                    .facilitator = without_slash(text(from, "facilitator")),
                    .facilitator_key = read_secret(from, "/payments", "facilitator_key", report),
                    .ca_file = text(from, "ca_file"),
                    .networks = {},
                    .min_nanousd = nanousd(from, "min_usd"),
                    .max_nanousd = nanousd(from, "max_usd"),
                    .max_timeout = std::chrono::seconds(count(from, "max_timeout_secs")),
                    .max_validity = std::chrono::seconds(count(from, "max_validity_secs")),
                    .verify_timeout = millis(from, "verify_timeout_ms"),
                    .settle_timeout = millis(from, "settle_timeout_ms"),
                    .rpc_timeout = millis(from, "rpc_timeout_ms"),
                    .rpc_log_blocks = count(from, "rpc_log_blocks"),
                    .answer_timeout = millis(from, "answer_timeout_ms"),
                    .first_retry = millis(from, "first_retry_ms"),
                    .max_retry = millis(from, "max_retry_ms"),
                    .max_answer_bytes = count(from, "max_answer_bytes"),
                    .max_header_bytes = count(from, "max_header_bytes"),
                    .max_body_bytes = count(from, "max_body_bytes"),
                    .max_open = count(from, "max_open"),
                    .max_open_per_account = count(from, "max_open_per_account")};
  for (const Json& network : from.at("networks")) {
    const std::string pointer = "/payments/networks/" + std::to_string(payments.networks.size());
    payments.networks.push_back(read_payment_network(network, pointer, report));
  }
  if (!payments.ca_file.empty() && !std::ifstream(payments.ca_file)) {
    report.add("/payments/ca_file", "a file that can be read", from.at("ca_file").dump());
  }
  return payments;
}

Receipts read_receipts(const Json& from) {
  const auto headers = text(from, "signed_headers");
  return {.signed_headers = headers == "always"  ? SignedHeaders::always
                            : headers == "never" ? SignedHeaders::never
                                                 : SignedHeaders::dialect,
          .content_digests = from.at("content_digests").get<bool>(),
          .unpaid_retention = std::chrono::seconds(count(from, "unpaid_retention_secs")),
          .max_unpaid_jobs = count(from, "max_unpaid_jobs")};
}

ChannelLimits read_channel_limits(const Json& from) {
  return {.posts_per_minute = count(from, "posts_per_minute"),
          .max_accounts = count(from, "max_accounts"),
          .max_characters = count(from, "max_characters"),
          .max_body_bytes = count(from, "max_body_bytes"),
          .retention = std::chrono::seconds(count(from, "retention_secs")),
          .recent_messages = count(from, "recent_messages"),
          .max_readers = count(from, "max_readers"),
          .max_readers_per_account = count(from, "max_readers_per_account"),
          .keep_alive_interval = millis(from, "keep_alive_interval_ms")};
}

Queue read_queue(const Json& from, Report& report) {
  Queue queue{.max_jobs = count(from, "max_jobs"),
              .max_jobs_per_account = count(from, "max_jobs_per_account"),
              .max_bytes = count(from, "max_bytes"),
              .max_body_bytes = count(from, "max_body_bytes"),
              .max_running = count(from, "max_running"),
              .first_retry = millis(from, "first_retry_ms"),
              .max_retry = millis(from, "max_retry_ms"),
              .retry_jitter_percent = count(from, "retry_jitter_percent"),
              .tries = count(from, "tries"),
              .max_wait = std::chrono::seconds(count(from, "max_wait_secs")),
              .retention = std::chrono::seconds(count(from, "retention_secs")),
              .idempotency = std::chrono::seconds(count(from, "idempotency_secs"))};
  if (const auto dead = count_or_none(from, "dead_retention_secs")) queue.dead_retention = std::chrono::seconds(*dead);
  if (queue.first_retry > queue.max_retry) {
    report.add("/queue/first_retry_ms", "no more than /queue/max_retry_ms", from.at("first_retry_ms").dump());
  }
  return queue;
}

Webhooks read_webhooks(const Json& from, Report& report) {
  Webhooks webhooks{.allow_private_targets = from.at("allow_private_targets").get<bool>(),
                    .ca_file = text(from, "ca_file"),
                    .max_endpoints = count(from, "max_endpoints"),
                    .max_endpoints_per_account = count(from, "max_endpoints_per_account"),
                    .max_pending_per_endpoint = count(from, "max_pending_per_endpoint"),
                    .max_concurrent = count(from, "max_concurrent"),
                    .resolver_threads = count(from, "resolver_threads"),
                    .timeout = millis(from, "timeout_ms"),
                    .max_retry_after = std::chrono::seconds(count(from, "max_retry_after_secs")),
                    .rotation_grace = millis(from, "rotation_grace_ms"),
                    .retention = std::chrono::seconds(count(from, "retention_secs")),
                    .changes_per_minute = count(from, "changes_per_minute"),
                    .max_accounts = count(from, "max_accounts"),
                    .max_url_bytes = count(from, "max_url_bytes"),
                    .max_body_bytes = count(from, "max_body_bytes"),
                    .max_answer_bytes = count(from, "max_answer_bytes")};
  if (!webhooks.ca_file.empty() && !std::ifstream(webhooks.ca_file)) {
    report.add("/webhooks/ca_file", "a file that can be read", from.at("ca_file").dump());
  }
  return webhooks;
}

std::optional<Tls> read_tls(const Json& from, Report& report) {
  if (from.is_null()) return std::nullopt;
  for (const char* name : {"certificate_file", "private_key_file"}) {
    if (!std::ifstream(text(from, name))) {
      report.add(std::string("/tls/") + name, "a file that can be read", from.at(name).dump());
    }
  }
  return Tls{.certificate_file = text(from, "certificate_file"), .private_key_file = text(from, "private_key_file")};
}

Config read(const Json& from, const Json& written, Report& report) {
  const Json& network = from.at("network");
  const Json& ledger = from.at("ledger");
  const Json& log = from.at("log");
  Config config;
  config.listen = parse_listen(text(from, "listen")).value();
  config.tls = read_tls(from.at("tls"), report);
  config.admin_listen = parse_listen(text(from.at("admin"), "listen")).value();
  config.data_dir = text(from, "data_dir");
  config.drain_timeout = millis(from, "drain_timeout_ms");
  config.storage = {
      .durability = text(from.at("storage"), "durability") == "power" ? Durability::power : Durability::process,
      .commit_delay = millis(from.at("storage"), "commit_delay_ms"),
      .journal_bytes = count(from.at("storage"), "journal_bytes")};
  config.memory = {.huge_pages_from_connections = count(from.at("memory"), "huge_pages_from_connections")};
  config.network = {.name = text(network, "name"),
                    .default_dialect = text(network, "default_dialect"),
                    .public_url = without_slash(text(network, "public_url")),
                    .dialects_dir = text(network, "dialects_dir")};
  config.http = read_http(from.at("http"));
  config.relay = read_relay(from.at("relay"));
  config.scheduler = read_scheduler(from.at("scheduler"));
  config.ledger = {
      .max_accounts = count(ledger, "max_accounts"),
      .max_keys = count(ledger, "max_keys"),
      .max_open_holds = count(ledger, "max_open_holds"),
      .hold_journal_delay = millis(ledger, "hold_journal_delay_ms"),
      .write_queue_limit = count(ledger, "write_queue_limit"),
      .low_threshold_nanousd = ledger.at("low_threshold_usd").is_null() ? 0 : nanousd(ledger, "low_threshold_usd")};
  config.receipts = read_receipts(from.at("receipts"));
  config.wallets = read_wallets(from.at("wallets"));
  config.keys = read_keys(from.at("keys"));
  const Json& signatures = from.at("signatures");
  config.signatures = {.window = std::chrono::seconds(count(signatures, "window_secs")),
                       .max_nonces = count(signatures, "max_nonces"),
                       .max_nonces_per_key = count(signatures, "max_nonces_per_key")};
  config.log = {.level = text(log, "level"),
                .format = text(log, "format") == "json" ? LogFormat::json : LogFormat::text};
  for (const Json& model : from.at("models")) {
    config.models.push_back(read_model(model, "/models/" + std::to_string(config.models.size()), report));
  }
  for (const Json& node : from.at("nodes")) {
    const std::string pointer = "/nodes/" + std::to_string(config.nodes.size());
    config.nodes.push_back(read_node(node, from.at("payout_share"), pointer, report));
  }
  config.tiers = read_tiers(from.at("tiers"), written);
  config.payments = read_payments(from.at("payments"), report);
  config.channels = from.at("channels").get<std::vector<std::string>>();
  config.channel_limits = read_channel_limits(from.at("channel_limits"));
  config.webhooks = read_webhooks(from.at("webhooks"), report);
  config.queue = read_queue(from.at("queue"), report);
  return config;
}

void check_models(const Config& config, Report& report) {
  std::set<std::string_view> ids;
  for (std::size_t i = 0; i < config.models.size(); ++i) {
    const Model& model = config.models[i];
    const std::string pointer = "/models/" + std::to_string(i);
    if (!ids.insert(model.id).second) report.add(pointer + "/id", "an id of its own", "\"" + model.id + "\" again");
    if (model.max_output_tokens.value_or(0) > model.context_window) {
      report.add(pointer + "/max_output_tokens",
                 "at most the context window of " + std::to_string(model.context_window),
                 std::to_string(*model.max_output_tokens));
    }
    if (model.capabilities == Capabilities{.chat = false, .completion = false}) {
      report.add(pointer + "/capabilities", "at least one", "none");
    }
  }
}

void check_nodes(const Config& config, Report& report) {
  std::set<std::string_view> ids;
  for (std::size_t i = 0; i < config.nodes.size(); ++i) {
    const Node& node = config.nodes[i];
    const std::string pointer = "/nodes/" + std::to_string(i);
    if (!ids.insert(node.id).second) report.add(pointer + "/id", "an id of its own", "\"" + node.id + "\" again");
    if (node.models.empty()) report.add(pointer + "/models", "at least one model", "none");
    for (std::size_t m = 0; m < node.models.size(); ++m) {
      if (std::ranges::find(config.models, node.models[m], &Model::id) != config.models.end()) continue;
      report.add(pointer + "/models/" + std::to_string(m), "the id of one of the models", "\"" + node.models[m] + "\"");
    }
    for (const ModelName& name : node.model_names) {
      if (std::ranges::find(node.models, name.id) != node.models.end()) continue;
      report.add(pointer + "/model_names/" + pointer_part(name.id), "a model that the node serves", "another");
    }
    if (!node.probe_path.empty() && !node.probe_path.starts_with('/')) {
      report.add(pointer + "/probe_path", "a path that begins with /", "\"" + node.probe_path + "\"");
    }
  }
}

// "0x" and 40 hex digits; the checksum is for who knows Keccak.
bool is_address(std::string_view text) {
  return text.size() == 42 && text.starts_with("0x") && from_hex(text.substr(2));
}

void check_payments(const Payments& payments, std::size_t max_head_bytes, Report& report) {
  constexpr std::int64_t kMostNanousd = 1'000'000'000'000'000;
  const std::string address = "an address, as 0x and 40 hex digits";
  if (!is_address(payments.pay_to)) report.add("/payments/pay_to", address, "\"" + payments.pay_to + "\"");
  if (payments.networks.empty()) report.add("/payments/networks", "at least one", "none");
  std::set<std::string_view> names;
  std::set<std::uint64_t> chains;
  for (std::size_t i = 0; i < payments.networks.size(); ++i) {
    const PaymentNetwork& network = payments.networks[i];
    const std::string pointer = "/payments/networks/" + std::to_string(i);
    if (!is_address(network.asset)) report.add(pointer + "/asset", address, "\"" + network.asset + "\"");
    if (!names.insert(network.name).second) report.add(pointer + "/name", "a name of its own", network.name + " again");
    if (!chains.insert(network.chain_id).second) {
      report.add(pointer + "/chain_id", "a chain of its own", std::to_string(network.chain_id) + " again");
    }
  }
  if (payments.min_nanousd == 0) report.add("/payments/min_usd", "more than zero", "zero");
  if (payments.max_nanousd < payments.min_nanousd || payments.max_nanousd > kMostNanousd) {
    report.add("/payments/max_usd", "payments.min_usd to 1000000", "another amount");
  }
  if (payments.max_validity < payments.max_timeout) {
    report.add("/payments/max_validity_secs", "at least payments.max_timeout_secs",
               std::to_string(payments.max_validity.count()));
  }
  if (payments.max_header_bytes >= max_head_bytes) {
    report.add("/payments/max_header_bytes", "less than http.max_head_bytes",
               std::to_string(payments.max_header_bytes));
  }
}

void check_limits(const Config& config, Report& report) {
  if (config.listen == config.admin_listen && config.listen.port != 0) {
    report.add("/admin/listen", "another address than listen", "\"" + to_string(config.admin_listen) + "\"");
  }
  if (config.http.max_body_bytes > config.http.max_body_memory_bytes) {
    report.add("/http/max_body_memory_bytes", "at least http.max_body_bytes",
               std::to_string(config.http.max_body_memory_bytes));
  }
  if (config.relay.default_timeout > config.relay.max_timeout) {
    report.add("/relay/default_timeout_secs", "at most relay.max_timeout_secs",
               std::to_string(config.relay.default_timeout.count()));
  }
  if (config.scheduler.breaker_open > config.scheduler.breaker_max_open) {
    report.add("/scheduler/breaker_open_ms", "at most scheduler.breaker_max_open_ms",
               std::to_string(config.scheduler.breaker_open.count()));
  }
}

}  // namespace

std::string_view to_string(Engine engine) {
  switch (engine) {
    case Engine::llama_cpp:
      return "llama.cpp";
    case Engine::vllm:
      return "vllm";
    case Engine::sglang:
      return "sglang";
    case Engine::ollama:
      return "ollama";
    case Engine::openai:
      break;
  }
  return "openai";
}

std::optional<Listen> parse_listen(std::string_view text) {
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const std::string_view port_text = text.substr(colon + 1);
  const bool bracketed = host.starts_with('[') && host.ends_with(']');
  if (bracketed) host = host.substr(1, host.size() - 2);
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(port_text.data(), port_text.data() + port_text.size(), port);
  if (error != std::errc() || end != port_text.data() + port_text.size()) return std::nullopt;
  if (host == "localhost") host = "127.0.0.1";
  boost::system::error_code bad;
  const auto address = boost::asio::ip::make_address(std::string(host), bad);
  if (bad || address.is_v6() != bracketed) return std::nullopt;
  return Listen{.address = std::string(host), .port = port};
}

std::string to_string(const Listen& listen) {
  const bool v6 = listen.address.find(':') != std::string::npos;
  return (v6 ? "[" + listen.address + "]" : listen.address) + ":" + std::to_string(listen.port);
}

namespace {

std::expected<Json, Faults> parse_json(std::string_view text, Report& report) {
  try {
    return Json::parse(text, nullptr, true, true);
  } catch (const Json::parse_error& error) {
    // What follows nlohmann's own number for the error: "parse error at line 2, column 12: …".
    const std::string_view what = error.what();
    report.add("", "JSON", what.substr(std::min(what.find("] ") + 2, what.size())));
    return std::unexpected(report.take());
  }
}

// An empty path: an empty object.
std::expected<std::string, Faults> read_text(const std::string& file) {
  if (file.empty()) return "{}";
  std::ifstream stream(file, std::ios::binary);
  if (!stream) return std::unexpected(Faults{file + ": /: expected a file that can be read, got none"});
  return std::string(std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>());
}

}  // namespace

std::expected<Config, Faults> parse(std::string_view text, std::string_view name) {
  Report report(name);
  const auto written = parse_json(text, report);
  if (!written) return std::unexpected(written.error());
  Json document = *written;
  check(document, report);
  if (!report.empty()) return std::unexpected(report.take());
  Config config = read(document, *written, report);
  check_models(config, report);
  check_nodes(config, report);
  check_limits(config, report);
  if (config.payments) check_payments(*config.payments, config.http.max_head_bytes, report);
  if (!report.empty()) return std::unexpected(report.take());
  return config;
}

std::expected<Config, Faults> load(const std::string& file) {
  const auto text = read_text(file);
  if (!text) return std::unexpected(text.error());
  return parse(*text, file.empty() ? "defaults" : file);
}

std::expected<Whereabouts, Faults> find_gateway(const std::string& file) {
  const auto bytes = read_text(file);
  if (!bytes) return std::unexpected(bytes.error());
  Report report(file);
  auto document = parse_json(*bytes, report);
  if (!document) return std::unexpected(document.error());
  check(*document, report);
  if (!report.empty()) return std::unexpected(report.take());
  return Whereabouts{.data_dir = text(*document, "data_dir"),
                     .admin_listen = parse_listen(text(document->at("admin"), "listen")).value()};
}

Faults needs_restart(const Config& now, const Config& next, std::string_view name) {
  Report report(name);
  const auto same = [&report](std::string_view pointer, bool equal) {
    if (!equal) report.add(pointer, "no change without a restart", "one");
  };
  same("/listen", now.listen == next.listen);
  same("/tls", now.tls == next.tls);
  same("/admin/listen", now.admin_listen == next.admin_listen);
  same("/data_dir", now.data_dir == next.data_dir);
  same("/drain_timeout_ms", now.drain_timeout == next.drain_timeout);
  same("/storage", now.storage == next.storage);
  same("/memory", now.memory == next.memory);
  same("/network", now.network == next.network);
  same("/http", now.http == next.http);
  same("/relay", now.relay == next.relay);
  same("/scheduler", now.scheduler == next.scheduler);
  same("/ledger", now.ledger == next.ledger);
  same("/receipts", now.receipts == next.receipts);
  same("/wallets", now.wallets == next.wallets);
  same("/keys", now.keys == next.keys);
  same("/signatures", now.signatures == next.signatures);
  same("/log/format", now.log.format == next.log.format);
  same("/payments", now.payments == next.payments);
  same("/channels", now.channels == next.channels);
  same("/channel_limits", now.channel_limits == next.channel_limits);
  same("/webhooks", now.webhooks == next.webhooks);
  same("/queue", now.queue == next.queue);
  return report.take();
}

}  // namespace turnpike::config
