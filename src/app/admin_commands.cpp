#include "admin_commands.hpp"

#include <charconv>
#include <fstream>
#include <functional>
#include <iterator>
#include <nlohmann/json.hpp>

namespace turnpike::app {
namespace {

using nlohmann::json;

// Asks, and shows the answer; the exit code.
int ask(const AdminCommand& command, std::string_view method, const std::string& target, const json& body,
        const std::function<void(const json&)>& show) {
  const auto client = AdminClient::find(command.place);
  if (!client) return complain(client.error());
  const auto answer = client->request(method, target, body.is_null() ? std::string() : body.dump());
  if (!answer) return complain(answer.error());
  show(*answer);
  return 0;
}

}  // namespace

int create_key(const AdminCommand& command, const KeyOptions& options) {
  json body = json::object();
  const std::pair<const char*, const std::string*> members[] = {
      {"dialect", &options.dialect},      {"tier", &options.tier}, {"credits", &options.credits},
      {"account", &options.account},      {"name", &options.name}, {"scopes", &options.scopes},
      {"expires_at", &options.expires_at}};
  for (const auto& [name, value] : members) {
    if (!value->empty()) body[name] = *value;
  }
  if (!options.public_key_file.empty()) {
    std::ifstream file(options.public_key_file, std::ios::binary);
    if (!file) return complain("cannot read " + options.public_key_file);
    body["public_key"] = std::string(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  if (options.require_signature) body["require_signature"] = true;
  return ask(command, "POST", "/admin/keys", body, [&](const json& key) {
    print_one(command.output,
              {{"API key (shown once)", "api_key"},
               {"Key id", "key_id"},
               {"Account", "account_id"},
               {"Dialect", "dialect"},
               {"Tier", "tier"},
               {"Scopes", "scopes"},
               {"Expires", "expires_at"},
               {"Must be signed", "require_signature"},
               {"Balance (USD)", "balance_usdc"}},
              key);
  });
}

int list_keys(const AdminCommand& command) {
  return ask(command, "GET", "/admin/keys", nullptr, [&](const json& answer) {
    print_rows(command.output,
               {{"KEY", "key_id"},
                {"BEGINS", "display"},
                {"ACCOUNT", "account_id"},
                {"DIALECT", "dialect"},
                {"TIER", "tier"},
                {"CREATED", "created_at"},
                {"EXPIRES", "expires_at"},
                {"REVOKED", "revoked_at"},
                {"MUST BE SIGNED", "require_signature"},
                {"LAST USED", "last_used_at"}},
               answer.at("data"));
  });
}

int revoke_key(const AdminCommand& command, const std::string& id) {
  return ask(command, "DELETE", "/admin/keys/" + url_encoded(id), nullptr, [&](const json& answer) {
    print_one(command.output, {{"Key id", "key_id"}, {"Revoked", "revoked_at"}}, answer);
  });
}

int rotate_key(const AdminCommand& command, const std::string& id) {
  return ask(command, "POST", "/admin/keys/" + url_encoded(id) + "/rotate", nullptr, [&](const json& answer) {
    print_one(command.output,
              {{"API key (shown once)", "api_key"},
               {"Key id", "key_id"},
               {"Account", "account_id"},
               {"Scopes", "scopes"},
               {"Expires", "expires_at"},
               {"Replaces", "replaces"},
               {"Which ends", "replaced_expires_at"}},
              answer);
  });
}

int expire_key(const AdminCommand& command, const std::string& id, const std::string& expires_at) {
  const json body{{"expires_at", expires_at}};
  return ask(command, "POST", "/admin/keys/" + url_encoded(id) + "/expire", body, [&](const json& answer) {
    print_one(command.output, {{"Key id", "key_id"}, {"Expires", "expires_at"}}, answer);
  });
}

int grant_credits(const AdminCommand& command, const std::string& account, const std::string& credits,
                  const std::string& note) {
  const json body{{"account", account}, {"credits", credits}, {"note", note}};
  return ask(command, "POST", "/admin/credits/grant", body, [&](const json& answer) {
    print_one(command.output,
              {{"Account", "account_id"}, {"Granted (USD)", "granted_usdc"}, {"Balance (USD)", "balance_usdc"}},
              answer);
  });
}

namespace {

void print_limits(const AdminCommand& command, const json& answer) {
  print_one(command.output,
            {{"Account", "account_id"},
             {"Tier, over the key's", "tier"},
             {"Requests a minute", "requests_per_minute"},
             {"Tokens a minute", "tokens_per_minute"},
             {"Tokens a day", "tokens_per_day"},
             {"Requests at once", "concurrent_requests"},
             {"Jobs at once", "concurrent_jobs"}},
            answer);
}

}  // namespace

int show_limits(const AdminCommand& command, const std::string& account) {
  return ask(command, "GET", "/admin/limits?account=" + url_encoded(account), nullptr,
             [&](const json& answer) { print_limits(command, answer); });
}

int set_limits(const AdminCommand& command, const std::string& account, const LimitOptions& options) {
  json body{{"account", account}};
  if (!options.tier.empty()) body["tier"] = options.tier;
  const std::pair<const char*, const std::string*> limits[] = {{"requests_per_minute", &options.requests_per_minute},
                                                               {"tokens_per_minute", &options.tokens_per_minute},
                                                               {"tokens_per_day", &options.tokens_per_day},
                                                               {"concurrent_requests", &options.concurrent_requests},
                                                               {"concurrent_jobs", &options.concurrent_jobs}};
  for (const auto& [name, text] : limits) {
    if (text->empty()) continue;
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
    const bool number = error == std::errc{} && end == text->data() + text->size();
    body[name] = number ? json(value) : json(*text);
  }
  return ask(command, "PUT", "/admin/limits", body, [&](const json& answer) { print_limits(command, answer); });
}

int show_balance(const AdminCommand& command, const std::string& account) {
  return ask(command, "GET", "/admin/credits/balance?account=" + url_encoded(account), nullptr,
             [&](const json& answer) {
               print_one(command.output,
                         {{"Account", "account_id"},
                          {"Available (credits)", "balance"},
                          {"Available (USD)", "balance_usdc"},
                          {"Held (USD)", "held_usdc"},
                          {"Told when below (USD)", "low_threshold_usdc"}},
                         answer);
             });
}

int set_alert(const AdminCommand& command, const std::string& account, const std::string& below) {
  const json body{{"account", account}, {"below", below}};
  return ask(command, "PUT", "/admin/credits/alert", body, [&](const json& answer) {
    print_one(command.output, {{"Account", "account_id"}, {"Told when below (USD)", "low_threshold_usdc"}}, answer);
  });
}

int show_history(const AdminCommand& command, const std::string& account, int limit, const std::string& cursor) {
  std::string target = "/admin/credits/history?account=" + url_encoded(account) + "&limit=" + std::to_string(limit);
  if (!cursor.empty()) target += "&cursor=" + url_encoded(cursor);
  return ask(command, "GET", target, nullptr, [&](const json& answer) {
    print_rows(command.output,
               {{"WHEN", "created_at"},
                {"TYPE", "type"},
                {"AMOUNT (USD)", "amount_usdc"},
                {"BALANCE (USD)", "balance_usdc"},
                {"MODEL", "model"},
                {"BASIS", "basis"},
                {"JOB", "job_id"}},
               answer.at("data"));
    const json& next = answer.at("next_cursor");
    if (command.output == Output::table && next.is_string()) {
      print_one(command.output, {{"More: --cursor", "next_cursor"}}, answer);
    }
  });
}

int list_nodes(const AdminCommand& command) {
  return ask(command, "GET", "/admin/nodes", nullptr, [&](const json& answer) {
    print_rows(command.output,
               {{"NODE", "id"},
                {"STATE", "state"},
                {"POOL", "pool"},
                {"BUSY", "in_flight"},
                {"CAPACITY", "capacity"},
                {"LATENCY (MS)", "latency_ms"},
                {"SERVED", "served"},
                {"FAILED", "failed"},
                {"OWNER", "owner"},
                {"SHARE", "payout_share"},
                {"MODELS", "models"},
                {"URL", "url"}},
               answer.at("data"));
  });
}

int drain_node(const AdminCommand& command, const std::string& id, bool undo) {
  const json body{{"drain", !undo}};
  return ask(command, "POST", "/admin/nodes/" + url_encoded(id) + "/drain", body, [&](const json& answer) {
    print_one(command.output, {{"Node", "id"}, {"State", "state"}, {"Busy", "in_flight"}}, answer);
  });
}

int show_earnings(const AdminCommand& command, const std::string& id, const std::string& account, int limit,
                  const std::string& cursor) {
  std::string target = "/admin/nodes/" + url_encoded(id) + "/earnings?limit=" + std::to_string(limit);
  if (!account.empty()) target += "&account=" + url_encoded(account);
  if (!cursor.empty()) target += "&cursor=" + url_encoded(cursor);
  return ask(command, "GET", target, nullptr, [&](const json& answer) {
    if (command.output == Output::json) return print_one(command.output, {}, answer);
    print_one(command.output, {{"Owner", "account_id"}, {"Earned (USD)", "earned_usdc"}}, answer);
    print_rows(
        command.output,
        {{"WHEN", "created_at"}, {"AMOUNT (USD)", "amount_usdc"}, {"EARNED (USD)", "earned_usdc"}, {"ENTRY", "id"}},
        answer.at("data"));
    if (answer.at("next_cursor").is_string()) {
      print_one(command.output, {{"More: --cursor", "next_cursor"}}, answer);
    }
  });
}

int list_jobs(const AdminCommand& command, const JobOptions& options, const std::string& account, int limit,
              const std::string& cursor) {
  std::string target = "/admin/jobs?limit=" + std::to_string(limit);
  const std::pair<const char*, const std::string*> filters[] = {
      {"state", &options.state}, {"model", &options.model}, {"account", &account}, {"cursor", &cursor}};
  for (const auto& [name, value] : filters) {
    if (!value->empty()) target.append("&").append(name).append("=").append(url_encoded(*value));
  }
  return ask(command, "GET", target, nullptr, [&](const json& answer) {
    print_rows(command.output,
               {{"JOB", "job_id"},
                {"STATUS", "status"},
                {"RETRIES", "retries"},
                {"MODEL", "model"},
                {"ACCOUNT", "account_id"},
                {"CREATED", "created_at"},
                {"NEXT TRY", "next_attempt_at"},
                {"ERROR", "error"}},
               answer.at("data"));
    if (command.output == Output::table && answer.at("next_cursor").is_string()) {
      print_one(command.output, {{"More: --cursor", "next_cursor"}}, answer);
    }
  });
}

namespace {

void print_job(const AdminCommand& command, const json& job) {
  print_one(command.output,
            {{"Job", "job_id"},
             {"Status", "status"},
             {"Retries", "retries"},
             {"Model", "model"},
             {"Account", "account_id"},
             {"Dialect", "dialect"},
             {"Node", "node_id"},
             {"Created", "created_at"},
             {"Updated", "updated_at"},
             {"Next try", "next_attempt_at"},
             {"Error", "error"},
             {"Which says", "message"}},
            job);
}

}  // namespace

int show_job(const AdminCommand& command, const std::string& id) {
  return ask(command, "GET", "/admin/jobs/" + url_encoded(id), nullptr,
             [&](const json& job) { print_job(command, job); });
}

int requeue_job(const AdminCommand& command, const std::string& id) {
  return ask(command, "POST", "/admin/jobs/" + url_encoded(id) + "/requeue", json::object(),
             [&](const json& job) { print_job(command, job); });
}

int purge_jobs(const AdminCommand& command, const JobOptions& options) {
  json body = json::object();
  if (!options.state.empty()) body["state"] = options.state;
  if (!options.older_than.empty()) body["older_than"] = options.older_than;
  return ask(command, "POST", "/admin/jobs/purge", body,
             [&](const json& answer) { print_one(command.output, {{"Purged", "purged"}}, answer); });
}

int list_payments(const AdminCommand& command, bool all) {
  return ask(command, "GET", all ? "/admin/payments?all=true" : "/admin/payments", nullptr, [&](const json& answer) {
    print_rows(command.output,
               {{"PAYMENT", "payment_id"},
                {"STATE", "state"},
                {"AMOUNT (USD)", "amount_usdc"},
                {"ACCOUNT", "account_id"},
                {"NETWORK", "network"},
                {"PAYER", "payer"},
                {"NONCE", "nonce"},
                {"SHOWN", "created_at"},
                {"VALID BEFORE", "valid_before"},
                {"TRANSACTION", "tx"},
                {"REASON", "reason"}},
               answer.at("data"));
  });
}

int resolve_payment(const AdminCommand& command, const std::string& id, const std::string& tx, bool refused) {
  const json body = refused ? json{{"refused", true}} : json{{"tx", tx}};
  return ask(command, "POST", "/admin/payments/" + url_encoded(id) + "/resolve", body, [&](const json& answer) {
    print_one(command.output, {{"Payment", "payment_id"}, {"State", "state"}, {"Transaction", "tx"}}, answer);
  });
}

int rotate_receipt_key(const AdminCommand& command) {
  return ask(command, "POST", "/admin/receipts/rotate", nullptr, [&](const json& answer) {
    print_one(command.output, {{"Signed from now on by", "key_id"}, {"Public key", "public_key"}, {"From", "from"}},
              answer);
  });
}

}  // namespace turnpike::app
