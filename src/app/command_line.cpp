#include "turnpike/app/command_line.hpp"

#include <CLI/CLI.hpp>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "admin_commands.hpp"
#include "local_commands.hpp"
#include "turnpike/app/serve.hpp"

namespace turnpike::app {
namespace {

constexpr int kWrongUse = 2;
constexpr int kDefaultHistory = 50;

// What the arguments said. Each command's callback sets `run`.
struct Arguments {
  std::function<int()> run;
  ServeOptions serve;
  DevOptions dev;
  AdminCommand admin;
  KeyOptions key;
  LimitOptions limits;
  JobOptions jobs;
  ReceiptTrust trust;
  std::string id;
  std::string account;
  std::string credits;
  std::string note;
  std::string cursor;
  std::string file;
  int limit = kDefaultHistory;
  std::string tx;
  bool undo = false;
  bool all = false;
  bool refused = false;
  bool as_json = false;
};

CLI::App* add(CLI::App& parent, const char* name, const char* doc, Arguments& arguments, std::function<int()> run) {
  CLI::App* command = parent.add_subcommand(name, doc);
  command->callback([&arguments, run = std::move(run)] { arguments.run = run; });
  return command;
}

CLI::App* add_group(CLI::App& parent, const char* name, const char* doc) {
  CLI::App* group = parent.add_subcommand(name, doc);
  group->require_subcommand(1);
  return group;
}

void add_place(CLI::App& command, Arguments& arguments) {
  command.add_option("--config", arguments.admin.place.config_file, "The configuration of the gateway");
  command.add_option("--data-dir", arguments.admin.place.data_dir, "Its data folder, over the configuration's");
  command.add_flag("--json", arguments.as_json, "Print one JSON object a line");
}

void add_running(CLI::App& app, Arguments& arguments) {
  CLI::App* serve_command =
      add(app, "serve", "Run the gateway", arguments, [&arguments] { return serve(arguments.serve); });
  serve_command->add_option("--config", arguments.serve.config_file, "The configuration (docs/configuration.md)");
  serve_command->add_option("--listen", arguments.serve.listen, "ADDR:PORT, over the configuration's");
  serve_command->add_option("--data-dir", arguments.serve.data_dir, "The data folder, over the configuration's");

  CLI::App* dev_command = add(app, "dev", "Run a gateway with a node and a key, and print a curl line", arguments,
                              [&arguments] { return dev(arguments.dev); });
  dev_command->add_option("--listen", arguments.dev.listen, "ADDR:PORT; 127.0.0.1:7545 otherwise");
  dev_command->add_option("--data-dir", arguments.dev.data_dir, "The data folder");
}

void add_keys(CLI::App& app, Arguments& arguments) {
  CLI::App* keys = add_group(app, "keys", "API keys");
  CLI::App* create = add(*keys, "create", "Make a key, and an account for it unless one is named", arguments,
                         [&arguments] { return create_key(arguments.admin, arguments.key); });
  add_place(*create, arguments);
  create->add_option("--dialect", arguments.key.dialect, "dria, drm3, one-adn or decentral");
  create->add_option("--tier", arguments.key.tier, "Its limits; the dialect's own otherwise");
  create->add_option("--credits", arguments.key.credits, "Credits to grant to its account, as a decimal");
  create->add_option("--account", arguments.key.account, "An account that is there");
  create->add_option("--name", arguments.key.name, "A name for the new account");
  create->add_option("--scopes", arguments.key.scopes, "As \"chat:write models:read\"; all otherwise");
  create->add_option("--expires-at", arguments.key.expires_at, "As 2030-01-31T12:00:00Z");
  create->add_option("--public-key", arguments.key.public_key_file,
                     "A file with the public key that signs its requests: Ed25519 or ECDSA P-256, in PEM");
  create->add_flag("--require-signature", arguments.key.require_signature, "Refuse its requests that are not signed");
  CLI::App* list = add(*keys, "list", "Every key", arguments, [&arguments] { return list_keys(arguments.admin); });
  add_place(*list, arguments);
  CLI::App* revoke = add(*keys, "revoke", "Refuse a key from now on", arguments,
                         [&arguments] { return revoke_key(arguments.admin, arguments.id); });
  add_place(*revoke, arguments);
  CLI::App* rotate = add(*keys, "rotate", "Make a key like another, which ends after keys.rotation_grace_ms", arguments,
                         [&arguments] { return rotate_key(arguments.admin, arguments.id); });
  CLI::App* expire = add(*keys, "expire", "Say when a key ends", arguments,
                         [&arguments] { return expire_key(arguments.admin, arguments.id, arguments.key.expires_at); });
  add_place(*rotate, arguments);
  add_place(*expire, arguments);
  expire->add_option("--at", arguments.key.expires_at, "As 2030-01-31T12:00:00Z")->required();
  for (CLI::App* command : {revoke, rotate, expire}) {
    command->add_option("ID", arguments.id, "The key's id, as `keys list` shows it")->required();
  }
}

void add_credits(CLI::App& app, Arguments& arguments) {
  CLI::App* credits = add_group(app, "credits", "Balances");
  CLI::App* grant = add(*credits, "grant", "Add credits to an account", arguments, [&arguments] {
    return grant_credits(arguments.admin, arguments.account, arguments.credits, arguments.note);
  });
  grant->add_option("--credits", arguments.credits, "How many, as a decimal; one is 0.01 USD")->required();
  grant->add_option("--note", arguments.note, "Kept in the history");
  CLI::App* balance = add(*credits, "balance", "What an account has", arguments,
                          [&arguments] { return show_balance(arguments.admin, arguments.account); });
  CLI::App* history = add(*credits, "history", "What happened to a balance, newest first", arguments, [&arguments] {
    return show_history(arguments.admin, arguments.account, arguments.limit, arguments.cursor);
  });
  history->add_option("--limit", arguments.limit, "1 to 200");
  history->add_option("--cursor", arguments.cursor, "Where the page before ended");
  CLI::App* alert = add(*credits, "alert", "Say when an account is told that its credits are low", arguments,
                        [&arguments] { return set_alert(arguments.admin, arguments.account, arguments.credits); });
  CLI::Option_group* when = alert->add_option_group("When");
  when->add_option("--below", arguments.credits, "When a charge takes its balance below so many credits, or none");
  when->add_flag("--as-configured", arguments.undo, "As ledger.low_threshold_usd says");
  when->require_option(1);
  for (CLI::App* command : {grant, balance, history, alert}) {
    add_place(*command, arguments);
    command->add_option("--account", arguments.account, "The account's id")->required();
  }
}

void add_limits(CLI::App& app, Arguments& arguments) {
  CLI::App* limits = add_group(app, "limits", "What one account may do, over its keys' tier");
  CLI::App* show = add(*limits, "show", "What is set for an account", arguments,
                       [&arguments] { return show_limits(arguments.admin, arguments.account); });
  CLI::App* set = add(*limits, "set", "Set it anew: what is not named is as the tier says", arguments,
                      [&arguments] { return set_limits(arguments.admin, arguments.account, arguments.limits); });
  CLI::App* clear = add(*limits, "clear", "Leave all of it to the tier", arguments,
                        [&arguments] { return set_limits(arguments.admin, arguments.account, {}); });
  for (CLI::App* command : {show, set, clear}) {
    add_place(*command, arguments);
    command->add_option("--account", arguments.account, "The account's id")->required();
  }
  set->add_option("--tier", arguments.limits.tier, "In place of its keys' own");
  set->add_option("--requests-per-minute", arguments.limits.requests_per_minute, "A number, or none");
  set->add_option("--tokens-per-minute", arguments.limits.tokens_per_minute, "A number, or none");
  set->add_option("--tokens-per-day", arguments.limits.tokens_per_day, "A number, or none");
  set->add_option("--concurrent-requests", arguments.limits.concurrent_requests, "A number, or none");
  set->add_option("--concurrent-jobs", arguments.limits.concurrent_jobs, "A number, or none");
}

void add_nodes(CLI::App& app, Arguments& arguments) {
  CLI::App* nodes = add_group(app, "nodes", "Nodes");
  CLI::App* list = add(*nodes, "list", "Every node and how it does", arguments,
                       [&arguments] { return list_nodes(arguments.admin); });
  add_place(*list, arguments);
  CLI::App* drain = add(*nodes, "drain", "Send no new requests to a node", arguments,
                        [&arguments] { return drain_node(arguments.admin, arguments.id, arguments.undo); });
  add_place(*drain, arguments);
  CLI::App* earnings =
      add(*nodes, "earnings", "What the owner of a node earned by it, newest first", arguments, [&arguments] {
        return show_earnings(arguments.admin, arguments.id, arguments.account, arguments.limit, arguments.cursor);
      });
  add_place(*earnings, arguments);
  earnings->add_option("--account", arguments.account, "Who owned it before, or owned one that is gone");
  earnings->add_option("--limit", arguments.limit, "1 to 200");
  earnings->add_option("--cursor", arguments.cursor, "Where the page before ended");
  for (CLI::App* command : {drain, earnings}) command->add_option("ID", arguments.id, "The node's id")->required();
  drain->add_flag("--undo", arguments.undo, "Send requests to it again");
}

void add_jobs(CLI::App& app, Arguments& arguments) {
  CLI::App* jobs = add_group(app, "jobs", "The queue");
  CLI::App* list = add(*jobs, "list", "Jobs, newest first", arguments, [&arguments] {
    return list_jobs(arguments.admin, arguments.jobs, arguments.account, arguments.limit, arguments.cursor);
  });
  list->add_option("--state", arguments.jobs.state, "queued, processing, complete, dead or cancelled");
  list->add_option("--model", arguments.jobs.model, "Of one model");
  list->add_option("--account", arguments.account, "Of one account");
  list->add_option("--limit", arguments.limit, "1 to 200");
  list->add_option("--cursor", arguments.cursor, "Where the page before ended");
  CLI::App* show =
      add(*jobs, "show", "One job", arguments, [&arguments] { return show_job(arguments.admin, arguments.id); });
  CLI::App* requeue = add(*jobs, "requeue", "Try a dead job again, from its first try on", arguments,
                          [&arguments] { return requeue_job(arguments.admin, arguments.id); });
  for (CLI::App* command : {show, requeue}) command->add_option("ID", arguments.id, "The job's id")->required();
  CLI::App* purge = add(*jobs, "purge", "Delete jobs that are over", arguments,
                        [&arguments] { return purge_jobs(arguments.admin, arguments.jobs); });
  CLI::Option_group* which = purge->add_option_group("Which");
  which->add_option("--state", arguments.jobs.state, "complete, dead or cancelled");
  which->add_flag("--all", arguments.all, "All that are over");
  which->require_option(1);
  purge->add_option("--older-than", arguments.jobs.older_than, "Whose last change was before, as 2030-01-31T12:00:00Z");
  for (CLI::App* command : {list, show, requeue, purge}) add_place(*command, arguments);
}

void add_payments(CLI::App& app, Arguments& arguments) {
  CLI::App* payments = add_group(app, "payments", "Top-ups by x402");
  CLI::App* list = add(*payments, "list", "Payments that are not settled, newest first", arguments,
                       [&arguments] { return list_payments(arguments.admin, arguments.all); });
  add_place(*list, arguments);
  list->add_flag("--all", arguments.all, "Credited and refused ones too");
  CLI::App* resolve =
      add(*payments, "resolve", "Close a payment that cannot be settled by itself", arguments,
          [&arguments] { return resolve_payment(arguments.admin, arguments.id, arguments.tx, arguments.refused); });
  add_place(*resolve, arguments);
  resolve->add_option("ID", arguments.id, "The payment's id, as `payments list` shows it")->required();
  CLI::Option_group* how = resolve->add_option_group("How");
  how->add_option("--tx", arguments.tx, "The transaction that brought the money: it is credited");
  how->add_flag("--refused", arguments.refused, "No money came: it is not");
  how->require_option(1);
}

void add_receipts(CLI::App& app, Arguments& arguments) {
  CLI::App* receipts = add_group(app, "receipts", "Signed receipts of charges");
  CLI::App* verify =
      add(*receipts, "verify", "Check receipts, roots and proofs as the gateway gave them; offline", arguments,
          [&arguments] { return verify_receipts(arguments.file, arguments.trust, arguments.admin.output); });
  verify->add_option("FILE", arguments.file, "JSON, or a JSON document a line")->required();
  CLI::Option_group* trust = verify->add_option_group("Whom to believe");
  trust->add_option("--key", arguments.trust.keys, "A public key, as 64 hex digits");
  trust->add_option("--keys", arguments.trust.keys_file, "A file with the answer of /.well-known/turnpike");
  trust->require_option(1, 0);
  verify->add_flag("--json", arguments.as_json, "Print one JSON object");
  CLI::App* rotate = add(*receipts, "rotate", "Sign by a new key from now on; what was signed stays good", arguments,
                         [&arguments] { return rotate_receipt_key(arguments.admin); });
  add_place(*rotate, arguments);
}

void add_local(CLI::App& app, Arguments& arguments) {
  CLI::App* config = add_group(app, "config", "The configuration");
  CLI::App* check = add(*config, "check", "Tell every fault of a file", arguments,
                        [&arguments] { return check_config(arguments.file); });
  check->add_option("FILE", arguments.file, "The configuration")->required();
  add(*config, "docs", "Print the reference page", arguments, print_config_docs);
  add(*config, "schema", "Print the JSON Schema", arguments, print_config_schema);

  CLI::App* ledger = add_group(app, "ledger", "The books");
  CLI::App* books = add(*ledger, "check", "Prove the books right; no gateway may be running", arguments,
                        [&arguments] { return check_ledger(arguments.admin.place, arguments.admin.output); });
  add_place(*books, arguments);
  add(app, "version", "Print the version", arguments, print_version);
}

// The exit code when there is nothing to run. A function of its own so that CLI11's tables do not outlive it.
std::optional<int> parse(int argc, char** argv, Arguments& arguments) {
  CLI::App app("Turnpike: an OpenAI-compatible gateway to a network of nodes, with prepaid credits", "turnpike");
  app.set_version_flag("--version", "turnpike " TURNPIKE_VERSION);
  app.require_subcommand(1);
  add_running(app, arguments);
  add_keys(app, arguments);
  add_credits(app, arguments);
  add_limits(app, arguments);
  add_nodes(app, arguments);
  add_jobs(app, arguments);
  add_payments(app, arguments);
  add_receipts(app, arguments);
  add_local(app, arguments);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kWrongUse;
  }
  return std::nullopt;
}

}  // namespace

int run_command_line(int argc, char** argv) {
  Arguments arguments;
  if (const auto code = parse(argc, argv, arguments)) return *code;
  arguments.admin.output = arguments.as_json ? Output::json : Output::table;
  return arguments.run();
}

}  // namespace turnpike::app
