#include "turnpike/app/gateway.hpp"

#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <algorithm>
#include <boost/asio/ssl/context.hpp>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "from_config.hpp"
#include "memory.hpp"
#include "turnpike/api/admin_api.hpp"
#include "turnpike/api/auth_api.hpp"
#include "turnpike/api/channel_api.hpp"
#include "turnpike/api/chat_api.hpp"
#include "turnpike/api/credits_api.hpp"
#include "turnpike/api/job_source.hpp"
#include "turnpike/api/jobs_api.hpp"
#include "turnpike/api/keys_api.hpp"
#include "turnpike/api/models_api.hpp"
#include "turnpike/api/nodes_api.hpp"
#include "turnpike/api/queue_api.hpp"
#include "turnpike/api/receipts_api.hpp"
#include "turnpike/api/status_api.hpp"
#include "turnpike/api/token_api.hpp"
#include "turnpike/api/topup_api.hpp"
#include "turnpike/api/webhooks_api.hpp"
#include "turnpike/base/pause.hpp"
#include "turnpike/base/task_group.hpp"
#include "turnpike/channel/channels.hpp"
#include "turnpike/events/subscriptions.hpp"
#include "turnpike/http/listener.hpp"
#include "turnpike/http/poster.hpp"
#include "turnpike/identity/access_tokens.hpp"
#include "turnpike/identity/request_signatures.hpp"
#include "turnpike/identity/wallet_accounts.hpp"
#include "turnpike/identity/wallet_login.hpp"
#include "turnpike/inference/inference.hpp"
#include "turnpike/jobs/inference_run.hpp"
#include "turnpike/jobs/job_queue.hpp"
#include "turnpike/ledger/receipt_log.hpp"
#include "turnpike/payments/top_up.hpp"
#include "turnpike/receipts/keys.hpp"
#include "turnpike/relay/prober.hpp"
#include "turnpike/relay/relay.hpp"
#include "turnpike/storage/sqlite.hpp"
#include "turnpike/telemetry/log.hpp"
#include "turnpike/telemetry/metrics.hpp"
#include "turnpike/webhooks/webhooks.hpp"

namespace turnpike::app {

namespace asio = boost::asio;
namespace fs = std::filesystem;
using asio::awaitable;

namespace {

// Reads the token of the admin listener, or makes one at the first start. Mode 0600: whoever reads it runs the gateway.
std::string admin_token(const fs::path& file) {
  std::ifstream in(file);
  std::string token;
  if (in >> token; token.size() >= 32) return token;
  token = random_base62(43);
  std::error_code ignored;
  fs::remove(file, ignored);
  const auto before = ::umask(0077);
  std::ofstream(file) << token << "\n";
  ::umask(before);
  return token;
}

// Under another name first: a reader sees a whole file or none.
void write_whole(const fs::path& file, const std::string& text) {
  const fs::path part = file.string() + ".part";
  std::ofstream(part) << text;
  fs::rename(part, file);
}

std::string_view route_name(const http::Request& request) {
  constexpr std::string_view kNames[] = {"/v1/chat/completions",
                                         "/v1/completions",
                                         "/v1/embeddings",
                                         "/v1/models",
                                         "/v1/credits/balance",
                                         "/v1/credits/history",
                                         "/v1/credits/topup",
                                         "/v1/auth/challenge",
                                         "/v1/auth/wallet",
                                         "/v1/auth/token",
                                         "/v1/keys",
                                         "/v1/webhooks",
                                         "/v1/jobs",
                                         "/v1/channel",
                                         "/v1/channel/stream",
                                         "/health",
                                         "/livez",
                                         "/readyz",
                                         "/metrics",
                                         "/.well-known/turnpike",
                                         "/.well-known/jwks.json"};
  for (const auto name : kNames) {
    if (request.path == name) return name;
  }
  // Anything else is one series: what clients make up must not become labels.
  if (request.path.starts_with("/v1/keys/")) return "/v1/keys";
  if (request.path.starts_with("/v1/nodes/")) return "/v1/nodes";
  if (request.path.starts_with("/v1/results/")) return "/v1/results";
  if (request.path.starts_with("/v1/jobs/")) return "/v1/jobs";
  if (request.path.starts_with("/v1/receipts/")) return "/v1/receipts";
  if (request.path.starts_with("/v1/webhooks/")) return "/v1/webhooks";
  return request.path.starts_with("/v1/models/") ? "/v1/models" : "other";
}

}  // namespace

struct Gateway::Parts {
  Parts(asio::io_context& io, config::Config from, std::unique_ptr<storage::Database> opened_database,
        dialect::Dialects loaded_dialects)
      : loop(io), config(std::move(from)), dialects(std::move(loaded_dialects)), database(std::move(opened_database)) {}

  Result<void> open_money();
  Result<void> open_payments();
  Result<void> open_webhooks();
  Result<void> open_channels();
  Result<void> open_queue();
  Result<void> open_listeners();
  void add_routes();
  void add_job_routes();
  void add_metrics();
  void add_webhook_metrics(std::vector<telemetry::Reading>& out) const;
  void add_queue_metrics(std::vector<telemetry::Reading>& out) const;
  void apply(const config::Config& next);
  http::ServerParts server_parts(const http::Router& router, asio::ssl::context* context);
  http::ServerParts public_server_parts();
  awaitable<void> journal_holds(std::stop_token stop);
  awaitable<void> journal_key_use(std::stop_token stop);
  awaitable<void> forget_unpaid_jobs(std::stop_token stop);
  [[nodiscard]] api::Status status() const;

  asio::io_context& loop;
  config::Config config;
  SystemClock clock;
  Deadlines deadlines{loop.get_executor(), clock};
  dialect::Dialects dialects;
  // Money first: nothing may run without it.
  std::unique_ptr<storage::Database> database;
  events::Subscriptions subscriptions;
  std::unique_ptr<ledger::Ledger> ledger;
  ledger::ReceiptLog receipt_log{*database};
  std::unique_ptr<receipts::Keys> receipt_keys;
  std::unique_ptr<identity::KeyRing> keys;
  std::optional<identity::AccessTokens> tokens;
  std::unique_ptr<identity::RequestSignatures> signatures;
  std::unique_ptr<identity::WalletAccounts> wallets;
  std::optional<identity::WalletLogin> wallet_login;
  // How money comes in; none without `payments` in the configuration.
  std::unique_ptr<payments::Facilitator> facilitator;
  std::map<std::string, std::unique_ptr<payments::Chain>, std::less<>> chains;  // by their networks' names
  std::unique_ptr<payments::TopUp> top_up;
  // Who is told.
  std::unique_ptr<http::Poster> poster;
  std::unique_ptr<webhooks::Webhooks> webhooks;
  std::unique_ptr<channel::Channels> channels;
  // What is sold, to whom, how much of it.
  inference::Catalogue catalogue;
  api::Tiers tiers;
  limits::RateLimiter limiter{65'536};
  std::unique_ptr<limits::AccountLimits> account_limits;
  limits::AddressLimiter strangers{config.http.anonymous_requests_per_minute, config.http.max_anonymous_clients};
  // Who delivers it.
  scheduler::NodeRegistry registry{breaker_rules(config), std::random_device{}()};
  scheduler::Scheduler scheduler{loop.get_executor(), deadlines, registry, line_limits(config)};
  relay::NodeClient nodes{loop.get_executor(), deadlines, node_client_limits(config)};
  relay::Prober prober{loop.get_executor(), deadlines, scheduler, nodes, probe_rules(config)};
  scan::Scanner scanner;
  relay::Relay relay{loop.get_executor(), deadlines, scheduler, nodes, scanner, relay_limits(config)};
  std::optional<inference::Inference> inference;
  // What outlives its request.
  std::unique_ptr<jobs::JobQueue> queue;
  // How it is asked for.
  telemetry::Metrics metrics;
  std::optional<api::Guard> guard;
  std::optional<api::QueueApi> queue_routes;
  std::optional<api::ChatApi> chat;
  std::optional<api::RunningJobs> running_jobs;
  std::optional<api::PaidJobs> paid_jobs;
  std::optional<api::UnpaidJobs> unpaid_jobs;
  std::optional<api::QueuedJobs> queued_jobs;
  std::optional<api::GivenUpJobs> given_up_jobs;
  std::optional<api::JobsApi> jobs;
  std::optional<api::ReceiptsApi> receipts;
  std::optional<api::ModelsApi> models;
  std::optional<api::CreditsApi> credits;
  std::optional<api::NodesApi> node_routes;
  std::optional<api::TopUpApi> top_up_route;
  std::optional<api::AuthApi> auth;
  std::optional<api::KeysApi> key_routes;
  std::optional<api::TokenApi> token_routes;
  std::optional<api::WebhooksApi> webhook_routes;
  std::optional<api::ChannelApi> channel_routes;
  std::optional<api::StatusApi> state;
  std::optional<api::AdminApi> admin;
  http::Router router;
  http::Router admin_router;
  std::optional<asio::ssl::context> tls;
  std::unique_ptr<http::Listener> listener;
  std::unique_ptr<http::Listener> admin_listener;
  TaskGroup tasks{loop.get_executor()};
  bool draining = false;
};

Result<void> Gateway::Parts::open_money() {
  auto opened = ledger::Ledger::open(*database, clock, ledger_limits(config), &subscriptions);
  if (!opened) return std::unexpected(std::move(opened.error()));
  ledger = *std::move(opened);
  auto signing_keys = receipts::Keys::open(*database, clock, config.data_dir);
  if (!signing_keys) return std::unexpected(std::move(signing_keys.error()));
  receipt_keys = *std::move(signing_keys);
  auto ring = identity::KeyRing::open(*database, clock, key_rules(config));
  if (!ring) return std::unexpected(std::move(ring.error()));
  keys = *std::move(ring);
  auto overrides = limits::AccountLimits::open(*database);
  if (!overrides) return std::unexpected(std::move(overrides.error()));
  account_limits = *std::move(overrides);
  auto signer = identity::AccessTokens::open(token_terms(config));
  if (!signer) return std::unexpected(std::move(signer.error()));
  tokens = *std::move(signer);
  auto signing = identity::RequestSignatures::open(*database, clock, signature_terms(config));
  if (!signing) return std::unexpected(std::move(signing.error()));
  signatures = *std::move(signing);
  auto known_wallets = identity::WalletAccounts::open(*database, clock);
  if (!known_wallets) return std::unexpected(std::move(known_wallets.error()));
  wallets = *std::move(known_wallets);
  auto login = identity::WalletLogin::open(login_terms(config), clock);
  if (!login) return std::unexpected(std::move(login.error()));
  wallet_login = *std::move(login);
  inference.emplace(catalogue, *ledger, relay, scanner, registry, clock, inference_limits(config));
  guard.emplace(
      dialects, *keys, *tokens, *signatures,
      api::Limiting{.accounts = limiter, .tiers = tiers, .overrides = *account_limits, .strangers = strangers}, clock);
  return {};
}

Result<void> Gateway::Parts::open_payments() {
  if (!config.payments) return {};
  const config::Payments& settings = *config.payments;
  auto rules = top_up_rules(settings, config.network.public_url);
  if (!rules) return std::unexpected(std::move(rules.error()));
  try {
    facilitator = payments::make_http_facilitator(loop.get_executor(), deadlines, facilitator_place(settings));
    for (const auto& network : settings.networks) {
      if (network.rpc_url.empty()) continue;
      chains[network.name] =
          payments::make_http_chain(loop.get_executor(), deadlines, chain_place(settings, network.rpc_url));
    }
  } catch (const std::exception& error) {
    return fail(Fault::internal_error, std::string("payments: ") + error.what());
  }
  const auto chain_of = [this](const payments::Network& network) {
    const auto found = chains.find(network.name);
    return found == chains.end() ? nullptr : found->second.get();
  };
  auto opened = payments::TopUp::open(loop.get_executor(), deadlines, tasks, *database, *ledger, *facilitator, chain_of,
                                      *std::move(rules));
  if (!opened) return std::unexpected(std::move(opened.error()));
  top_up = *std::move(opened);
  return {};
}

Result<void> Gateway::Parts::open_webhooks() {
  try {
    poster = std::make_unique<http::Poster>(loop.get_executor(), deadlines, config.webhooks.ca_file,
                                            config.webhooks.resolver_threads);
  } catch (const std::exception& error) {
    return fail(Fault::internal_error, std::string("webhooks: ") + error.what());
  }
  const auto send = [this](http::Place place, http::Post what, std::stop_token stop) {
    return poster->post(std::move(place), std::move(what), std::move(stop));
  };
  auto opened = webhooks::Webhooks::open(loop.get_executor(), deadlines, tasks, *database, subscriptions, send,
                                         webhook_rules(config));
  if (!opened) return std::unexpected(std::move(opened.error()));
  webhooks = *std::move(opened);
  return {};
}

Result<void> Gateway::Parts::open_channels() {
  auto opened = channel::Channels::open(loop.get_executor(), deadlines, tasks, *database, channel_rules(config));
  if (!opened) return std::unexpected(std::move(opened.error()));
  channels = *std::move(opened);
  return {};
}

Result<void> Gateway::Parts::open_queue() {
  const auto tier_of = [this](ledger::AccountId account, const std::string& tier) {
    return guard->tier_of(account, tier).value_or(limits::Tier());
  };
  auto opened = jobs::JobQueue::open(
      {.executor = loop.get_executor(),
       .deadlines = deadlines,
       .tasks = tasks,
       .database = *database,
       .ledger = *ledger,
       .subscriptions = subscriptions,
       .run = jobs::run_by(
           {.inference = *inference, .dialects = dialects, .limiter = limiter, .tier_of = tier_of, .clock = clock}),
       .concurrency = [tier_of](ledger::AccountId account,
                                const std::string& tier) { return tier_of(account, tier).concurrent_jobs; },
       .seed = std::random_device{}()},
      queue_rules(config));
  if (!opened) return std::unexpected(std::move(opened.error()));
  queue = *std::move(opened);
  return {};
}

void Gateway::Parts::apply(const config::Config& next) {
  catalogue.assign(models_of(next));
  tiers = tiers_of(next);
  registry.assign(nodes_of(next, *ledger));
  scheduler.dispatch();
}

api::Status Gateway::Parts::status() const {
  api::Status now{.draining = draining,
                  .storage_ok = !ledger->poisoned(),
                  .nodes_live = 0,
                  .nodes_total = registry.nodes().size(),
                  .queue = queue->stats()};
  for (const auto& node : registry.nodes()) now.nodes_live += node->live(clock.now()) ? 1 : 0;
  return now;
}

void Gateway::Parts::add_job_routes() {
  // Before the jobs: their ids take the rest of a path.
  receipts.emplace(*guard, receipt_log, *receipt_keys, clock);
  receipts->add_routes(router);
  running_jobs.emplace(*ledger);
  paid_jobs.emplace(*ledger);
  unpaid_jobs.emplace(*ledger);
  queued_jobs.emplace(*queue);
  given_up_jobs.emplace(*queue);
  jobs.emplace(
      *guard, *ledger, *receipt_keys,
      std::vector<api::JobSource*>{&*running_jobs, &*paid_jobs, &*unpaid_jobs, &*queued_jobs, &*given_up_jobs});
  jobs->add_routes(router);
}

void Gateway::Parts::add_routes() {
  const auto signing = header_signing(config, *receipt_keys, *ledger);
  queue_routes.emplace(*guard, *queue, *ledger, signing, dialects, clock, queue_limits(config));
  queue_routes->add_routes(router);
  chat.emplace(*guard, *inference, *queue_routes, signing);
  chat->add_routes(router);
  add_job_routes();
  models.emplace(*guard, catalogue, registry, clock);
  models->add_routes(router);
  credits.emplace(*guard, *ledger);
  credits->add_routes(router);
  node_routes.emplace(*guard, *ledger, registry);
  node_routes->add_routes(router);
  if (top_up) {
    top_up_route.emplace(*guard, *top_up, *ledger, clock, top_up_limits(*config.payments));
    top_up_route->add_routes(router);
  }
  auth.emplace(*guard, *wallet_login, *wallets, *keys, *ledger, dialects, clock, auth_limits(config));
  auth->add_routes(router);
  key_routes.emplace(*guard, *keys, dialects, clock, config.keys.max_body_bytes);
  key_routes->add_routes(router);
  token_routes.emplace(*guard, *keys, *tokens, *ledger, clock, token_limits(config));
  token_routes->add_routes(router);
  webhook_routes.emplace(*guard, *webhooks, clock, webhook_limits(config));
  webhook_routes->add_routes(router);
  channel_routes.emplace(*guard, *channels, clock, channel_limits(config));
  channel_routes->add_routes(router);
  api::Identity identity{.name = config.network.name, .version = TURNPIKE_VERSION, .dialects = {}};
  for (const auto& dialect : dialects.all()) identity.dialects.push_back(dialect.id);
  identity.receipt_keys = [this] { return receipt_keys->all(); };
  state.emplace([this] { return status(); }, std::move(identity), metrics, clock);
  state->add_routes(router, &*guard);
  admin.emplace(admin_token(fs::path(config.data_dir) / "admin.token"), *ledger, *keys, dialects, tiers,
                *account_limits, registry, clock,
                api::AdminParts{.top_up = top_up.get(), .queue = queue.get(), .receipt_keys = receipt_keys.get()});
  admin->add_routes(admin_router);
  state->add_routes(admin_router, nullptr);
}

void Gateway::Parts::add_webhook_metrics(std::vector<telemetry::Reading>& out) const {
  const auto stats = webhooks->stats();
  const auto gauge = [&out](std::string name, std::string help, double value) {
    out.push_back({.name = std::move(name), .help = std::move(help), .label = {}, .label_value = {}, .value = value});
  };
  const auto outcome = [&out](std::string name, std::uint64_t value) {
    out.push_back({.name = "turnpike_webhook_attempts_total",
                   .help = "Attempts to deliver a webhook, by what they came to",
                   .label = "outcome",
                   .label_value = std::move(name),
                   .value = static_cast<double>(value),
                   .counter = true});
  };
  outcome("delivered", stats.delivered);
  outcome("failed", stats.failed);
  outcome("dead", stats.dead);
  outcome("gone", stats.gone);
  gauge("turnpike_webhook_endpoints", "Webhook endpoints that are told", static_cast<double>(stats.active));
  gauge("turnpike_webhook_pending", "Deliveries that wait", static_cast<double>(stats.pending));
  gauge("turnpike_webhook_running", "Deliveries under way", static_cast<double>(stats.running));
  const auto age = stats.oldest ? std::chrono::duration<double>(clock.wall() - *stats.oldest).count() : 0.0;
  gauge("turnpike_webhook_oldest_seconds", "Age of the oldest delivery that waits", age);
}

void Gateway::Parts::add_queue_metrics(std::vector<telemetry::Reading>& out) const {
  const auto stats = queue->stats();
  const auto jobs_in = [&out](std::string state, std::size_t value) {
    out.push_back({.name = "turnpike_queue_jobs",
                   .help = "Jobs in the queue, by state",
                   .label = "state",
                   .label_value = std::move(state),
                   .value = static_cast<double>(value)});
  };
  jobs_in("queued", stats.queued);
  jobs_in("processing", stats.processing);
  jobs_in("dead", stats.dead);
  const auto outcome = [&out](std::string name, std::uint64_t value) {
    out.push_back({.name = "turnpike_queue_tries_total",
                   .help = "Tries of queued jobs and what else ended jobs, by what they came to",
                   .label = "outcome",
                   .label_value = std::move(name),
                   .value = static_cast<double>(value),
                   .counter = true});
  };
  outcome("complete", stats.completed);
  outcome("failed", stats.tries_failed);
  outcome("dead", stats.given_up);
  outcome("cancelled", stats.cancelled);
  outcome("refused", stats.refused);
  const auto gauge = [&out](std::string name, std::string help, double value) {
    out.push_back({.name = std::move(name), .help = std::move(help), .label = {}, .label_value = {}, .value = value});
  };
  gauge("turnpike_queue_bytes", "Bytes of the requests in the queue", static_cast<double>(stats.bytes));
  const auto age = stats.oldest ? std::chrono::duration<double>(clock.wall() - *stats.oldest).count() : 0.0;
  gauge("turnpike_queue_oldest_seconds", "Age of the oldest job that waits", age);
  gauge("turnpike_set_aside_usd", "Credits set aside for queued jobs, in dollars",
        static_cast<double>(ledger->stats().set_aside.nanousd()) / 1e9);
}

void Gateway::Parts::add_metrics() {
  metrics.add_source([this](std::vector<telemetry::Reading>& out) {
    const auto gauge = [&out](std::string name, std::string help, double value) {
      out.push_back({.name = std::move(name), .help = std::move(help), .label = {}, .label_value = {}, .value = value});
    };
    const auto count = [&out](std::string name, std::string help, std::uint64_t value) {
      out.push_back({.name = std::move(name),
                     .help = std::move(help),
                     .label = {},
                     .label_value = {},
                     .value = static_cast<double>(value),
                     .counter = true});
    };
    const auto& server = listener->stats();
    gauge("turnpike_connections", "Open client connections", static_cast<double>(server.connections));
    gauge("turnpike_requests_running", "Requests being answered", static_cast<double>(server.requests_running));
    count("turnpike_connections_refused_total", "Connections over the limit", server.refused);
    const auto money = ledger->stats();
    gauge("turnpike_open_holds", "Holds not yet settled", static_cast<double>(money.open_holds));
    count("turnpike_captures_total", "Charges", money.captures);
    count("turnpike_releases_total", "Holds given back", money.releases);
    count("turnpike_unpaid_jobs_forgotten_total", "Unpaid jobs that storage did not take", money.unpaid_forgotten);
    gauge("turnpike_receipts", "Receipts in the log", static_cast<double>(money.receipts));
    count("turnpike_low_credits_total", "Charges that took a balance below its low threshold", money.low_crossings);
    count("turnpike_insufficient_credits_total", "Requests refused for want of credits", money.refusals);
    if (top_up) {
      const auto payments = top_up->stats();
      gauge("turnpike_payments_pending", "Payments written down and not settled",
            static_cast<double>(payments.pending));
      count("turnpike_payments_credited_total", "Top-ups", payments.credited);
      count("turnpike_payments_refused_total", "Payments refused", payments.refused);
    }
    add_webhook_metrics(out);
    add_queue_metrics(out);
    const auto readers = channels->stats();
    gauge("turnpike_channel_readers", "Streams of channels", static_cast<double>(readers.readers));
    count("turnpike_channel_messages_total", "Messages posted to channels", readers.posted);
    count("turnpike_channel_readers_cut_total", "Streams of channels that fell behind", readers.cut);
    gauge("turnpike_storage_waiting", "Writes waiting for their commit", static_cast<double>(database->waiting()));
    gauge("turnpike_storage_poisoned", "1 after a commit failed", ledger->poisoned() ? 1 : 0);
    const auto line = scheduler.stats();
    gauge("turnpike_waiting_requests", "Requests waiting for a node", static_cast<double>(line.waiting));
    count("turnpike_waiting_refused_total", "Requests refused because the line was full", line.refused);
    count("turnpike_waiting_timed_out_total", "Requests that waited too long", line.timed_out);
    const auto& relayed = relay.stats();
    count("turnpike_node_attempts_total", "Requests sent to nodes", relayed.attempts);
    count("turnpike_node_retries_total", "Attempts after a first one failed", relayed.retries);
    count("turnpike_node_continuations_total", "Streams carried on by another node", relayed.continuations);
    count("turnpike_schema_misfits_total", "Answers that do not fit their request's JSON schema", relayed.misfits);
    for (const auto& node : registry.nodes()) {
      const auto labelled = [&](std::string name, std::string help, double value) {
        out.push_back({.name = std::move(name),
                       .help = std::move(help),
                       .label = "node",
                       .label_value = node->id(),
                       .value = value});
      };
      labelled("turnpike_node_live", "1 while a node takes requests", node->live(clock.now()) ? 1 : 0);
      labelled("turnpike_node_in_flight", "Requests on a node", static_cast<double>(node->in_flight()));
      labelled("turnpike_node_latency_ms", "Smoothed time of a node's answers", node->latency_ms());
    }
  });
}

http::ServerParts Gateway::Parts::server_parts(const http::Router& routes, asio::ssl::context* context) {
  return {.executor = loop.get_executor(),
          .deadlines = deadlines,
          .router = routes,
          .limits = http_limits(config),
          .render_error = [this](const Error& error,
                                 const http::Request* request) { return guard->refuse(request, error); },
          .observe =
              [this](const http::Request& request, int status, std::chrono::nanoseconds took) {
                metrics.request(route_name(request), status, took);
                if (!spdlog::should_log(spdlog::level::debug)) return;
                spdlog::debug("{} {} {} {} in {} us", request.id, request.method, request.path, status,
                              std::chrono::duration_cast<std::chrono::microseconds>(took).count());
              },
          .tls = context};
}

http::ServerParts Gateway::Parts::public_server_parts() {
  auto parts = server_parts(router, tls ? &*tls : nullptr);
  parts.growth_from = config.memory.huge_pages_from_connections;
  // What is there already is gathered once; later it would be too much to wait for.
  parts.on_growth = [now = true]() mutable { hold_heap_in_huge_pages(std::exchange(now, false)); };
  return parts;
}

Result<void> Gateway::Parts::open_listeners() {
  if (config.tls) {
    try {
      tls.emplace(asio::ssl::context::tls_server);
      tls->set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_tlsv1 |
                       asio::ssl::context::no_tlsv1_1);
      tls->use_certificate_chain_file(config.tls->certificate_file);
      tls->use_private_key_file(config.tls->private_key_file, asio::ssl::context::pem);
    } catch (const boost::system::system_error& error) {
      return fail(Fault::internal_error, "the TLS certificate or key cannot be used: " + error.code().message());
    }
  }
  auto opened = http::Listener::open(public_server_parts(), config::to_string(config.listen));
  if (!opened) return std::unexpected(std::move(opened.error()));
  listener = *std::move(opened);
  auto admin_listen = config.admin_listen;
  auto admin_opened = http::Listener::open(server_parts(admin_router, nullptr), config::to_string(admin_listen));
  if (!admin_opened && config.admin_port_may_move) {
    admin_listen.port = 0;
    admin_opened = http::Listener::open(server_parts(admin_router, nullptr), config::to_string(admin_listen));
  }
  if (!admin_opened) return std::unexpected(std::move(admin_opened.error()));
  admin_listener = *std::move(admin_opened);
  return {};
}

awaitable<void> Gateway::Parts::journal_holds(std::stop_token stop) {
  const auto interval = std::max(config.ledger.hold_journal_delay / 2, std::chrono::milliseconds(100));
  while (co_await pause(loop.get_executor(), deadlines, interval, stop)) ledger->journal_open_holds(clock.now());
}

awaitable<void> Gateway::Parts::journal_key_use(std::stop_token stop) {
  while (co_await pause(loop.get_executor(), deadlines, config.keys.last_used_flush, stop)) keys->write_last_used();
}

awaitable<void> Gateway::Parts::forget_unpaid_jobs(std::stop_token stop) {
  do {
    ledger->forget_unpaid_jobs();
  } while (co_await pause(loop.get_executor(), deadlines, std::chrono::minutes(10), stop));
}

Gateway::Gateway(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Gateway::~Gateway() = default;

Result<std::unique_ptr<Gateway>> Gateway::open(asio::io_context& loop, config::Config config) {
  std::error_code failed;
  if (fs::create_directories(config.data_dir, failed)) {
    fs::permissions(config.data_dir, fs::perms::owner_all, failed);  // the ledger and the admin token are nobody else's
  }
  if (failed) return fail(Fault::internal_error, "cannot make the folder " + config.data_dir + ": " + failed.message());
  auto dialects = dialect::Dialects::load(config.network.dialects_dir, config.network.default_dialect);
  if (!dialects) return fail(Fault::internal_error, dialects.error().front());
  auto database =
      storage::open_sqlite(loop.get_executor(), {.file = (fs::path(config.data_dir) / "turnpike.db").string(),
                                                 .durability = config.storage.durability == config::Durability::power
                                                                   ? storage::Durability::power
                                                                   : storage::Durability::process,
                                                 .queue_limit = config.ledger.write_queue_limit,
                                                 .commit_delay = config.storage.commit_delay,
                                                 .journal_bytes = config.storage.journal_bytes});
  if (!database) return std::unexpected(std::move(database.error()));
  auto parts = std::make_unique<Parts>(loop, std::move(config), *std::move(database), *std::move(dialects));
  if (auto opened = parts->open_money(); !opened) return std::unexpected(std::move(opened.error()));
  if (auto opened = parts->open_payments(); !opened) return std::unexpected(std::move(opened.error()));
  if (const auto faults = unknown_owners(parts->config, *parts->ledger); !faults.empty()) {
    return fail(Fault::internal_error, faults.front());
  }
  if (auto opened = parts->open_webhooks(); !opened) return std::unexpected(std::move(opened.error()));
  if (auto opened = parts->open_channels(); !opened) return std::unexpected(std::move(opened.error()));
  if (auto opened = parts->open_queue(); !opened) return std::unexpected(std::move(opened.error()));
  parts->apply(parts->config);
  parts->add_routes();
  parts->add_metrics();
  if (auto opened = parts->open_listeners(); !opened) return std::unexpected(std::move(opened.error()));
  return std::unique_ptr<Gateway>(new Gateway(std::move(parts)));
}

void Gateway::start() {
  parts_->listener->start();
  parts_->admin_listener->start();
  const auto stop = parts_->tasks.stop_token();
  parts_->tasks.spawn("node probes", parts_->prober.run(stop));
  parts_->tasks.spawn("hold journal", parts_->journal_holds(stop));
  parts_->tasks.spawn("unpaid jobs", parts_->forget_unpaid_jobs(stop));
  if (parts_->top_up) parts_->top_up->start();
  parts_->webhooks->start();
  parts_->channels->start();
  parts_->queue->start();
  parts_->tasks.spawn("key use journal", parts_->journal_key_use(stop));
  // Tools on this machine find a gateway with port 0 here.
  write_whole(fs::path(parts_->config.data_dir) / "listening.json",
              nlohmann::json{{"listen", address()}, {"admin", admin_address()}}.dump() + "\n");
  spdlog::info("listening on {}://{}", parts_->tls ? "https" : "http", address());
  spdlog::info("admin on http://{}", admin_address());
}

std::string Gateway::address() const {
  return parts_->listener->address();
}
std::string Gateway::admin_address() const {
  return parts_->admin_listener->address();
}

awaitable<Result<std::string>> Gateway::create_key(const std::string& credits) {
  const auto amount = ledger::Money::from_credits(credits);
  if (!amount) co_return fail(Fault::invalid_request, "not an amount of credits: " + credits);
  auto account = co_await parts_->ledger->create_account("dev");
  if (!account) co_return std::unexpected(std::move(account.error()));
  const auto& dialect = parts_->dialects.fallback();
  auto key = co_await parts_->keys->create({.account_id = account->id,
                                            .prefix = dialect.key_prefixes.front(),
                                            .dialect = dialect.id,
                                            .tier = dialect.default_tier});
  if (!key) co_return std::unexpected(std::move(key.error()));
  auto balance = co_await parts_->ledger->grant(account->id, *amount, "turnpike dev");
  if (!balance) co_return std::unexpected(std::move(balance.error()));
  co_return key->api_key;
}

config::Faults Gateway::reload(config::Config next) {
  auto faults = config::needs_restart(parts_->config, next, "reload");
  std::ranges::move(unknown_owners(next, *parts_->ledger), std::back_inserter(faults));
  if (!faults.empty()) return faults;
  parts_->apply(next);
  telemetry::set_log_level(next.log.level);
  parts_->config = std::move(next);
  return {};
}

awaitable<void> Gateway::drain() {
  auto& parts = *parts_;
  if (parts.draining) co_return;
  parts.draining = true;
  // Closed before it is said: whoever reads the line finds nobody listening.
  parts.listener->drain();
  spdlog::info("draining: {} requests are running", parts.listener->stats().requests_running);
  parts.channels->stop();  // streams have no end of their own
  parts.queue->stop_starting();
  {
    Deadline limit(
        parts.deadlines,
        [](void* cut) {
          auto& late = *static_cast<Parts*>(cut);
          late.listener->close_all();
          late.queue->stop_running();
        },
        &parts);
    limit.arm(parts.config.drain_timeout);
    co_await parts.listener->join();
    co_await parts.queue->idle();
  }
  parts.admin_listener->close_all();
  co_await parts.admin_listener->join();
  parts.tasks.request_stop();
  co_await parts.tasks.join();
  co_await parts.nodes.close();
  parts.keys->write_last_used();
  // Completions are posted to this loop: everything is answered by now, so what is left is the file.
  parts.database->close();
  spdlog::info("drained");
}

}  // namespace turnpike::app
