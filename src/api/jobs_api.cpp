#include "turnpike/api/jobs_api.hpp"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "json_body.hpp"
#include "paging.hpp"
#include "reply.hpp"
#include "turnpike/base/decimal.hpp"
#include "turnpike/receipts/statements.hpp"

namespace turnpike::api {

using boost::asio::awaitable;
using nlohmann::json;

namespace {

constexpr int kCreditDecimals = 7;

std::string hash_text(const Sha256& hash) {
  return "sha256:" + to_hex({static_cast<const char*>(static_cast<const void*>(hash.data())), hash.size()});
}

// `chain`: the signatures of hold and charge, or nulls.
json render(const JobView& job, const std::string& tier, json chain) {
  chain["proof_hash"] = job.receipt_hash ? json(hash_text(*job.receipt_hash)) : json(nullptr);
  const bool charged = !job.basis.empty();
  const auto total = job.usage.prompt + job.usage.completion;
  return {{"id", job.id},
          {"object", "job"},
          {"status", to_string(job.status)},
          {"model", job.model},
          {"tier", tier},
          {"credits_charged", format_decimal(job.charged.nanousd(), kCreditDecimals, 0)},
          {"usdc_value", job.charged.to_usdc()},
          {"worker_address", or_null(job.worker)},
          {"created_at", time_text(job.created_at)},
          {"completed_at", time_or_null(job.completed_at)},
          {"on_chain", std::move(chain)},
          {"usage", charged ? json{{"prompt_tokens", job.usage.prompt},
                                   {"completion_tokens", job.usage.completion},
                                   {"total_tokens", total}}
                            : json(nullptr)},
          {"basis", or_null(job.basis)},
          {"error", job.error_code.empty() ? json(nullptr) : json{{"code", job.error_code}}}};
}

json no_signatures() {
  return {{"escrow_tx", nullptr}, {"settlement_tx", nullptr}};
}

Result<std::optional<WallTime>> read_time(const http::Request& request, const char* name) {
  const auto text = request.query_value(name);
  if (!text) return std::nullopt;
  const auto micros = parse_rfc3339(*text);
  if (!micros) {
    return fail(Fault::invalid_request, std::string(name) + " must be a time, as 2030-01-31T12:00:00Z", name);
  }
  return WallTime(std::chrono::microseconds(*micros));
}

Result<JobQuery> read_query(const http::Request& request) {
  JobQuery query;
  if (const auto status = request.query_value("status")) {
    query.status = parse_job_status(*status);
    if (!query.status) {
      return fail(Fault::invalid_request, "status must be pending, processing, settling, settled, failed or refunded",
                  "status");
    }
  }
  query.model = request.query_value("model").value_or("");
  const auto after = read_time(request, "after");
  if (!after) return std::unexpected(after.error());
  const auto before = read_time(request, "before");
  if (!before) return std::unexpected(before.error());
  query.after = *after;
  query.before = *before;
  return query;
}

// How far a list has come in one source.
struct Place {
  bool over = false;
  std::optional<std::int64_t> before = {};  // none: nothing was shown yet
};

constexpr char kOver = 'x';
constexpr char kUntouched = 's';

// A place for each source, divided by points: a number, or one of the two letters.
std::string cursor_text(const std::vector<Place>& places) {
  std::string text;
  for (const Place& place : places) {
    if (!text.empty()) text += '.';
    if (place.over) {
      text += kOver;
    } else if (place.before) {
      text += std::to_string(*place.before);
    } else {
      text += kUntouched;
    }
  }
  return text;
}

std::optional<std::vector<Place>> parse_cursor(std::string_view text, std::size_t sources) {
  std::vector<Place> places;
  while (places.size() < sources) {
    const auto part = text.substr(0, text.find('.'));
    Place place{.over = part == std::string_view(&kOver, 1)};
    if (!place.over && part != std::string_view(&kUntouched, 1)) {
      std::int64_t before = 0;
      const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), before);
      if (error != std::errc{} || end != part.data() + part.size()) return std::nullopt;
      place.before = before;
    }
    places.push_back(place);
    if (part.size() == text.size()) {
      text = {};
      break;
    }
    text.remove_prefix(part.size() + 1);
  }
  if (places.size() != sources || !text.empty()) return std::nullopt;
  return places;
}

// What one source gave for a page, and how much of it is shown.
struct Offer {
  JobViews views;
  std::size_t taken = 0;
};

// Takes the newest of all that are offered, and says where each source stands then.
std::vector<JobView> merge(std::vector<Offer>& offers, std::vector<Place>& places, std::size_t limit) {
  std::optional<WallTime> horizon;  // what is older waits for a source that has not looked that far
  for (const Offer& offer : offers) {
    if (offer.views.reached && (!horizon || *offer.views.reached > *horizon)) horizon = offer.views.reached;
  }
  std::vector<JobView> shown;
  std::set<std::string> ids;
  while (shown.size() < limit) {
    Offer* newest = nullptr;
    for (Offer& offer : offers) {
      if (offer.taken == offer.views.jobs.size()) continue;
      const auto at = offer.views.jobs[offer.taken].at();
      if (horizon && at < *horizon) continue;
      if (newest == nullptr || at > newest->views.jobs[newest->taken].at()) newest = &offer;
    }
    if (newest == nullptr) break;
    JobView& job = newest->views.jobs[newest->taken++];
    if (ids.insert(job.id).second) shown.push_back(std::move(job));
  }
  for (std::size_t i = 0; i < offers.size(); ++i) {
    const auto& [views, taken] = offers[i];
    if (places[i].over) continue;
    if (taken == views.jobs.size()) {
      places[i] = {.over = !views.next_cursor, .before = views.next_cursor};
    } else if (taken > 0) {
      places[i].before = views.jobs[taken - 1].cursor;
    }
  }
  return shown;
}

}  // namespace

void JobsApi::add_routes(http::Router& router) {
  router.add(http::Verb::get, "/v1/jobs", reply([this](const http::Request& request) { return list(request); }));
  router.add(http::Verb::get, "/v1/jobs/{id}", reply([this](const http::Request& request) { return show(request); }));
}

// Made when they are asked for: each takes more than all else that is done for a job.
json JobsApi::signatures(const Caller& caller, const JobView& job) const {
  json chain = no_signatures();
  const auto* account = ledger_.find(caller.account);
  if (account == nullptr || job.held == ledger::Money()) return chain;
  const auto sign = [&](const char* name, const std::string& statement, WallTime at) {
    if (const auto signature = keys_.sign(statement, at)) chain[name] = to_base64(signature->bytes);
  };
  receipts::Movement movement{
      .account = account->public_id, .job_id = job.id, .model = job.model, .amount = job.held, .at = job.created_at};
  sign("escrow_tx", receipts::hold_statement(movement), movement.at);
  if (!job.receipt_hash) return chain;
  movement.amount = job.charged;
  movement.at = *job.completed_at;
  sign("settlement_tx", receipts::charge_statement(movement), movement.at);
  return chain;
}

awaitable<http::Response> JobsApi::show(const http::Request& request) const {
  const auto caller = guard_.identify(request, identity::Scope::usage_read);
  if (!caller) co_return guard_.refuse(&request, caller.error());
  const std::string& id = request.parameters.at(0);
  for (JobSource* source : sources_) {
    const auto found = co_await source->find(caller->account, id);
    if (!found) co_return guard_.refuse(&request, found.error());
    if (!*found) continue;
    http::Response response;
    response.body = render(**found, caller->key->tier, signatures(*caller, **found)).dump();
    co_return response;
  }
  co_return guard_.refuse(&request,
                          {.fault = Fault::not_found, .message = "you have no job \"" + id.substr(0, 200) + "\""});
}

awaitable<Result<json>> JobsApi::page(const Caller& caller, const http::Request& request) const {
  const auto limit = read_limit(request);
  if (!limit) co_return std::unexpected(limit.error());
  const auto query = read_query(request);
  if (!query) co_return std::unexpected(query.error());
  std::vector<Place> places(sources_.size());
  if (const auto cursor = request.query_value("cursor")) {
    auto parsed = parse_cursor(*cursor, sources_.size());
    if (!parsed) co_return fail(Fault::invalid_request, "cursor must be the next_cursor of another page", "cursor");
    places = *std::move(parsed);
  }
  std::vector<Offer> offers(sources_.size());
  for (std::size_t i = 0; i < sources_.size(); ++i) {
    if (places[i].over) continue;
    auto views = co_await sources_[i]->list(caller.account, *query, *limit, places[i].before);
    if (!views) co_return std::unexpected(std::move(views).error());
    offers[i].views = *std::move(views);
  }
  json data = json::array();
  for (const auto& job : merge(offers, places, static_cast<std::size_t>(*limit))) {
    data.push_back(render(job, caller.key->tier, no_signatures()));
  }
  const bool over = std::ranges::all_of(places, &Place::over);
  co_return json{
      {"object", "list"}, {"data", std::move(data)}, {"next_cursor", over ? json(nullptr) : json(cursor_text(places))}};
}

awaitable<http::Response> JobsApi::list(const http::Request& request) const {
  const auto caller = guard_.identify(request, identity::Scope::usage_read);
  if (!caller) co_return guard_.refuse(&request, caller.error());
  const auto answer = co_await page(*caller, request);
  if (!answer) co_return guard_.refuse(&request, answer.error());
  http::Response response;
  response.body = answer->dump();
  co_return response;
}

}  // namespace turnpike::api
