#include "from_config.hpp"

#include <filesystem>
#include <utility>

namespace turnpike::app {
namespace {

// No default: an engine that is new to the configuration does not compile until it is here.
scheduler::Engine engine_of(config::Engine engine) {
  switch (engine) {
    case config::Engine::openai:
      return scheduler::Engine::openai;
    case config::Engine::llama_cpp:
      return scheduler::Engine::llama_cpp;
    case config::Engine::vllm:
      return scheduler::Engine::vllm;
    case config::Engine::sglang:
      return scheduler::Engine::sglang;
    case config::Engine::ollama:
      return scheduler::Engine::ollama;
  }
  std::unreachable();
}

http::TrustedProxies trusted_proxies(const std::vector<std::string>& texts) {
  std::vector<Network> networks;
  networks.reserve(texts.size());
  for (const auto& text : texts) networks.push_back(Network::parse(text).value());  // the configuration was checked
  return http::TrustedProxies(std::move(networks));
}

}  // namespace

http::Limits http_limits(const config::Config& config) {
  const auto& http = config.http;
  return {.max_connections = http.max_connections,
          .max_head_bytes = http.max_head_bytes,
          .max_body_bytes = http.max_body_bytes,
          .max_body_memory_bytes = http.max_body_memory_bytes,
          .head_timeout = http.head_timeout,
          .body_timeout = http.body_timeout,
          .idle_timeout = http.idle_timeout,
          .write_timeout = http.write_timeout,
          .cors_allowed_origins = http.cors_allowed_origins,
          .trusted_proxies = trusted_proxies(http.trusted_proxies)};
}

ledger::Limits ledger_limits(const config::Config& config) {
  return {.max_accounts = config.ledger.max_accounts,
          .max_open_holds = config.ledger.max_open_holds,
          .hold_journal_delay = config.ledger.hold_journal_delay,
          .low_threshold = ledger::Money::nanousd(config.ledger.low_threshold_nanousd),
          .max_unpaid_jobs = config.receipts.max_unpaid_jobs,
          .unpaid_retention = config.receipts.unpaid_retention};
}

scheduler::BreakerRules breaker_rules(const config::Config& config) {
  return {.failures = config.scheduler.breaker_failures,
          .open = config.scheduler.breaker_open,
          .max_open = config.scheduler.breaker_max_open};
}

scheduler::LineLimits line_limits(const config::Config& config) {
  return {.queue = config.scheduler.queue_limit,
          .queue_per_account = config.scheduler.queue_limit_per_account,
          .timeout = config.scheduler.queue_timeout};
}

relay::NodeClientLimits node_client_limits(const config::Config& config) {
  return {.idle_connections_per_node = config.relay.idle_connections_per_node,
          .idle_timeout = config.relay.idle_connection_timeout,
          .resolver_threads = config.relay.resolver_threads};
}

relay::ProbeRules probe_rules(const config::Config& config) {
  return {.interval = config.scheduler.probe_interval, .timeout = config.scheduler.probe_timeout};
}

relay::RelayLimits relay_limits(const config::Config& config) {
  const auto& relay = config.relay;
  relay::RelayLimits limits;
  limits.connect_timeout = relay.connect_timeout;
  limits.first_token_timeout = relay.first_token_timeout;
  limits.between_tokens_timeout = relay.between_tokens_timeout;
  limits.keep_alive_interval = relay.keep_alive_interval;
  limits.max_answer_bytes = relay.max_answer_bytes;
  limits.max_stream_bytes = relay.max_stream_bytes;
  limits.max_event_bytes = relay.max_event_bytes;
  limits.max_node_head_bytes = relay.max_node_head_bytes;
  limits.attempts = relay.retries;
  limits.continuation = relay.continuation;
  return limits;
}

inference::InferenceLimits inference_limits(const config::Config& config) {
  return {.default_timeout = config.relay.default_timeout,
          .max_timeout = config.relay.max_timeout,
          .image_token_allowance = config.relay.image_token_allowance,
          .default_max_tokens = config.relay.default_max_tokens.value_or(0),
          .content_digests = config.receipts.content_digests,
          .schema_max_bytes = config.relay.schema_max_bytes,
          .schema_max_steps = config.relay.schema_max_steps};
}

identity::LoginTerms login_terms(const config::Config& config) {
  return {.public_url = config.network.public_url,
          .network_name = config.network.name,
          .nonce_lifetime = config.wallets.nonce_lifetime,
          .max_nonces = config.wallets.max_nonces};
}

api::AuthLimits auth_limits(const config::Config& config) {
  return {.challenges_per_minute = config.wallets.challenges_per_minute,
          .logins_per_minute = config.wallets.logins_per_minute,
          .max_clients = config.wallets.max_clients,
          .max_body_bytes = config.wallets.max_body_bytes};
}

identity::KeyRules key_rules(const config::Config& config) {
  return {.max_keys = config.ledger.max_keys,
          .max_per_account = config.keys.max_per_account,
          .rotation_grace = config.keys.rotation_grace};
}

identity::TokenTerms token_terms(const config::Config& config) {
  return {.key_file = (std::filesystem::path(config.data_dir) / "token.key").string(),
          .issuer = config.network.public_url,
          .remembered = config.keys.remembered_tokens};
}

identity::SignatureTerms signature_terms(const config::Config& config) {
  return {.public_url = config.network.public_url,
          .scheme = config.tls ? "https" : "http",
          .window = config.signatures.window,
          .max_nonces = config.signatures.max_nonces,
          .max_nonces_per_key = config.signatures.max_nonces_per_key};
}

api::HeaderSigning header_signing(const config::Config& config, const receipts::Keys& keys,
                                  const ledger::Ledger& ledger) {
  const auto when = [&] {
    switch (config.receipts.signed_headers) {
      case config::SignedHeaders::dialect:
        return api::SignedHeaders::dialect;
      case config::SignedHeaders::always:
        return api::SignedHeaders::always;
      case config::SignedHeaders::never:
        return api::SignedHeaders::never;
    }
    std::unreachable();
  };
  return {.keys = keys, .ledger = ledger, .when = when()};
}

api::TokenLimits token_limits(const config::Config& config) {
  return {.tokens_per_minute = config.keys.tokens_per_minute,
          .max_clients = config.keys.max_clients,
          .max_body_bytes = config.keys.max_body_bytes,
          .lifetime = config.keys.token_lifetime};
}

payments::FacilitatorPlace facilitator_place(const config::Payments& payments) {
  return {.url = payments.facilitator,
          .bearer = payments.facilitator_key,
          .ca_file = payments.ca_file,
          .verify_timeout = payments.verify_timeout,
          .settle_timeout = payments.settle_timeout,
          .max_answer_bytes = payments.max_answer_bytes};
}

payments::ChainPlace chain_place(const config::Payments& payments, const std::string& url) {
  return {.url = url,
          .ca_file = payments.ca_file,
          .timeout = payments.rpc_timeout,
          .log_blocks = payments.rpc_log_blocks,
          .max_answer_bytes = payments.max_answer_bytes};
}

Result<payments::TopUpRules> top_up_rules(const config::Payments& payments, const std::string& public_url) {
  const auto address = [](const std::string& text, const std::string& member) -> Result<std::string> {
    if (auto good = payments::parse_address(text)) return *std::move(good);
    return fail(Fault::invalid_request, member + ": the checksum of " + text + " is wrong (EIP-55)");
  };
  const auto pay_to = address(payments.pay_to, "payments.pay_to");
  if (!pay_to) return std::unexpected(pay_to.error());
  payments::TopUpRules rules{.terms = {.networks = {},
                                       .pay_to = *pay_to,
                                       .resource = public_url + "/v1/credits/topup",
                                       .max_timeout = payments.max_timeout,
                                       .max_validity = payments.max_validity},
                             .answer_timeout = payments.answer_timeout,
                             .confirm_timeout = payments.settle_timeout,
                             .first_retry = payments.first_retry,
                             .max_retry = payments.max_retry,
                             .max_open = payments.max_open,
                             .max_open_per_account = payments.max_open_per_account};
  for (const auto& from : payments.networks) {
    const auto asset = address(from.asset, "payments.networks: asset");
    if (!asset) return std::unexpected(asset.error());
    rules.terms.networks.push_back({.name = from.name,
                                    .chain_id = from.chain_id,
                                    .asset = *asset,
                                    .asset_name = from.asset_name,
                                    .asset_version = from.asset_version});
  }
  return rules;
}

api::TopUpLimits top_up_limits(const config::Payments& payments) {
  return {.least = ledger::Money::nanousd(payments.min_nanousd),
          .most = ledger::Money::nanousd(payments.max_nanousd),
          .max_header_bytes = payments.max_header_bytes,
          .max_body_bytes = payments.max_body_bytes};
}

channel::Rules channel_rules(const config::Config& config) {
  const auto& limits = config.channel_limits;
  return {.channels = config.channels,
          .recent = limits.recent_messages,
          .max_readers = limits.max_readers,
          .max_readers_per_account = limits.max_readers_per_account,
          .retention = limits.retention};
}

api::ChannelLimits channel_limits(const config::Config& config) {
  const auto& limits = config.channel_limits;
  return {.posts_per_minute = limits.posts_per_minute,
          .max_accounts = limits.max_accounts,
          .max_characters = limits.max_characters,
          .max_body_bytes = limits.max_body_bytes,
          .keep_alive_interval = limits.keep_alive_interval};
}

api::WebhookLimits webhook_limits(const config::Config& config) {
  return {.max_body_bytes = config.webhooks.max_body_bytes,
          .changes_per_minute = config.webhooks.changes_per_minute,
          .max_accounts = config.webhooks.max_accounts};
}

webhooks::Rules webhook_rules(const config::Config& config) {
  const auto& from = config.webhooks;
  return {.key_file = (std::filesystem::path(config.data_dir) / "webhooks.key").string(),
          .allow_private_targets = from.allow_private_targets,
          .max_endpoints = from.max_endpoints,
          .max_endpoints_per_account = from.max_endpoints_per_account,
          .max_pending = from.max_pending_per_endpoint,
          .max_concurrent = from.max_concurrent,
          .max_url_bytes = from.max_url_bytes,
          .max_answer_bytes = from.max_answer_bytes,
          .timeout = from.timeout,
          .max_retry_after = from.max_retry_after,
          .rotation_grace = from.rotation_grace,
          .retention = from.retention};
}

jobs::Rules queue_rules(const config::Config& config) {
  const auto& from = config.queue;
  return {.max_jobs = from.max_jobs,
          .max_jobs_per_account = from.max_jobs_per_account,
          .max_bytes = from.max_bytes,
          .max_running = from.max_running,
          .retries = {.first = from.first_retry,
                      .most = from.max_retry,
                      .jitter_percent = from.retry_jitter_percent,
                      .tries = from.tries},
          .retention = from.retention,
          .dead_retention = from.dead_retention,
          .idempotency = from.idempotency};
}

api::QueueLimits queue_limits(const config::Config& config) {
  return {.max_body_bytes = config.queue.max_body_bytes, .max_wait = config.queue.max_wait};
}

std::vector<inference::Model> models_of(const config::Config& config) {
  using ledger::Money;
  std::vector<inference::Model> models;
  for (const auto& from : config.models) {
    models.push_back({.id = from.id,
                      .id_json = {},
                      .owned_by = from.owned_by,
                      .created = from.created,
                      .chat = from.capabilities.chat,
                      .completion = from.capabilities.completion,
                      .embeddings = from.capabilities.embeddings,
                      .vision = from.capabilities.vision,
                      .structured_output = from.capabilities.structured_output,
                      .context_window = from.context_window,
                      .max_output_tokens = from.max_output_tokens.value_or(from.context_window),
                      .price = {.prompt_per_million = Money::nanousd(from.pricing.prompt_per_million_nanousd),
                                .completion_per_million = Money::nanousd(from.pricing.completion_per_million_nanousd),
                                .per_request = Money::nanousd(from.pricing.per_request_nanousd),
                                .included_output_tokens = from.pricing.included_output_tokens,
                                .per_thousand_beyond = Money::nanousd(from.pricing.per_thousand_beyond_nanousd)},
                      .demand = from.pricing.demand.transform([](const config::Demand& demand) {
                        return inference::Demand{.least_percent = demand.least_percent,
                                                 .most_percent = demand.most_percent};
                      })});
  }
  return models;
}

config::Faults unknown_owners(const config::Config& config, const ledger::Ledger& ledger) {
  config::Faults faults;
  for (std::size_t i = 0; i < config.nodes.size(); ++i) {
    const std::string& owner = config.nodes[i].owner;
    if (owner.empty() || ledger.find(owner) != nullptr) continue;
    faults.push_back("/nodes/" + std::to_string(i) + "/owner: expected an account of this ledger, got \"" + owner +
                     "\"");
  }
  return faults;
}

std::vector<scheduler::NodeSpec> nodes_of(const config::Config& config, const ledger::Ledger& ledger) {
  std::vector<scheduler::NodeSpec> nodes;
  for (const auto& from : config.nodes) {
    scheduler::NodeSpec node;
    node.id = from.id;
    node.url = from.url;
    node.models = from.models;
    for (const auto& name : from.model_names) node.model_names.push_back({.id = name.id, .name = name.name});
    node.capacity = from.capacity;
    node.engine = engine_of(from.engine);
    node.pool = from.pool;
    node.api_key = from.api_key;
    node.weight = static_cast<double>(from.weight) / 100.0;
    node.probe_path = from.probe_path;
    if (const auto* owner = ledger.find(from.owner)) {
      node.payee = {.account = owner->id, .share_millionths = from.payout_share_millionths};
    }
    nodes.push_back(std::move(node));
  }
  return nodes;
}

api::Tiers tiers_of(const config::Config& config) {
  api::Tiers tiers;
  for (const auto& from : config.tiers) {
    tiers.emplace(from.name, limits::Tier{.requests_per_minute = from.requests_per_minute,
                                          .tokens_per_minute = from.tokens_per_minute,
                                          .tokens_per_day = from.tokens_per_day,
                                          .concurrent_requests = from.concurrent_requests,
                                          .concurrent_jobs = from.concurrent_jobs});
  }
  return tiers;
}

}  // namespace turnpike::app
