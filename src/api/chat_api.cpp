#include "turnpike/api/chat_api.hpp"

#include <array>
#include <utility>

#include "turnpike/base/encoding.hpp"
#include "turnpike/receipts/statements.hpp"

namespace turnpike::api {

using boost::asio::awaitable;
using scan::RequestKind;

namespace {

// `x-turnpike-job-id` and its like, with the dialect's prefix.
void append_job_lines(std::string& head, const dialect::Dialect& dialect, std::string_view job_id,
                      std::string_view node_id) {
  head.append(dialect.header_prefix).append("job-id: ").append(job_id).append("\r\n");
  if (!node_id.empty()) head.append(dialect.header_prefix).append("worker: ").append(node_id).append("\r\n");
}

awaitable<void> send(http::Exchange& exchange, http::Response response) {
  co_await exchange.send(response);
}

// The lines of one job that say what became of its credits: some when it is held, some when it is charged.
class CreditLines {
 public:
  // Signs the hold, where that is wanted.
  CreditLines(const HeaderSigning& signing, const Caller& caller, const inference::Job& job)
      : keys_(signing.keys), prefix_(caller.dialect->header_prefix), job_(job) {
    const bool wanted = signing.when == SignedHeaders::always ||
                        (signing.when == SignedHeaders::dialect && caller.dialect->signed_headers);
    account_ = wanted ? signing.ledger.find(caller.account) : nullptr;
    if (account_ == nullptr) return;
    const auto hold = receipts::hold_statement(movement(job.hold.amount(), job.hold.held_at()));
    append_signature(of_hold_, "tx-signature", hold, job.hold.held_at());
  }

  void append_head(std::string& head) const { head.append(of_hold_); }

  // The names of what append_settled() appends, for a stream that ends in them.
  void announce(std::string& head) const {
    head.append("Trailer: ").append(prefix_).append("credits-remaining");
    if (account_ != nullptr) head.append(", ").append(prefix_).append("settlement-tx");
    head.append("\r\n");
  }

  void append_settled(std::string& lines, const inference::Settled& settled) const {
    lines.append(prefix_).append("credits-remaining: ");
    lines.append(std::to_string(settled.balance.whole_credits())).append("\r\n");
    if (account_ == nullptr) return;
    const auto charge = receipts::charge_statement(movement(settled.charged, settled.at));
    append_signature(lines, "settlement-tx", charge, settled.at);
  }

 private:
  [[nodiscard]] receipts::Movement movement(ledger::Money amount, WallTime at) const {
    return {.account = account_->public_id, .job_id = job_.id, .model = job_.model->id, .amount = amount, .at = at};
  }
  // None while the key is being changed: the job has it then (GET /v1/jobs/{id}).
  void append_signature(std::string& lines, std::string_view name, const std::string& statement, WallTime at) const {
    const auto signature = keys_.sign(statement, at);
    if (!signature) return;
    lines.append(prefix_).append(name).append(": ").append(to_base64(signature->bytes)).append("\r\n");
  }

  const receipts::Keys& keys_;
  std::string_view prefix_;
  const inference::Job& job_;
  const ledger::Account* account_ = nullptr;  // null: nothing is signed
  std::string of_hold_;
};

// An inference's stream as an HTTP answer.
class HttpStream final : public inference::ClientStream {
 public:
  HttpStream(http::Exchange& exchange, const Guard& guard, const Caller& caller, const inference::Job& job,
             const CreditLines& lines)
      : exchange_(exchange), guard_(guard), caller_(caller), job_(job), lines_(lines) {}

  void begin(std::string_view job_id, std::string_view node_id) override {
    std::string head;
    head.reserve(512);
    head.append("Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\n");
    append_job_lines(head, *caller_.dialect, job_id, node_id);
    lines_.append_head(head);
    // Before HTTP/1.1 nothing can follow a body.
    if (exchange_.request().http11) lines_.announce(head);
    Guard::append_limit_lines(head, job_.admission);
    exchange_.start_stream(200, "text/event-stream", head);
  }
  bool write(std::string_view events) override { return exchange_.write(events); }
  awaitable<bool> written() override { return exchange_.written(); }
  awaitable<void> finish(std::string_view events, const inference::Settled& settled) override {
    std::string trailers;
    if (exchange_.request().http11) lines_.append_settled(trailers, settled);
    co_await exchange_.finish(events, trailers);
  }
  awaitable<void> break_off(std::string_view event) override {
    // Without the last chunk: what a client must not take for a complete answer also ends like a broken one.
    if (!exchange_.write(event)) co_await exchange_.written();
  }
  awaitable<void> refuse(const Error& error) override {
    auto response = guard_.refuse(exchange_.request(), error, job_.admission);
    response.headers.emplace_back(caller_.dialect->header_prefix + "job-id", job_.id);
    co_await exchange_.send(response);
  }

 private:
  http::Exchange& exchange_;
  const Guard& guard_;
  const Caller& caller_;
  const inference::Job& job_;
  const CreditLines& lines_;
};

}  // namespace

void ChatApi::add_routes(http::Router& router) {
  const auto route = [&](std::string_view path, RequestKind kind) {
    router.add(http::Verb::post, path, [this, kind](http::Exchange& exchange) { return handle(exchange, kind); });
  };
  route("/v1/chat/completions", RequestKind::chat);
  route("/v1/completions", RequestKind::completion);
  route("/v1/embeddings", RequestKind::embedding);
}

awaitable<void> ChatApi::handle(http::Exchange& exchange, RequestKind kind) {
  const auto& request = exchange.request();
  auto caller = guard_.identify(request, identity::Scope::chat_write);
  if (!caller) return send(exchange, guard_.refuse(&request, caller.error()));
  auto& admission = caller->admission;
  if (auto admitted = guard_.admit(*caller); !admitted) {
    return send(exchange, guard_.refuse(request, admitted.error(), admission));
  }
  auto job = inference_.prepare({.kind = kind,
                                 .body = request.body,
                                 .dialect = *caller->dialect,
                                 .account = caller->account,
                                 .pool = scheduler::kDefaultPool,
                                 .request_id = request.id,
                                 .client_gone = exchange.client_gone()},
                                admission);
  if (!job) return send(exchange, guard_.refuse(request, job.error(), admission));
  if ((*job)->scan.stream) return answer_stream(exchange, *std::move(caller), *std::move(job));
  if (const auto preference = QueueApi::queues(request, *caller->dialect)) {
    return queue_.answer(exchange, *std::move(caller), *std::move(job), *preference);
  }
  return answer_whole(exchange, *std::move(caller), *std::move(job));
}

awaitable<void> ChatApi::answer_whole(http::Exchange& exchange, Caller caller, std::unique_ptr<inference::Job> job) {
  const CreditLines lines(signing_, caller, *job);
  auto delivered = co_await inference_.whole(*job);
  if (!delivered) {
    if (exchange.client_gone().stop_requested()) co_return;
    auto response = guard_.refuse(exchange.request(), delivered.error(), job->admission);
    response.headers.emplace_back(caller.dialect->header_prefix + "job-id", job->id);
    co_await exchange.send(response);
    co_return;
  }
  std::string head;
  head.reserve(512);
  append_job_lines(head, *caller.dialect, job->id, delivered->node_id);
  lines.append_head(head);
  lines.append_settled(head, delivered->settled);
  Guard::append_limit_lines(head, job->admission);
  const std::array<std::string_view, 1> body{delivered->body};
  co_await exchange.send(200, "application/json", head, body);
}

awaitable<void> ChatApi::answer_stream(http::Exchange& exchange, Caller caller, std::unique_ptr<inference::Job> job) {
  const CreditLines lines(signing_, caller, *job);
  HttpStream stream(exchange, guard_, caller, *job, lines);
  co_await inference_.stream(*job, stream);
}

}  // namespace turnpike::api
