// keys, credits, nodes, jobs, payments: commands that ask a running gateway. Each returns the exit code.
#pragma once

#include <string>

#include "admin_client.hpp"
#include "print.hpp"

namespace turnpike::app {

struct AdminCommand {
  GatewayPlace place;
  Output output = Output::table;
};

struct KeyOptions {
  std::string dialect;
  std::string tier;
  std::string credits;
  std::string account;
  std::string name;
  std::string scopes;
  std::string expires_at;
  std::string public_key_file;  // empty: none
  bool require_signature = false;
};

int create_key(const AdminCommand& command, const KeyOptions& options);
int list_keys(const AdminCommand& command);
int revoke_key(const AdminCommand& command, const std::string& id);
int rotate_key(const AdminCommand& command, const std::string& id);
int expire_key(const AdminCommand& command, const std::string& id, const std::string& expires_at);
int grant_credits(const AdminCommand& command, const std::string& account, const std::string& credits,
                  const std::string& note);
int show_balance(const AdminCommand& command, const std::string& account);
int show_history(const AdminCommand& command, const std::string& account, int limit, const std::string& cursor);
// Empty: as the tier says.
struct LimitOptions {
  std::string tier;
  std::string requests_per_minute;
  std::string tokens_per_minute;
  std::string tokens_per_day;
  std::string concurrent_requests;
  std::string concurrent_jobs;
};

int show_limits(const AdminCommand& command, const std::string& account);
// In place of all that was set.
int set_limits(const AdminCommand& command, const std::string& account, const LimitOptions& options);
// Credits, or "none"; empty: as configured.
int set_alert(const AdminCommand& command, const std::string& account, const std::string& below);
int list_nodes(const AdminCommand& command);
int drain_node(const AdminCommand& command, const std::string& id, bool undo);
// Of `account`; empty: of its owner.
int show_earnings(const AdminCommand& command, const std::string& id, const std::string& account, int limit,
                  const std::string& cursor);
struct JobOptions {
  std::string state;
  std::string model;
  std::string older_than;
};

int list_jobs(const AdminCommand& command, const JobOptions& options, const std::string& account, int limit,
              const std::string& cursor);
int show_job(const AdminCommand& command, const std::string& id);
int requeue_job(const AdminCommand& command, const std::string& id);
int purge_jobs(const AdminCommand& command, const JobOptions& options);
int list_payments(const AdminCommand& command, bool all);
// `tx` brought the money; or `refused`: none came.
int resolve_payment(const AdminCommand& command, const std::string& id, const std::string& tx, bool refused);

int rotate_receipt_key(const AdminCommand& command);

}  // namespace turnpike::app
