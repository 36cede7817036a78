#include "turnpike/api/chat_api.hpp"

#include <array>
#include <utility>

#include "credit_lines.hpp"

namespace turnpike::api {

using boost::asio::awaitable;
using scan::RequestKind;

namespace {

PricedJob priced(const inference::Job& job) {
  return {.id = job.id, .model = job.model->id, .held = job.hold.amount(), .held_at = job.hold.held_at()};
}

awaitable<void> send(http::Exchange& exchange, http::Response response) {
  co_await exchange.send(response);
}

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
  const CreditLines lines(signing_, caller, priced(*job));
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
  const CreditLines lines(signing_, caller, priced(*job));
  HttpStream stream(exchange, guard_, caller, *job, lines);
  co_await inference_.stream(*job, stream);
}

}  // namespace turnpike::api
