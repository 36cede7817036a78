#include "turnpike/api/queue_api.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "credit_lines.hpp"
#include "json_body.hpp"
#include "reply.hpp"

namespace turnpike::api {

using boost::asio::awaitable;
using nlohmann::json;

namespace {

constexpr std::size_t kMostKeyCharacters = 255;
constexpr std::string_view kKeyField = "Idempotency-Key";

// What an idempotency key stands for: the same bytes to the same route.
std::string digest_of(const http::Request& request) {
  std::string text(request.path);
  text.append(1, '\0').append(request.body);
  const Sha256 digest = sha256(text);
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

Error error_of(const jobs::Job& job) {
  if (!job.failure) return {.fault = Fault::conflict, .message = "The job was cancelled."};
  return {.fault = job.failure->fault, .message = job.failure->message, .param = job.failure->param};
}

}  // namespace

std::optional<Preference> QueueApi::queues(const http::Request& request, const dialect::Dialect& dialect) {
  const auto preference = read_preference(request.fields);
  if (dialect.queues || preference.respond_async) return preference;
  return std::nullopt;
}

void QueueApi::add_routes(http::Router& router) {
  const std::string one = "/v1/results/{id}";
  router.add(http::Verb::get, one, reply([this](const http::Request& request) { return show(request); }));
  router.add(http::Verb::delete_, one, reply([this](const http::Request& request) { return cancel(request); }));
}

Result<jobs::Enqueue> QueueApi::wanted(const http::Request& request, const Caller& caller,
                                       const inference::Job& job) const {
  if (request.body.size() > limits_.max_body_bytes) {
    return fail(Fault::request_too_large, "a request that is queued may have " +
                                              std::to_string(limits_.max_body_bytes) + " bytes: queue.max_body_bytes");
  }
  jobs::Enqueue wanted{.request = {.id = job.id,
                                   .account = caller.account,
                                   .kind = job.request.kind,
                                   .dialect = caller.dialect->id,
                                   .tier = caller.key->tier,
                                   .pool = std::string(job.request.pool),
                                   .model = job.model->id,
                                   .body = std::string(request.body),
                                   .most = job.most,
                                   .price = job.price,
                                   .held = job.hold.amount()}};
  const auto key = request.fields.find(kKeyField);
  if (!key) return wanted;
  if (key->empty() || key->size() > kMostKeyCharacters) {
    return fail(Fault::invalid_request, "Idempotency-Key must have 1 to 255 characters", std::string(kKeyField));
  }
  wanted.idempotency_key = *key;
  wanted.digest = digest_of(request);
  return wanted;
}

awaitable<Result<jobs::Job>> QueueApi::enqueue(Result<jobs::Enqueue> wanted, ledger::Hold hold) {
  if (!wanted) co_return std::unexpected(std::move(wanted).error());
  auto queued = co_await queue_.enqueue(*std::move(wanted), std::move(hold));
  if (!queued) co_return std::unexpected(std::move(queued).error());
  co_return std::move(queued->job);
}

// Until the job is over, or as long as the client prefers to wait; at once where it does not.
awaitable<Result<jobs::Job>> QueueApi::wait_for(ledger::AccountId account, jobs::Job job, std::chrono::seconds patience,
                                                std::stop_token client_gone) {
  if (patience == std::chrono::seconds(0)) co_return job;
  co_return co_await queue_.wait(account, job.id, clock_.now() + patience, std::move(client_gone));
}

awaitable<void> QueueApi::answer(http::Exchange& exchange, Caller caller, std::unique_ptr<inference::Job> job,
                                 Preference preference) {
  const auto& request = exchange.request();
  auto to_queue = wanted(request, caller, *job);
  ledger::Hold hold = std::move(job->hold);
  const limits::Verdict requests = job->admission.requests();
  const limits::Verdict tokens = job->admission.tokens();
  job.reset();  // its tokens are set aside anew when it runs
  const auto patience = std::min(preference.wait.value_or(std::chrono::seconds(0)), limits_.max_wait);
  Result<jobs::Job> now = co_await enqueue(std::move(to_queue), std::move(hold));
  if (now) now = co_await wait_for(caller.account, *std::move(now), patience, exchange.client_gone());
  // What is over while the client waits is answered as if it had been answered at once.
  const bool over = now && patience > std::chrono::seconds(0) && is_over(now->state);
  const bool complete = over && now->state == jobs::State::complete;
  std::string head;
  if (now) append_job_lines(head, *caller.dialect, now->id, now->node_id);
  if (now && preference.respond_async) head.append("Preference-Applied: respond-async\r\n");
  if (now && over == complete) {
    Guard::append_limit_lines(head, requests, tokens);
    co_return co_await send(exchange, std::move(caller), *std::move(now), complete, std::move(head));
  }
  auto response = guard_.refuse(&request, now ? error_of(*now) : now.error());
  if (now) response.headers.emplace_back(caller.dialect->header_prefix + "job-id", now->id);
  std::ranges::move(Guard::limit_fields(requests, kRequestLimits), std::back_inserter(response.headers));
  std::ranges::move(Guard::limit_fields(tokens, kTokenLimits), std::back_inserter(response.headers));
  co_await exchange.send(response);
}

// What the client gets: a complete answer, or where to look for it.
awaitable<void> QueueApi::send(http::Exchange& exchange, Caller caller, jobs::Job job, bool complete,
                               std::string head) {
  PricedJob priced{.id = job.id, .model = job.model, .held = job.held, .held_at = job.created_at};
  std::optional<inference::Settled> settled;
  std::string body = std::move(job.result);
  if (complete) {
    const auto ended = co_await ledger_.ended_job(caller.account, job.id);
    if (ended && *ended) {
      priced.held = (*ended)->held;
      const auto& charge = (*ended)->charge;
      settled = {.charged = -charge.amount,
                 .balance = ledger_.balance(caller.account),
                 .basis = {},
                 .tokens = charge.tokens,
                 .at = charge.created_at};
    }
  } else {
    const std::string poll = "/v1/results/" + job.id;
    body = json{{"id", job.id}, {"status", jobs::to_string(job.state)}, {"poll", poll}}.dump();
    head.append("Location: ").append(poll).append("\r\n");
  }
  const CreditLines lines(signing_, caller, priced);
  lines.append_head(head);
  if (settled) lines.append_settled(head, *settled);
  const std::array<std::string_view, 1> pieces{body};
  co_await exchange.send(complete ? 200 : 202, "application/json", head, pieces);
}

// The answer is spliced in as it is: it may be large.
std::string QueueApi::render(const jobs::Job& job) const {
  const auto* dialect = dialects_.by_id(job.dialect);
  json error = nullptr;
  if (job.failure) {
    const auto kind = dialect::kind_of(dialect != nullptr ? *dialect : dialects_.fallback(), job.failure->fault);
    error = {{"message", job.failure->message}, {"type", kind.type}, {"code", kind.code}};
  }
  std::string body = json{
      {"id", job.id},
      {"status", jobs::to_string(job.state)},
      {"created_at", time_text(job.created_at)},
      {"updated_at", time_text(job.updated_at)},
      {"retries", job.retries},
      {"next_attempt_at", time_or_null(job.next_try)},
      {"error",
       std::move(error)}}.dump();
  body.pop_back();
  return body.append(",\"result\":").append(job.result.empty() ? "null" : job.result).append("}");
}

awaitable<http::Response> QueueApi::show(const http::Request& request) {
  const auto caller = guard_.identify(request, identity::Scope::chat_read);
  if (!caller) co_return guard_.refuse(&request, caller.error());
  const auto job = co_await queue_.find(caller->account, request.parameters.at(0));
  if (!job) co_return guard_.refuse(&request, job.error());
  http::Response response;
  response.body = render(*job);
  response.headers.emplace_back("Cache-Control", "no-store");
  co_return response;
}

awaitable<http::Response> QueueApi::cancel(const http::Request& request) {
  const auto caller = guard_.identify(request, identity::Scope::chat_write);
  if (!caller) co_return guard_.refuse(&request, caller.error());
  const auto job = co_await queue_.cancel(caller->account, request.parameters.at(0));
  if (!job) co_return guard_.refuse(&request, job.error());
  http::Response response;
  response.body = render(*job);
  co_return response;
}

}  // namespace turnpike::api
