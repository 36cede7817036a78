#include "turnpike/api/chat_api.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

namespace turnpike::api {

namespace asio = boost::asio;
using asio::awaitable;
using scan::RequestKind;

namespace {

// `x-turnpike-job-id` and its like, with the dialect's prefix.
void append_job_lines(std::string& head, const dialect::Dialect& dialect, std::string_view job_id,
                      std::string_view node_id) {
  head.append(dialect.header_prefix).append("job-id: ").append(job_id).append("\r\n");
  if (!node_id.empty()) head.append(dialect.header_prefix).append("worker: ").append(node_id).append("\r\n");
}

// An inference's stream as an HTTP answer.
class HttpStream final : public inference::ClientStream {
 public:
  HttpStream(http::Exchange& exchange, const Guard& guard, const Caller& caller)
      : exchange_(exchange), guard_(guard), caller_(caller) {}

  void begin(std::string_view job_id, std::string_view node_id) override {
    std::string head = "Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\n";
    append_job_lines(head, *caller_.dialect, job_id, node_id);
    Guard::append_limit_lines(head, caller_);
    exchange_.start_stream(200, "text/event-stream", head);
  }
  awaitable<bool> write(std::string_view events) override { return exchange_.write(events); }
  awaitable<void> finish(std::string_view events, const inference::Settled& /*settled*/) override {
    co_await exchange_.finish(events);
  }
  awaitable<void> break_off(const Error& error) override {
    // Without the last chunk: what a client must not take for a complete answer also ends like a broken one.
    co_await exchange_.write(dialect::error_event(*caller_.dialect, error));
  }
  awaitable<void> refuse(const Error& error) override {
    co_await exchange_.send(guard_.refuse(&exchange_.request(), error));
  }

 private:
  http::Exchange& exchange_;
  const Guard& guard_;
  const Caller& caller_;
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
  std::optional<Error> error;
  if (!caller) {
    error = std::move(caller.error());
  } else if (auto admitted = guard_.admit(*caller); !admitted) {
    error = std::move(admitted.error());
  }
  if (error) {
    auto response = guard_.refuse(&request, *error);
    if (caller) std::ranges::move(Guard::limit_fields(*caller), std::back_inserter(response.headers));
    co_await exchange.send(response);
    co_return;
  }
  auto job = inference_.prepare({.kind = kind,
                                 .body = request.body,
                                 .dialect = *caller->dialect,
                                 .account = caller->account,
                                 .pool = scheduler::kDefaultPool,
                                 .request_id = request.id,
                                 .client_gone = exchange.client_gone()});
  if (!job) {
    co_await exchange.send(guard_.refuse(&request, job.error()));
    co_return;
  }
  if (job->scan.stream) {
    co_await answer_stream(exchange, *caller, *std::move(job));
  } else {
    co_await answer_whole(exchange, *caller, *std::move(job));
  }
}

awaitable<void> ChatApi::answer_whole(http::Exchange& exchange, const Caller& caller, inference::Job job) {
  std::string head;
  head.reserve(320);
  const std::string job_id = job.id;
  auto delivered = co_await inference_.whole(std::move(job));
  if (!delivered) {
    if (exchange.client_gone().stop_requested()) co_return;
    co_await exchange.send(guard_.refuse(&exchange.request(), delivered.error()));
    co_return;
  }
  append_job_lines(head, *caller.dialect, job_id, delivered->node_id);
  head.append(caller.dialect->header_prefix).append("credits-remaining: ");
  head.append(std::to_string(delivered->settled.balance.whole_credits())).append("\r\n");
  Guard::append_limit_lines(head, caller);
  const std::array<std::string_view, 1> body{delivered->body};
  co_await exchange.send(200, "application/json", head, body);
}

awaitable<void> ChatApi::answer_stream(http::Exchange& exchange, const Caller& caller, inference::Job job) {
  HttpStream stream(exchange, guard_, caller);
  co_await inference_.stream(std::move(job), stream);
}

}  // namespace turnpike::api
