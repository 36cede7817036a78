// The configuration as typed values. Keys, defaults, constraints and documentation are one table in
// src/config/table.cpp; docs/configuration.md and config/turnpike.schema.json are printed from it.
//
// Thread: plain values.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace turnpike::config {

using Milliseconds = std::chrono::milliseconds;

struct Listen {
  std::string address = {};  // an IPv4 or IPv6 address, without brackets
  std::uint16_t port = 0;
  bool operator==(const Listen&) const = default;
};

struct Tls {
  std::string certificate_file = {};  // PEM, the chain
  std::string private_key_file = {};  // PEM
  bool operator==(const Tls&) const = default;
};

struct Http {
  std::size_t max_connections = 0;
  std::size_t max_head_bytes = 0;
  std::size_t max_body_bytes = 0;
  std::size_t max_body_memory_bytes = 0;  // request bodies of all connections together
  Milliseconds head_timeout{};
  Milliseconds body_timeout{};
  Milliseconds idle_timeout{};
  Milliseconds write_timeout{};
  std::vector<std::string> cors_allowed_origins = {};  // "*": any
  std::vector<std::string> trusted_proxies = {};       // addresses and networks
  std::uint64_t anonymous_requests_per_minute = 0;     // by client address
  std::size_t max_anonymous_clients = 0;
  bool operator==(const Http&) const = default;
};

enum class Durability : std::uint8_t { process, power };

struct Storage {
  Durability durability = Durability::process;
  Milliseconds commit_delay{};
  std::size_t journal_bytes = 0;
  bool operator==(const Storage&) const = default;
};

struct Memory {
  std::size_t huge_pages_from_connections = 0;  // 0: never
  bool operator==(const Memory&) const = default;
};

struct Network {
  std::string name = {};
  std::string default_dialect = {};
  std::string public_url = {};
  std::string dialects_dir = {};  // empty: the built-in ones
  bool operator==(const Network&) const = default;
};

struct Capabilities {
  bool chat = true;
  bool completion = true;
  bool embeddings = false;
  bool vision = false;
  bool structured_output = false;
  bool operator==(const Capabilities&) const = default;
};

// Nano-dollars; see ledger::Price.
// Of the price, in percent: while no slot is in use, and while all are.
struct Demand {
  std::uint64_t least_percent = 100;
  std::uint64_t most_percent = 100;
  bool operator==(const Demand&) const = default;
};

struct Pricing {
  std::int64_t prompt_per_million_nanousd = 0;
  std::int64_t completion_per_million_nanousd = 0;
  std::int64_t per_request_nanousd = 0;
  std::uint64_t included_output_tokens = 0;
  std::int64_t per_thousand_beyond_nanousd = 0;
  std::optional<Demand> demand = {};
  bool operator==(const Pricing&) const = default;
};

struct Model {
  std::string id = {};
  std::string owned_by = {};
  std::int64_t created = 0;  // Unix seconds
  Capabilities capabilities = {};
  std::uint64_t context_window = 0;                     // tokens
  std::optional<std::uint64_t> max_output_tokens = {};  // none: the context window
  Pricing pricing = {};
  bool operator==(const Model&) const = default;
};

enum class Engine : std::uint8_t { openai, llama_cpp, vllm, sglang, ollama };
[[nodiscard]] std::string_view to_string(Engine engine);  // "llama.cpp"

struct ModelName {
  std::string id = {};    // the gateway's
  std::string name = {};  // the node's
  bool operator==(const ModelName&) const = default;
};

struct Node {
  std::string id = {};
  std::string url =
      {};  // http:// or https://, with the path that /chat/completions follows, without a slash at the end
  std::vector<std::string> models = {};     // the gateway's ids
  std::vector<ModelName> model_names = {};  // where the node calls one otherwise
  std::size_t capacity = 0;                 // requests at once
  Engine engine = Engine::openai;
  std::string pool = {};
  std::string api_key = {};     // the secret itself, read from api_key_env or api_key_file; empty: none. Never logged.
  std::uint32_t weight = 100;   // traffic relative to others, percent
  std::string probe_path = {};  // empty: <url>/models
  std::string owner = {};       // an account's public id; empty: nobody
  std::uint32_t payout_share_millionths = 0;  // of its owner: its own, or that of all nodes
  bool operator==(const Node&) const = default;
};

// Absent: no limit.
struct Tier {
  std::string name = {};
  std::optional<std::uint64_t> requests_per_minute = {};
  std::optional<std::uint64_t> tokens_per_minute = {};
  std::optional<std::uint64_t> tokens_per_day = {};
  std::optional<std::uint64_t> concurrent_requests = {};
  std::optional<std::uint64_t> concurrent_jobs = {};
  bool operator==(const Tier&) const = default;
};

// A chain that payments are taken on, and its token.
struct PaymentNetwork {
  std::string name = {};  // "base"
  std::uint64_t chain_id = 0;
  std::string asset = {};  // an address: "0x" and 40 hex digits
  std::string asset_name = {};
  std::string asset_version = {};
  std::string rpc_url = {};  // empty: none. Never logged: a key may be part of it
  bool operator==(const PaymentNetwork&) const = default;
};

struct Payments {
  std::string pay_to = {};  // an address
  std::string facilitator = {};
  std::string facilitator_key = {};  // the secret itself; empty: none. Never logged.
  std::string ca_file = {};          // empty: the system's
  std::vector<PaymentNetwork> networks = {};
  std::int64_t min_nanousd = 0;
  std::int64_t max_nanousd = 0;
  std::chrono::seconds max_timeout{};   // max_timeout_secs
  std::chrono::seconds max_validity{};  // max_validity_secs
  Milliseconds verify_timeout{};
  Milliseconds settle_timeout{};
  Milliseconds rpc_timeout{};
  std::uint64_t rpc_log_blocks = 0;
  Milliseconds answer_timeout{};
  Milliseconds first_retry{};
  Milliseconds max_retry{};
  std::size_t max_answer_bytes = 0;
  std::size_t max_header_bytes = 0;
  std::size_t max_body_bytes = 0;
  std::size_t max_open = 0;
  std::size_t max_open_per_account = 0;
  bool operator==(const Payments&) const = default;
};

struct Relay {
  Milliseconds connect_timeout{};
  Milliseconds first_token_timeout{};
  Milliseconds between_tokens_timeout{};
  std::chrono::seconds default_timeout{};  // default_timeout_secs
  std::chrono::seconds max_timeout{};      // max_timeout_secs
  Milliseconds keep_alive_interval{};
  std::size_t max_answer_bytes = 0;  // of an answer that is not a stream
  std::size_t max_stream_bytes = 0;
  std::size_t max_event_bytes = 0;
  std::size_t max_node_head_bytes = 0;
  std::size_t retries = 0;  // attempts before the first byte, the first one among them
  std::size_t idle_connections_per_node = 0;
  std::size_t resolver_threads = 0;
  Milliseconds idle_connection_timeout{};
  bool continuation = true;
  std::uint64_t image_token_allowance = 0;
  std::optional<std::uint64_t> default_max_tokens = {};  // none: the model's context window
  std::size_t schema_max_bytes = 0;
  std::size_t schema_max_steps = 0;
  bool operator==(const Relay&) const = default;
};

struct Scheduler {
  Milliseconds probe_interval{};
  Milliseconds probe_timeout{};
  std::size_t breaker_failures = 0;
  Milliseconds breaker_open{};
  Milliseconds breaker_max_open{};
  std::size_t queue_limit = 0;
  std::size_t queue_limit_per_account = 0;
  Milliseconds queue_timeout{};
  bool operator==(const Scheduler&) const = default;
};

struct Ledger {
  std::size_t max_accounts = 0;
  std::size_t max_keys = 0;
  std::size_t max_open_holds = 0;
  Milliseconds hold_journal_delay{};
  std::size_t write_queue_limit = 0;
  std::int64_t low_threshold_nanousd = 0;  // 0: none
  bool operator==(const Ledger&) const = default;
};

// Which answers bear signatures of their hold and charge.
enum class SignedHeaders : std::uint8_t { dialect, always, never };

struct Receipts {
  SignedHeaders signed_headers = SignedHeaders::dialect;
  bool content_digests = true;
  std::chrono::seconds unpaid_retention{};  // unpaid_retention_secs
  std::size_t max_unpaid_jobs = 0;
  bool operator==(const Receipts&) const = default;
};

struct Wallets {
  Milliseconds nonce_lifetime{};
  std::size_t max_nonces = 0;
  std::size_t max_body_bytes = 0;
  std::uint64_t challenges_per_minute = 0;  // by client address
  std::uint64_t logins_per_minute = 0;      // by client address
  std::size_t max_clients = 0;
  bool operator==(const Wallets&) const = default;
};

struct Keys {
  std::size_t max_per_account = 0;
  Milliseconds rotation_grace{};
  Milliseconds last_used_flush{};
  std::size_t max_body_bytes = 0;
  std::chrono::seconds token_lifetime{};  // token_lifetime_secs
  std::uint64_t tokens_per_minute = 0;    // by client address
  std::size_t max_clients = 0;
  std::size_t remembered_tokens = 0;
  bool operator==(const Keys&) const = default;
};

struct Signatures {
  std::chrono::seconds window{};  // window_secs
  std::size_t max_nonces = 0;
  std::size_t max_nonces_per_key = 0;
  bool operator==(const Signatures&) const = default;
};

enum class LogFormat : std::uint8_t { text, json };

struct Log {
  std::string level = {};  // a name that spdlog knows
  LogFormat format = LogFormat::text;
  bool operator==(const Log&) const = default;
};

struct ChannelLimits {
  std::uint64_t posts_per_minute = 0;
  std::size_t max_accounts = 0;
  std::size_t max_characters = 0;
  std::size_t max_body_bytes = 0;
  std::chrono::seconds retention{};  // retention_secs
  std::size_t recent_messages = 0;
  std::size_t max_readers = 0;
  std::size_t max_readers_per_account = 0;
  Milliseconds keep_alive_interval{};
  bool operator==(const ChannelLimits&) const = default;
};

struct Webhooks {
  bool allow_private_targets = false;
  std::string ca_file = {};  // empty: the system's
  std::size_t max_endpoints = 0;
  std::size_t max_endpoints_per_account = 0;
  std::size_t max_pending_per_endpoint = 0;
  std::size_t max_concurrent = 0;
  std::size_t resolver_threads = 0;
  Milliseconds timeout{};
  std::chrono::seconds max_retry_after{};  // max_retry_after_secs
  Milliseconds rotation_grace{};
  std::chrono::seconds retention{};  // retention_secs
  std::uint64_t changes_per_minute = 0;
  std::size_t max_accounts = 0;
  std::size_t max_url_bytes = 0;
  std::size_t max_body_bytes = 0;
  std::size_t max_answer_bytes = 0;
  bool operator==(const Webhooks&) const = default;
};

struct Queue {
  std::size_t max_jobs = 0;
  std::size_t max_jobs_per_account = 0;
  std::size_t max_bytes = 0;
  std::size_t max_body_bytes = 0;
  std::size_t max_running = 0;
  Milliseconds first_retry{};
  Milliseconds max_retry{};
  std::uint64_t retry_jitter_percent = 0;
  std::size_t tries = 0;
  std::chrono::seconds max_wait{};                          // max_wait_secs
  std::chrono::seconds retention{};                         // retention_secs
  std::optional<std::chrono::seconds> dead_retention = {};  // dead_retention_secs
  std::chrono::seconds idempotency{};                       // idempotency_secs
  bool operator==(const Queue&) const = default;
};

struct Config {
  Listen listen = {};
  std::optional<Tls> tls = {};
  Listen admin_listen = {};
  bool admin_port_may_move = false;  // `turnpike dev`: where another program has it, any other will do
  std::string data_dir = {};
  Milliseconds drain_timeout{};
  Storage storage = {};
  Memory memory = {};
  Network network = {};
  Http http = {};
  Relay relay = {};
  Scheduler scheduler = {};
  Ledger ledger = {};
  Receipts receipts = {};
  Wallets wallets = {};
  Keys keys = {};
  Signatures signatures = {};
  Log log = {};
  std::vector<Model> models = {};
  std::vector<Node> nodes = {};
  std::vector<Tier> tiers = {};  // the five built-in ones, as the file changed them, and its own
  std::optional<Payments> payments = {};
  std::vector<std::string> channels = {};
  ChannelLimits channel_limits = {};
  Webhooks webhooks = {};
  Queue queue = {};
  bool operator==(const Config&) const = default;
};

// Every fault of a configuration, each one line: `FILE: /json/pointer: expected …, got …`.
using Faults = std::vector<std::string>;

// Reads and checks a file. An empty path gives the defaults: no models, no nodes.
[[nodiscard]] std::expected<Config, Faults> load(const std::string& file);

// The same from text; `name` stands for the file in faults.
[[nodiscard]] std::expected<Config, Faults> parse(std::string_view text, std::string_view name);

// Where a gateway that runs with this file is found by its operator.
struct Whereabouts {
  std::string data_dir;
  Listen admin_listen;
};

// Checks the file like load(), but for what only the gateway itself must have: secrets and the files of TLS.
[[nodiscard]] std::expected<Whereabouts, Faults> find_gateway(const std::string& file);

// "ADDR:PORT" or "[ADDR6]:PORT"; port 0 lets the system choose. nullopt when malformed.
[[nodiscard]] std::optional<Listen> parse_listen(std::string_view text);
[[nodiscard]] std::string to_string(const Listen& listen);

// What keeps `next` from replacing `now` without a restart: one line for each member that changed and is not models,
// nodes, payout_share, tiers or log.level. Empty: it can be taken as it is.
[[nodiscard]] Faults needs_restart(const Config& now, const Config& next, std::string_view name);

// docs/configuration.md and config/turnpike.schema.json.
[[nodiscard]] std::string documentation();
[[nodiscard]] std::string json_schema();

}  // namespace turnpike::config
