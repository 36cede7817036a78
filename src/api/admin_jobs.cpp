// Jobs of the queue, for operators.
#include <nlohmann/json.hpp>
#include <utility>

#include "json_body.hpp"
#include "paging.hpp"
#include "turnpike/api/admin_api.hpp"
#include "turnpike/dialect/error_body.hpp"

namespace turnpike::api {

using nlohmann::json;

namespace {

constexpr std::size_t kMostBodyBytes = std::size_t{64} * 1024;

Result<std::optional<jobs::State>> read_state(const std::optional<std::string>& text) {
  if (!text || text->empty()) return std::nullopt;
  const auto state = jobs::parse_state(*text);
  if (state) return state;
  return fail(Fault::invalid_request, "state must be queued, processing, complete, dead or cancelled", "state");
}

json render(const jobs::Job& job, const ledger::Ledger& ledger) {
  const auto* account = ledger.find(job.account);
  return {{"job_id", job.id},
          {"account_id", account == nullptr ? json(nullptr) : json(account->public_id)},
          {"status", jobs::to_string(job.state)},
          {"dialect", job.dialect},
          {"model", job.model},
          {"retries", job.retries},
          {"error", job.failure ? json(dialect::code_of(job.failure->fault)) : json(nullptr)},
          {"message", job.failure ? json(job.failure->message) : json(nullptr)},
          {"node_id", or_null(job.node_id)},
          {"next_attempt_at", time_or_null(job.next_try)},
          {"created_at", time_text(job.created_at)},
          {"updated_at", time_text(job.updated_at)}};
}

}  // namespace

AdminApi::Answer AdminApi::list_jobs(const http::Request& request) {
  const auto paging = read_paging(request);
  if (!paging) co_return std::unexpected(paging.error());
  const auto state = read_state(request.query_value("state"));
  if (!state) co_return std::unexpected(state.error());
  jobs::Filter filter{.state = *state,
                      .model = request.query_value("model").value_or(""),
                      .before_row = paging->before,
                      .limit = static_cast<std::size_t>(paging->limit)};
  if (const auto named = request.query_value("account"); named && !named->empty()) {
    const auto account = account_named(*named, "account");
    if (!account) co_return std::unexpected(account.error());
    filter.account = *account;
  }
  const auto page = co_await queue_->list(std::move(filter));
  if (!page) co_return std::unexpected(page.error());
  json data = json::array();
  for (const auto& job : page->jobs) data.push_back(render(job, ledger_));
  co_return json{{"object", "list"}, {"data", std::move(data)}, {"next_cursor", cursor_or_null(page->next_cursor)}};
}

AdminApi::Answer AdminApi::show_job(const http::Request& request) {
  const auto job = co_await queue_->show(request.parameters.at(0));
  if (!job) co_return std::unexpected(job.error());
  co_return render(*job, ledger_);
}

AdminApi::Answer AdminApi::requeue_job(const http::Request& request) {
  const auto job = co_await queue_->requeue(request.parameters.at(0));
  if (!job) co_return std::unexpected(job.error());
  co_return render(*job, ledger_);
}

AdminApi::Answer AdminApi::purge_jobs(const http::Request& request) {
  const auto body = read_object(request, kMostBodyBytes, "the admin listener");
  if (!body) co_return std::unexpected(body.error());
  const auto named = optional_text(*body, "state");
  const auto older_than = optional_text(*body, "older_than");
  if (!named) co_return std::unexpected(named.error());
  if (!older_than) co_return std::unexpected(older_than.error());
  const auto state = read_state(*named);
  if (!state) co_return std::unexpected(state.error());
  if (*state && !jobs::is_over(**state)) {
    co_return fail(Fault::invalid_request, "only jobs that are complete, dead or cancelled can be purged", "state");
  }
  WallTime before = clock_.wall();
  if (*older_than) {
    const auto micros = parse_rfc3339(**older_than);
    if (!micros)
      co_return fail(Fault::invalid_request, "older_than must be a time, as 2030-01-31T12:00:00Z", "older_than");
    before = WallTime(std::chrono::microseconds(*micros));
  }
  const auto purged = co_await queue_->purge(*state, before);
  if (!purged) co_return std::unexpected(purged.error());
  co_return json{{"purged", *purged}};
}

}  // namespace turnpike::api
