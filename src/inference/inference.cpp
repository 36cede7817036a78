#include "turnpike/inference/inference.hpp"

#include <algorithm>
#include <boost/container/small_vector.hpp>
#include <utility>

#include "schema_judge.hpp"
#include "turnpike/base/running_digest.hpp"
#include "turnpike/dialect/error_body.hpp"
#include "turnpike/schema/schema.hpp"

namespace turnpike::inference {

namespace asio = boost::asio;
using asio::awaitable;
using ledger::Basis;
using scan::RequestKind;

namespace {

std::string_view path_of(RequestKind kind) {
  switch (kind) {
    case RequestKind::completion:
      return "/completions";
    case RequestKind::embedding:
      return "/embeddings";
    default:
      return "/chat/completions";
  }
}

ledger::Work work_of(RequestKind kind) {
  switch (kind) {
    case RequestKind::completion:
      return ledger::Work::completion;
    case RequestKind::embedding:
      return ledger::Work::embedding;
    default:
      return ledger::Work::chat;
  }
}

using Nodes = boost::container::small_vector<ledger::Served, 2>;

// The parts of a charge as the ledger is told of them, weighed by the request's price. What a node brought nothing of
// weighs nothing, even where a request as such has a price.
Nodes nodes_of(std::span<const relay::Part> parts, const ledger::Price& price, ledger::Money charged) {
  const auto weight = [&](const relay::Part& part, const ledger::TokenCounts& tokens) {
    if (parts.size() == 1) return charged;
    return &part == &parts.back() || part.completion_tokens > 0 ? price.cost(tokens) : ledger::Money();
  };
  Nodes nodes;
  for (const auto& part : parts) {
    const ledger::TokenCounts tokens{.prompt = part.prompt_tokens, .completion = part.completion_tokens};
    nodes.push_back({.node_id = part.node_id,
                     .tokens = tokens,
                     .cost = weight(part, tokens),
                     .owner = part.payee.account,
                     .share_millionths = part.payee.share_millionths});
  }
  return nodes;
}

// To be digested in turns.
bool is_large(std::string_view body) {
  return body.size() > 2 * kDigestTurnBytes;
}

std::string json_string(std::string_view text) {
  std::string out;
  dialect::append_json_string(out, text);
  return out;
}

}  // namespace

ledger::Price Model::price_at(std::size_t busy, std::size_t slots) const {
  if (!demand) return price;
  const std::uint64_t all = std::max<std::size_t>(slots, 1);
  const std::uint64_t factor =
      demand->least_percent * all + (demand->most_percent - demand->least_percent) * std::min<std::uint64_t>(busy, all);
  const auto scaled = [&](ledger::Money part) { return ledger::times(part, factor, 100 * all); };
  ledger::Price now = price;
  now.prompt_per_million = scaled(price.prompt_per_million);
  now.completion_per_million = scaled(price.completion_per_million);
  now.per_request = scaled(price.per_request);
  now.per_thousand_beyond = scaled(price.per_thousand_beyond);
  return now;
}

ledger::Price Inference::price_of(const Model& model, std::string_view pool) const {
  if (!model.demand) return model.price;
  const auto state = nodes_.state_of(model.id, pool, clock_.now());
  return model.price_at(state.in_flight, state.capacity);
}

void Catalogue::assign(std::vector<Model> models) {
  models_.clear();
  by_id_.clear();
  for (auto& model : models) {
    model.id_json = json_string(model.id);
    auto shared = std::make_shared<const Model>(std::move(model));
    by_id_.emplace(shared->id, shared);
    models_.push_back(std::move(shared));
  }
}

ModelPtr Catalogue::find(std::string_view id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : found->second;
}

Inference::Inference(Catalogue& catalogue, ledger::Ledger& ledger, relay::Relay& relay, scan::Scanner& scanner,
                     const scheduler::NodeRegistry& nodes, const Clock& clock, InferenceLimits limits)
    : catalogue_(catalogue),
      ledger_(ledger),
      relay_(relay),
      scanner_(scanner),
      nodes_(nodes),
      clock_(clock),
      limits_(limits) {}

Result<void> Inference::check_capability(const Job& job) const {
  const auto& model = *job.model;
  const auto lacks = [&](std::string_view what, std::string param) -> Result<void> {
    return fail(Fault::invalid_request, "the model " + model.id + " does not do " + std::string(what),
                std::move(param));
  };
  const auto kind = job.request.kind;
  if (kind == RequestKind::chat && !model.chat) return lacks("chat", "model");
  if (kind == RequestKind::completion && !model.completion) return lacks("text completion", "model");
  if (kind == RequestKind::embedding && !model.embeddings) return lacks("embeddings", "model");
  if (job.scan.images > 0 && !model.vision) return lacks("images", "messages");
  return {};
}

// A stream goes out as it comes, and is not held to a schema.
Result<void> Inference::read_schema(Job& job) const {
  const auto& scan = job.scan;
  const bool checks = job.model->structured_output && !scan.stream && scan.schema_span.found() &&
                      scan.response_format == scan::ResponseFormat::json_schema;
  if (!checks) return {};
  const auto span = relay::whole(job.request.body, scan.schema_span);
  constexpr std::string_view kParam = "response_format.json_schema.schema";
  if (span.size > limits_.schema_max_bytes) {
    return fail(Fault::invalid_request,
                "the schema is larger than " + std::to_string(limits_.schema_max_bytes) + " bytes",
                std::string(kParam));
  }
  job.schema = job.request.body.substr(span.at, span.size);
  // It is read again when there is an answer: while a node works, a tree of it would take many times its bytes.
  auto schema = schema::Schema::read(job.schema);
  if (schema) return {};
  schema.error().param = kParam;
  return std::unexpected(std::move(schema.error()));
}

relay::Seen Inference::seen_of(const Job& job) const {
  return {.prompt_bytes = job.scan.prompt_bytes,
          .prompt_text_bytes = job.scan.text_bytes,
          .messages = job.scan.messages,
          .images = job.scan.images,
          .image_token_allowance = limits_.image_token_allowance};
}

limits::Today Inference::today_of(ledger::AccountId account) const {
  const auto now = clock_.wall();
  return {.used_tokens = ledger_.tokens_today(account),
          .left = std::chrono::ceil<std::chrono::milliseconds>(ledger::day_of(now) + std::chrono::days(1) - now)};
}

Result<void> Inference::reserve(limits::Admission& admission, ledger::AccountId account,
                                const ledger::TokenCounts& most) const {
  if (!admission.limits_tokens() || admission.reserve(most.prompt + most.completion, today_of(account), clock_.now())) {
    return {};
  }
  return std::unexpected(limits::too_many(admission.tokens()));
}

Result<void> Inference::read(Job& job) const {
  const InferenceRequest& request = job.request;
  auto scan = scanner_.request(request.kind, request.body);
  if (!scan) return std::unexpected(std::move(scan.error()));
  job.scan = *std::move(scan);
  job.model = catalogue_.find(job.scan.model);
  if (!job.model) {
    return fail(Fault::model_not_found, "the model " + job.scan.model.substr(0, 200) + " does not exist", "model");
  }
  if (auto able = check_capability(job); !able) return std::unexpected(std::move(able.error()));
  if (auto schema = read_schema(job); !schema) return schema;

  auto limit = job.scan.max_tokens;
  if (request.kind != RequestKind::embedding) {
    for (const auto& member : request.dialect.request_defaults) {
      if (member.member == "max_tokens") {
        if (job.scan.has("max_tokens") || job.scan.has("max_completion_tokens")) continue;
        job.added_max_tokens = limit = request.dialect.default_max_tokens;
      } else if (!job.scan.has(member.member)) {
        job.defaults.append(job.defaults.empty() ? "" : ",")
            .append(json_string(member.member))
            .append(":")
            .append(member.json);
      }
    }
  }
  job.most.prompt = relay::prompt_bound(seen_of(job));
  if (request.kind != RequestKind::embedding) {
    const auto fallback = limits_.default_max_tokens > 0 ? limits_.default_max_tokens : job.model->max_output_tokens;
    // Below 2^30 tokens, 2^7 candidates and a text a byte: no overflow.
    job.most.completion = limit.value_or(fallback) * std::max(job.scan.choices, job.scan.candidates) * job.scan.inputs;
  }
  return {};
}

// A job as far as it follows from its request, with its tokens set aside by `admission`.
Result<std::unique_ptr<Job>> Inference::begin(const InferenceRequest& request, limits::Admission& admission) {
  auto job = std::make_unique<Job>(request);
  if (auto done = read(*job); !done) return std::unexpected(std::move(done.error()));
  if (auto reserved = reserve(admission, request.account, job->most); !reserved) {
    return std::unexpected(std::move(reserved.error()));
  }
  return job;
}

Result<std::unique_ptr<Job>> Inference::prepare(const InferenceRequest& request, limits::Admission& admission) {
  auto made = begin(request, admission);
  if (!made) return made;
  Job& job = **made;
  dialect::append_id(request.dialect, ids_, clock_.wall(), job.id);
  job.price = price_of(*job.model, request.pool);
  auto hold = ledger_.hold(request.account, job.price.cost(job.most), {.job_id = job.id, .model = job.model->id});
  if (!hold) return std::unexpected(std::move(hold.error()));
  job.hold = *std::move(hold);
  admit(job, admission);
  return made;
}

Result<std::unique_ptr<Job>> Inference::resume(const InferenceRequest& request, Held& held,
                                               limits::Admission& admission) {
  auto made = begin(request, admission);
  if (!made) return made;
  Job& job = **made;
  job.id = held.id;
  job.price = held.price;
  job.most = held.most;  // whatever a reload has made of the defaults
  job.hold = std::move(held.hold);
  admit(job, admission);
  return made;
}

// What is the same for every job that is to run now.
void Inference::admit(Job& job, limits::Admission& admission) const {
  job.id_json = json_string(job.id);
  auto timeout = limits_.default_timeout;
  if (job.scan.timeout_secs) {
    timeout = std::chrono::ceil<std::chrono::milliseconds>(std::chrono::duration<double>(*job.scan.timeout_secs));
  }
  job.deadline = clock_.now() + std::min(timeout, limits_.max_timeout);
  job.admission = std::move(admission);
}

relay::Call Inference::call_of(const Job& job, std::string_view path) const {
  return {.kind = job.request.kind,
          .path = path,
          .body = job.request.body,
          .scan = job.scan,
          .want = {.model = job.model->id, .pool = job.request.pool, .prefix_hash = job.scan.prefix_hash},
          .edits = {.defaults = job.defaults,
                    .max_tokens = job.added_max_tokens,
                    .ask_for_usage = job.scan.stream,
                    .node_model = {}},
          .account = job.request.account,
          .deadline = job.deadline,
          .client_gone = job.request.client_gone,
          .id_json = job.id_json,
          .model_json = job.model->id_json,
          .request_id = job.request.request_id};
}

Settled Inference::settle(const Job& job, const relay::Used& used, bool complete) {
  Settled settled;
  settled.tokens = {.prompt = used.prompt_tokens, .completion = used.completion_tokens};
  settled.basis = !complete || !used.claimed ? Basis::relayed : used.bounded ? Basis::bounded : Basis::node_usage;
  settled.charged = std::min(job.price.cost(settled.tokens), job.hold.amount());
  return settled;
}

Result<Inference::Charged> Inference::charge(Job& job, Settled settled, const relay::Used& used,
                                             std::span<relay::Part> parts, const Answered& answered,
                                             std::shared_ptr<storage::Operation> beside) {
  relay::attribute(used, parts);
  const auto nodes = nodes_of(parts, job.price, settled.charged);
  auto captured = ledger_.charge(std::move(job.hold), {.amount = settled.charged,
                                                       .basis = settled.basis,
                                                       .tokens = settled.tokens,
                                                       .nodes = nodes,
                                                       .evidence = {.content = answered.content,
                                                                    .work = work_of(job.request.kind),
                                                                    .stream = job.scan.stream,
                                                                    .ended = answered.ended,
                                                                    .price = job.price,
                                                                    .most = job.most},
                                                       .beside = std::move(beside)});
  if (job.admission.limits_tokens()) {
    job.admission.settle(settled.tokens.prompt + settled.tokens.completion, today_of(job.request.account),
                         clock_.now());
  }
  if (!captured) return std::unexpected(std::move(captured.error()));
  settled.balance = captured->balance;
  settled.at = captured->at;
  return Charged{.settled = settled, .captured = *std::move(captured)};
}

// `error`: what the client is told; null: it left.
void Inference::end_unpaid(Job& job, const Error* error) {
  ledger::Unpaid why;
  if (error != nullptr) {
    why.code = dialect::kind_of(job.request.dialect, error->fault).code;
    why.timed_out = error->fault == Fault::node_timeout;
  }
  ledger_.end_unpaid(std::move(job.hold), why);
}

awaitable<Result<Delivered>> Inference::whole(Job& job, AnswerKeeper* keeper) {
  auto call = call_of(job, path_of(job.request.kind));
  const SchemaJudge judge(job, limits_);
  if (!job.schema.empty()) call.judge = &judge;
  auto answer = co_await relay_.whole(call);
  if (!answer) {
    // Whoever keeps answers keeps the hold too, for another try.
    if (keeper == nullptr) end_unpaid(job, job.request.client_gone.stop_requested() ? nullptr : &answer.error());
    co_return std::unexpected(std::move(answer.error()));
  }
  auto seen = seen_of(job);
  seen.text_bytes = answer->scan.text_bytes;
  auto claim = answer->scan.counts;
  // Embeddings have no completion to count.
  if (job.request.kind == RequestKind::embedding) claim.completion_tokens = 0;
  Delivered delivered;
  delivered.body.reserve(answer->json.size() + 256);
  std::string metadata = "{\"node_id\":";
  dialect::append_json_string(metadata, answer->node_id);
  metadata += "}";
  relay::append_answer(delivered.body, answer->json, answer->scan, job.id_json, job.model->id_json, false, metadata);
  delivered.node_id = answer->node_id;
  Answered answered;
  if (limits_.content_digests) {
    auto& content = answered.content.emplace();
    content.request =
        is_large(job.request.body) ? co_await sha256_in_turns(job.request.body) : sha256(job.request.body);
    content.response = is_large(delivered.body) ? co_await sha256_in_turns(delivered.body) : sha256(delivered.body);
  }
  // Nothing is waited for between the keeper's word and the charge.
  std::shared_ptr<storage::Operation> beside;
  if (keeper != nullptr) {
    auto kept = co_await keeper->keep(delivered);
    if (!kept) co_return std::unexpected(std::move(kept.error()));
    beside = *std::move(kept);
  }
  relay::Part parts[] = {{.node_id = std::move(answer->node_id), .payee = answer->payee}};
  const auto used = relay::use_of_complete(seen, claim);
  auto charged = charge(job, settle(job, used, true), used, parts, answered, std::move(beside));
  if (!charged) co_return std::unexpected(std::move(charged.error()));
  if (charged->captured.pending) {
    if (auto written = co_await ledger_.written(charged->captured); !written) {
      co_return std::unexpected(std::move(written.error()));
    }
  }
  delivered.settled = charged->settled;
  co_return delivered;
}

// Between the relay and the client of one stream: the end of the stream waits for the charge, and the charge knows the
// digest of the whole stream, its end among it.
class StreamSettler final : public relay::StreamSink {
 public:
  StreamSettler(Inference& inference, Job& job, ClientStream& client)
      : inference_(inference), job_(job), client_(client) {
    if (inference.limits_.content_digests) digest_.emplace();
  }

  void served_by(const scheduler::Node& node) override { node_id_ = node.id(); }

  bool write(std::string_view events) override {
    if (digest_) digest_->add(events);
    return pass_on(events);
  }
  awaitable<bool> written() override { return client_.written(); }

  awaitable<void> finish(relay::StreamEnd& end) override {
    const auto counted = end.seen;
    end.seen = inference_.seen_of(job_);
    end.seen.text_bytes = counted.text_bytes;
    end.seen.text_events = counted.text_events;
    if (!end.complete && !end.client_left && !end.error) {
      end.error = Error{.fault = Fault::node_error, .message = "the node failed"};
    }
    if (!end.complete && counted.text_events == 0) {
      inference_.end_unpaid(job_, end.client_left ? nullptr : &*end.error);
      return end.client_left ? nothing() : fail(*end.error);
    }
    return settle(end);
  }

 private:
  static awaitable<void> nothing() { co_return; }

  bool pass_on(std::string_view events) {
    begin();
    return client_.write(events);
  }

  void begin() {
    if (!std::exchange(begun_, true)) client_.begin(job_.id, node_id_);
  }

  awaitable<void> fail(const Error& error) {
    if (!begun_) return client_.refuse(error);
    last_ = dialect::error_event(job_.request.dialect, error);
    return client_.break_off(last_);
  }

  awaitable<void> settle(relay::StreamEnd& end) {
    const auto used = end.complete ? relay::use_of_complete(end.seen, end.claim) : relay::use_of_relayed(end.seen);
    const auto settled = Inference::settle(job_, used, end.complete);
    const auto sent = end.events.size();
    append_end(end, settled);
    Inference::Answered answered;
    if (digest_) {
      digest_->add(end.events);
      const auto body = job_.request.body;
      auto& content = answered.content.emplace();
      content.request = is_large(body) ? co_await sha256_in_turns(body) : sha256(body);
      content.response = digest_->finish();
    }
    answered.ended = end.complete      ? ledger::Ended::complete
                     : end.client_left ? ledger::Ended::client_left
                                       : ledger::Ended::broken;
    auto charged = inference_.charge(job_, settled, used, end.parts, answered);
    if (!charged) {
      if (!end.client_left) co_await fail(charged.error());
      co_return;
    }
    std::string_view last = end.events;
    if (charged->captured.pending) {
      // What the node sent does not wait for the disk; the end of the stream does.
      if (sent > 0 && !pass_on(last.substr(0, sent))) co_await client_.written();
      last.remove_prefix(sent);
      if (auto written = co_await inference_.ledger_.written(charged->captured); !written) {
        // What was not written down is not acknowledged: the stream ends as a broken one.
        if (!end.client_left) co_await fail(written.error());
        co_return;
      }
    }
    if (end.complete) {
      begin();
      co_await client_.finish(last, charged->settled);
    } else if (!end.client_left) {
      co_await client_.break_off(last);
    }
  }

  // What the client is sent behind the node's last events.
  void append_end(relay::StreamEnd& end, const Settled& settled) const {
    if (end.complete) {
      if (job_.scan.include_usage) append_usage(end.events, end, settled);
      end.events += "data: [DONE]\n\n";
    } else if (!end.client_left) {
      end.events += dialect::error_event(job_.request.dialect, *end.error);
    }
  }

  // The node's own usage chunk; where it sent none, or one that was not believed, the gateway's count in its place.
  void append_usage(std::string& out, const relay::StreamEnd& end, const Settled& settled) const {
    out += "data: ";
    if (!end.usage_event.empty() && settled.basis == Basis::node_usage) {
      out += end.usage_event;
    } else {
      const auto& tokens = settled.tokens;
      out.append("{\"id\":").append(job_.id_json);
      out.append(job_.request.kind == RequestKind::chat ? R"(,"object":"chat.completion.chunk")"
                                                        : R"(,"object":"text_completion")");
      out.append(",\"created\":").append(std::to_string(unix_seconds(inference_.clock_.wall())));
      out.append(",\"model\":").append(job_.model->id_json).append(",\"choices\":[],\"usage\":{\"prompt_tokens\":");
      out.append(std::to_string(tokens.prompt))
          .append(",\"completion_tokens\":")
          .append(std::to_string(tokens.completion));
      out.append(",\"total_tokens\":").append(std::to_string(tokens.prompt + tokens.completion)).append("}}");
    }
    out += "\n\n";
  }

  Inference& inference_;
  Job& job_;
  ClientStream& client_;
  std::optional<RunningSha256> digest_;
  std::string node_id_;
  std::string last_;  // an error event on its way
  bool begun_ = false;
};

awaitable<void> Inference::stream(Job& job, ClientStream& client) {
  const auto call = call_of(job, path_of(job.request.kind));
  StreamSettler settler(*this, job, client);
  co_await relay_.stream(call, settler);
}

}  // namespace turnpike::inference
