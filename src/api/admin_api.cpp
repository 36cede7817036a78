#include "turnpike/api/admin_api.hpp"

#include <nlohmann/json.hpp>
#include <utility>

#include "json_body.hpp"
#include "reply.hpp"
#include "turnpike/api/credits_api.hpp"
#include "turnpike/api/keys_api.hpp"
#include "turnpike/api/nodes_api.hpp"
#include "turnpike/base/decimal.hpp"
#include "turnpike/dialect/error_body.hpp"

namespace turnpike::api {

using boost::asio::awaitable;
using nlohmann::json;

namespace {

// The members that a body may have, all of them strings but where a reader says otherwise.
class Body {
 public:
  // invalid_request when it is no JSON object. An empty body is an empty object.
  static Result<Body> read(const http::Request& request) {
    auto parsed = json::parse(request.body.empty() ? "{}" : request.body, nullptr, false);
    if (!parsed.is_object()) return fail(Fault::invalid_request, "the body must be a JSON object");
    return Body(std::move(parsed));
  }
  // Empty when absent or null.
  [[nodiscard]] Result<std::string> text(const char* name) const {
    const auto found = members_.find(name);
    if (found == members_.end() || found->is_null()) return std::string();
    if (!found->is_string()) return fail(Fault::invalid_request, std::string(name) + " must be a string", name);
    return found->get<std::string>();
  }
  [[nodiscard]] Result<bool> flag(const char* name, bool otherwise) const {
    const auto found = members_.find(name);
    if (found == members_.end()) return otherwise;
    if (!found->is_boolean()) return fail(Fault::invalid_request, std::string(name) + " must be true or false", name);
    return found->get<bool>();
  }
  [[nodiscard]] const json& members() const { return members_; }

 private:
  explicit Body(json members) : members_(std::move(members)) {}
  json members_;
};

Result<ledger::Money> parse_credits(const std::string& text, const char* member = "credits") {
  const auto amount = ledger::Money::from_credits(text);
  if (!amount || *amount < ledger::Money()) {
    return fail(Fault::invalid_request,
                std::string(member) + " must be a decimal string of at most 7 decimals, not below zero", member);
  }
  return *amount;
}

// What a new key shall be, read and checked before anything is made.
struct KeyWish {
  const dialect::Dialect* dialect = nullptr;
  std::string tier;
  std::string account;
  std::string name;
  ledger::Money credits;
  identity::Scopes scopes = identity::Scopes::all();
  std::optional<WallTime> expires_at;
  identity::Signing signing;
};

Result<void> read_scopes_and_expiry(const Body& body, WallTime now, KeyWish& wish) {
  const auto scopes = body.text("scopes");
  if (!scopes) return std::unexpected(scopes.error());
  if (!scopes->empty()) {
    const auto parsed = identity::Scopes::parse(*scopes);
    if (!parsed) return std::unexpected(parsed.error());
    wish.scopes = *parsed;
  }
  const auto expires_at = body.text("expires_at");
  if (!expires_at) return std::unexpected(expires_at.error());
  if (!expires_at->empty()) {
    const auto time = read_expiry(*expires_at, now);
    if (!time) return std::unexpected(time.error());
    wish.expires_at = *time;
  }
  return {};
}

Result<KeyWish> read_key_wish(const Body& body, const dialect::Dialects& dialects, const Tiers& tiers, WallTime now) {
  KeyWish wish;
  const auto dialect = body.text("dialect");
  const auto tier = body.text("tier");
  const auto account = body.text("account");
  const auto name = body.text("name");
  const auto credits = body.text("credits");
  for (const auto* each : {&dialect, &tier, &account, &name, &credits}) {
    if (!*each) return std::unexpected(each->error());
  }
  wish.dialect = dialect->empty() ? &dialects.fallback() : dialects.by_id(*dialect);
  if (wish.dialect == nullptr) {
    return fail(Fault::invalid_request, "there is no dialect \"" + *dialect + "\"", "dialect");
  }
  wish.tier = tier->empty() ? wish.dialect->default_tier : *tier;
  if (!tiers.contains(wish.tier)) {
    return fail(Fault::invalid_request, "there is no tier \"" + wish.tier + "\"", "tier");
  }
  wish.account = *account;
  wish.name = *name;
  if (!credits->empty()) {
    const auto amount = parse_credits(*credits);
    if (!amount) return std::unexpected(amount.error());
    wish.credits = *amount;
  }
  auto signing = read_signing(body.members(), {});
  if (!signing) return std::unexpected(std::move(signing).error());
  wish.signing = *std::move(signing);
  if (auto read = read_scopes_and_expiry(body, now, wish); !read) return std::unexpected(std::move(read).error());
  return wish;
}

std::string share_text(std::uint32_t millionths) {
  return format_decimal(millionths, 6, 0);
}

std::string_view state_of(const scheduler::Node& node, Instant now) {
  if (node.draining()) return "draining";
  if (!node.probe_ok()) return "dead";
  return node.open_until() > now ? "broken" : "live";
}

}  // namespace

AdminApi::AdminApi(std::string token, ledger::Ledger& ledger, identity::KeyRing& keys,
                   const dialect::Dialects& dialects, const Tiers& tiers, limits::AccountLimits& account_limits,
                   scheduler::NodeRegistry& nodes, const Clock& clock, AdminParts optional)
    : token_(std::move(token)),
      ledger_(ledger),
      keys_(keys),
      dialects_(dialects),
      tiers_(tiers),
      account_limits_(account_limits),
      nodes_(nodes),
      clock_(clock),
      top_up_(optional.top_up),
      queue_(optional.queue),
      receipt_keys_(optional.receipt_keys) {}

void AdminApi::add_routes(http::Router& router) {
  using http::Verb;
  route(router, Verb::post, "/admin/keys", &AdminApi::create_key);
  route(router, Verb::get, "/admin/keys", &AdminApi::list_keys);
  route(router, Verb::delete_, "/admin/keys/{id}", &AdminApi::revoke_key);
  route(router, Verb::post, "/admin/keys/{id}/rotate", &AdminApi::rotate_key);
  route(router, Verb::post, "/admin/keys/{id}/expire", &AdminApi::expire_key);
  route(router, Verb::post, "/admin/credits/grant", &AdminApi::grant);
  route(router, Verb::get, "/admin/credits/balance", &AdminApi::balance);
  route(router, Verb::get, "/admin/credits/history", &AdminApi::history);
  route(router, Verb::put, "/admin/credits/alert", &AdminApi::set_alert);
  route(router, Verb::get, "/admin/limits", &AdminApi::show_limits);
  route(router, Verb::put, "/admin/limits", &AdminApi::set_limits);
  route(router, Verb::get, "/admin/nodes", &AdminApi::list_nodes);
  route(router, Verb::post, "/admin/nodes/{id}/drain", &AdminApi::drain_node);
  route(router, Verb::get, "/admin/nodes/{id}/earnings", &AdminApi::node_earnings);
  if (queue_ != nullptr) {
    route(router, Verb::get, "/admin/jobs", &AdminApi::list_jobs);
    route(router, Verb::post, "/admin/jobs/purge", &AdminApi::purge_jobs);
    route(router, Verb::get, "/admin/jobs/{id}", &AdminApi::show_job);
    route(router, Verb::post, "/admin/jobs/{id}/requeue", &AdminApi::requeue_job);
  }
  if (receipt_keys_ != nullptr) {
    route(router, Verb::post, "/admin/receipts/rotate", &AdminApi::rotate_receipt_key);
  }
  if (top_up_ == nullptr) return;
  route(router, Verb::get, "/admin/payments", &AdminApi::list_payments);
  route(router, Verb::post, "/admin/payments/{id}/resolve", &AdminApi::resolve_payment);
}

void AdminApi::route(http::Router& router, http::Verb verb, std::string_view path, Work work) {
  router.add(verb, path, reply([this, work](const http::Request& request) { return answer(request, work); }));
}

bool AdminApi::may_enter(const http::Request& request) const {
  constexpr std::string_view kScheme = "Bearer ";
  const auto authorization = request.fields.find(http::Field::authorization).value_or(std::string_view());
  return authorization.starts_with(kScheme) && equal_in_constant_time(authorization.substr(kScheme.size()), token_);
}

awaitable<http::Response> AdminApi::answer(const http::Request& request, Work work) {
  Result<json> result = fail(Fault::invalid_api_key, "the admin token is needed: it is in DATA_DIR/admin.token");
  if (may_enter(request)) result = co_await (this->*work)(request);
  http::Response response;
  if (result) {
    response.body = result->dump();
  } else {
    const auto body = dialect::render_error(dialects_.fallback(), result.error(), true);
    response.status = body.status;
    response.body = body.body;
  }
  co_return response;
}

Result<ledger::AccountId> AdminApi::account_named(const std::string& public_id, std::string_view member) const {
  const auto* account = ledger_.find(public_id);
  if (account != nullptr) return account->id;
  return fail(Fault::not_found, "there is no account \"" + public_id + "\"", std::string(member));
}

// The account that is named, or a new one.
awaitable<Result<ledger::AccountId>> AdminApi::account_for_key(const std::string& public_id, const std::string& name) {
  if (!public_id.empty()) co_return account_named(public_id, "account");
  auto created = co_await ledger_.create_account(name);
  if (!created) co_return std::unexpected(std::move(created).error());
  co_return created->id;
}

AdminApi::Answer AdminApi::create_key(const http::Request& request) {
  const auto body = Body::read(request);
  if (!body) co_return std::unexpected(body.error());
  const auto wish = read_key_wish(*body, dialects_, tiers_, clock_.wall());
  if (!wish) co_return std::unexpected(wish.error());
  const auto account = co_await account_for_key(wish->account, wish->name);
  if (!account) co_return std::unexpected(account.error());
  identity::NewKey wanted;
  wanted.account_id = *account;
  wanted.prefix = wish->dialect->key_prefixes.front();
  wanted.dialect = wish->dialect->id;
  wanted.tier = wish->tier;
  wanted.scopes = wish->scopes;
  wanted.expires_at = wish->expires_at;
  wanted.signing = wish->signing;
  const auto created = co_await keys_.create(wanted);
  if (!created) co_return std::unexpected(created.error());
  if (wish->credits > ledger::Money()) {
    const auto granted = co_await ledger_.grant(*account, wish->credits, "with key " + created->info->id);
    if (!granted) co_return std::unexpected(granted.error());
  }
  json answer{{"api_key", created->api_key},
              {"key_id", created->info->id},
              {"account_id", ledger_.find(*account)->public_id},
              {"dialect", created->info->dialect},
              {"tier", created->info->tier},
              {"scopes", created->info->scopes.to_string()},
              {"expires_at", time_or_null(created->info->expires_at)},
              {"balance_usdc", ledger_.balance(*account).to_usdc()}};
  render_signing(answer, created->info->signing);
  co_return answer;
}

AdminApi::Answer AdminApi::list_keys(const http::Request& /*request*/) {
  json data = json::array();
  for (const auto* key : keys_.list()) {
    const auto* account = ledger_.find(key->account_id);
    data.push_back({{"key_id", key->id},
                    {"account_id", account == nullptr ? json(nullptr) : json(account->public_id)},
                    {"display", key->display},
                    {"dialect", key->dialect},
                    {"tier", key->tier},
                    {"scopes", key->scopes.to_string()},
                    {"created_at", time_text(key->created_at)},
                    {"expires_at", time_or_null(key->expires_at)},
                    {"revoked_at", time_or_null(key->revoked_at)},
                    {"last_used_at", time_or_null(key->last_used_at)}});
    render_signing(data.back(), key->signing);
  }
  co_return json{{"object", "list"}, {"data", std::move(data)}};
}

AdminApi::Answer AdminApi::revoke_key(const http::Request& request) {
  const std::string id = request.parameters.at(0);
  auto ending = keys_.revoke(id);
  const auto* key = keys_.find_by_id(id);  // before the wait, in which a dead key may be forgotten
  const auto revoked_at = key == nullptr ? std::nullopt : key->revoked_at;
  const auto revoked = co_await std::move(ending);
  if (!revoked) co_return std::unexpected(revoked.error());
  co_return json{{"key_id", id}, {"revoked_at", time_or_null(revoked_at)}};
}

AdminApi::Answer AdminApi::rotate_key(const http::Request& request) {
  const std::string id = request.parameters.at(0);
  const auto* old = keys_.find_by_id(id);
  if (old == nullptr) co_return fail(Fault::not_found, "there is no such key");
  const identity::Rotation rotation{.prefix = prefix_like(*old, dialects_), .expires_at = {}};
  auto rotated = keys_.rotate(id, rotation);
  const auto end = old->expires_at;  // before the wait, in which a dead key may be forgotten
  const auto created = co_await std::move(rotated);
  if (!created) co_return std::unexpected(created.error());
  json answer{{"api_key", created->api_key},
              {"key_id", created->info->id},
              {"account_id", ledger_.find(created->info->account_id)->public_id},
              {"scopes", created->info->scopes.to_string()},
              {"expires_at", time_or_null(created->info->expires_at)},
              {"replaces", id},
              {"replaced_expires_at", time_or_null(end)}};
  render_signing(answer, created->info->signing);
  co_return answer;
}

AdminApi::Answer AdminApi::expire_key(const http::Request& request) {
  const std::string id = request.parameters.at(0);
  const auto body = Body::read(request);
  if (!body) co_return std::unexpected(body.error());
  const auto text = body->text("expires_at");
  if (!text) co_return std::unexpected(text.error());
  const auto time = read_expiry(*text, clock_.wall());
  if (!time) co_return std::unexpected(time.error());
  const auto expired = co_await keys_.expire(id, *time);
  if (!expired) co_return std::unexpected(expired.error());
  co_return json{{"key_id", id}, {"expires_at", time_text(*time)}};
}

AdminApi::Answer AdminApi::grant(const http::Request& request) {
  const auto body = Body::read(request);
  if (!body) co_return std::unexpected(body.error());
  const auto named = body->text("account");
  const auto credits = body->text("credits");
  const auto note = body->text("note");
  for (const auto* each : {&named, &credits, &note}) {
    if (!*each) co_return std::unexpected(each->error());
  }
  const auto amount = parse_credits(*credits);
  if (!amount) co_return std::unexpected(amount.error());
  const auto account = account_named(*named, "account");
  if (!account) co_return std::unexpected(account.error());
  const auto balance_after = co_await ledger_.grant(*account, *amount, *note);
  if (!balance_after) co_return std::unexpected(balance_after.error());
  co_return json{
      {"account_id", *named}, {"granted_usdc", amount->to_usdc()}, {"balance_usdc", balance_after->to_usdc()}};
}

AdminApi::Answer AdminApi::balance(const http::Request& request) {
  const std::string named = request.query_value("account").value_or("");
  const auto account = account_named(named, "account");
  if (!account) co_return std::unexpected(account.error());
  json answer = render_balance(ledger_, *account);
  answer["account_id"] = named;
  answer["held_usdc"] = (ledger_.balance(*account) - ledger_.available(*account)).to_usdc();
  const auto below = ledger_.low_threshold(*account);
  answer["low_threshold_usdc"] = below == ledger::Money() ? json(nullptr) : json(below.to_usdc());
  co_return answer;
}

AdminApi::Answer AdminApi::history(const http::Request& request) {
  const auto account = account_named(request.query_value("account").value_or(""), "account");
  if (!account) co_return std::unexpected(account.error());
  const auto page = co_await read_history(ledger_, *account, request);
  if (!page) co_return std::unexpected(page.error());
  co_return render_history(*page);
}

AdminApi::Answer AdminApi::set_alert(const http::Request& request) {
  const auto body = Body::read(request);
  if (!body) co_return std::unexpected(body.error());
  const auto named = body->text("account");
  const auto below = body->text("below");
  if (!named) co_return std::unexpected(named.error());
  if (!below) co_return std::unexpected(below.error());
  const auto account = account_named(*named, "account");
  if (!account) co_return std::unexpected(account.error());
  std::optional<ledger::Money> threshold;
  if (*below == "none") {
    threshold = ledger::Money();
  } else if (!below->empty()) {
    const auto amount = parse_credits(*below, "below");
    if (!amount) co_return std::unexpected(amount.error());
    threshold = *amount;
  }
  const auto set = co_await ledger_.set_low_threshold(*account, threshold);
  if (!set) co_return std::unexpected(set.error());
  const auto now = ledger_.low_threshold(*account);
  co_return json{{"account_id", *named},
                 {"low_threshold_usdc", now == ledger::Money() ? json(nullptr) : json(now.to_usdc())}};
}

AdminApi::Answer AdminApi::list_nodes(const http::Request& /*request*/) {
  const Instant now = clock_.now();
  json data = json::array();
  for (const auto& node : nodes_.nodes()) {
    const scheduler::Payee& payee = node->spec().payee;
    const auto* owner = ledger_.find(payee.account);
    data.push_back({{"id", node->id()},
                    {"url", node->spec().url},
                    {"pool", node->spec().pool},
                    {"models", node->spec().models},
                    {"state", state_of(*node, now)},
                    {"in_flight", node->in_flight()},
                    {"capacity", node->spec().capacity},
                    {"latency_ms", static_cast<std::int64_t>(node->latency_ms())},
                    {"served", node->served()},
                    {"failed", node->failed()},
                    {"owner", owner == nullptr ? json(nullptr) : json(owner->public_id)},
                    {"payout_share", owner == nullptr ? json(nullptr) : json(share_text(payee.share_millionths))}});
  }
  co_return json{{"object", "list"}, {"data", std::move(data)}};
}

AdminApi::Answer AdminApi::drain_node(const http::Request& request) {
  const auto body = Body::read(request);
  if (!body) co_return std::unexpected(body.error());
  const auto on = body->flag("drain", true);
  if (!on) co_return std::unexpected(on.error());
  const auto node = nodes_.find(request.parameters.at(0));
  if (node == nullptr) co_return fail(Fault::not_found, "there is no such node");
  nodes_.drain(*node, *on);
  co_return json{{"id", node->id()}, {"state", state_of(*node, clock_.now())}, {"in_flight", node->in_flight()}};
}

AdminApi::Answer AdminApi::node_earnings(const http::Request& request) {
  const std::string& id = request.parameters.at(0);
  const auto named = request.query_value("account");
  const auto node = nodes_.find(id);
  const auto* owner = named             ? ledger_.find(*named)
                      : node != nullptr ? ledger_.find(node->spec().payee.account)
                                        : nullptr;
  if (owner == nullptr) {
    co_return named ? fail(Fault::not_found, "there is no account \"" + *named + "\"", "account")
                    : fail(Fault::not_found,
                           "there is no node of that id with an owner; who earned by one that is gone "
                           "is asked for by account");
  }
  const auto page = co_await read_earnings(ledger_, nodes_, owner->id, request);
  if (!page) co_return std::unexpected(page.error());
  json answer = render_earnings(id, *page);
  answer["account_id"] = owner->public_id;
  co_return answer;
}

AdminApi::Answer AdminApi::list_payments(const http::Request& request) {
  constexpr std::size_t kMostPayments = 200;
  const auto found = co_await top_up_->list(request.query_value("all") == "true", kMostPayments);
  if (!found) co_return std::unexpected(found.error());
  json data = json::array();
  for (const auto& payment : *found) {
    const auto* account = ledger_.find(payment.account);
    data.push_back({{"payment_id", payment.id},
                    {"account_id", account == nullptr ? json(nullptr) : json(account->public_id)},
                    {"state", payments::to_string(payment.state)},
                    {"amount_usdc", payments::money_of(payment.units).to_usdc()},
                    {"network", payment.key.network},
                    {"asset", payment.key.asset},
                    {"payer", payment.key.payer},
                    {"nonce", payment.key.nonce},
                    {"valid_before", time_text(WallTime(std::chrono::seconds(payment.valid_before)))},
                    {"reason", or_null(payment.reason)},
                    {"tx", or_null(payment.transaction)},
                    {"created_at", time_text(payment.created_at)},
                    {"closed_at", time_or_null(payment.closed_at)}});
  }
  co_return json{{"object", "list"}, {"data", std::move(data)}};
}

AdminApi::Answer AdminApi::resolve_payment(const http::Request& request) {
  const std::string id = request.parameters.at(0);
  const auto body = Body::read(request);
  if (!body) co_return std::unexpected(body.error());
  const auto transaction = body->text("tx");
  const auto refused = body->flag("refused", false);
  if (!transaction) co_return std::unexpected(transaction.error());
  if (!refused) co_return std::unexpected(refused.error());
  if (transaction->empty() != *refused) {
    co_return fail(Fault::invalid_request, "either tx, or refused: true", "tx");
  }
  const auto outcome = co_await top_up_->resolve(id, *transaction);
  if (!outcome) co_return std::unexpected(outcome.error());
  const bool credited = outcome->kind == payments::Outcome::Kind::credited;
  co_return json{
      {"payment_id", id}, {"state", credited ? "credited" : "refused"}, {"tx", or_null(outcome->transaction)}};
}

AdminApi::Answer AdminApi::rotate_receipt_key(const http::Request& /*request*/) {
  const auto made = co_await receipt_keys_->rotate();
  if (!made) co_return std::unexpected(made.error());
  co_return json{{"key_id", made->id}, {"public_key", to_base64(made->public_key)}, {"from", time_text(made->from)}};
}

}  // namespace turnpike::api
