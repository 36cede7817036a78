#include "deliverer.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <random>
#include <utility>

#include "turnpike/storage/database.hpp"
#include "turnpike/webhooks/signature.hpp"
#include "turnpike/webhooks/target.hpp"

namespace turnpike::webhooks {

using boost::asio::awaitable;

namespace {

// Reading the outbox commits what was written before it: what comes within this shares one commit.
constexpr std::chrono::milliseconds kGather{100};
constexpr std::chrono::seconds kStorageRetry{1};

}  // namespace

LiveEndpoint::LiveEndpoint(Deliverer& by, StoredEndpoint what)
    : stored(std::move(what)), place(http::parse_place(stored.shown.url).value_or(http::Place())), deliverer(by) {}

Deliverer::Deliverer(boost::asio::any_io_executor executor, Deadlines& deadlines, TaskGroup& tasks,
                     storage::Database& database, const SecretBox& secrets, const Rules& rules, Send send, Gone gone)
    : executor_(std::move(executor)),
      deadlines_(deadlines),
      tasks_(tasks),
      database_(database),
      secrets_(secrets),
      rules_(rules),
      send_(std::move(send)),
      gone_(std::move(gone)),
      rng_(std::random_device{}()) {}

Deliverer::~Deliverer() = default;

void Deliverer::announce(const LivePtr& endpoint) {
  endpoint->news = true;
  // Waiting: the oldest goes first. Running: it looks again by itself.
  if (endpoint->phase != LiveEndpoint::Phase::idle || std::exchange(endpoint->announced, true)) return;
  announced_.push_back(endpoint);
  if (gathering_ || tasks_.stop_token().stop_requested()) return;
  gathering_.emplace(deadlines_, [](void* self) { static_cast<Deliverer*>(self)->look_at_announced(); }, this);
  gathering_->arm(kGather);
}

void Deliverer::look_at_announced() {
  gathering_.reset();
  for (const LivePtr& endpoint : std::exchange(announced_, {})) {
    endpoint->announced = false;
    if (endpoint->phase == LiveEndpoint::Phase::idle) look(endpoint);
  }
}

void Deliverer::look(const LivePtr& endpoint) {
  endpoint->news = true;
  stop_waiting(*endpoint);
  using enum LiveEndpoint::Phase;
  if (endpoint->phase == ready || endpoint->phase == running) return;
  endpoint->phase = ready;
  ready_.push_back(endpoint);
  run_ready();
}

// A deadline that is armed keeps the loop alive: the gateway ends without it.
void Deliverer::stop() {
  gathering_.reset();
  announced_.clear();
  ready_.clear();
}

void Deliverer::wait(LiveEndpoint& endpoint, WallTime until) {
  endpoint.phase = LiveEndpoint::Phase::waiting;
  endpoint.next_attempt.emplace(
      deadlines_,
      [](void* self) {
        auto& waiting = *static_cast<LiveEndpoint*>(self);
        waiting.deliverer.look(waiting.shared_from_this());
      },
      &endpoint);
  endpoint.next_attempt->arm(until - now());
}

void Deliverer::run_ready() {
  if (tasks_.stop_token().stop_requested()) return;
  while (stats_.running < rules_.max_concurrent && !ready_.empty()) {
    LivePtr endpoint = std::move(ready_.front());
    ready_.pop_front();
    endpoint->phase = LiveEndpoint::Phase::idle;
    if (!endpoint->active()) continue;
    endpoint->phase = LiveEndpoint::Phase::running;
    ++stats_.running;
    tasks_.spawn("webhook", run(std::move(endpoint)));
  }
}

// One delivery, or the finding that none is due; then to the end of the line, for others wait too.
awaitable<void> Deliverer::run(LivePtr endpoint) {
  endpoint->news = false;
  const auto next = co_await deliver_next(*endpoint);
  --stats_.running;
  endpoint->phase = LiveEndpoint::Phase::idle;
  if (endpoint->active() && !tasks_.stop_token().stop_requested()) {
    if (endpoint->news || (next && *next <= now())) {
      look(endpoint);
    } else if (next) {
      wait(*endpoint, *next);
    }
  }
  run_ready();
}

// When to look again; none: nothing is pending.
awaitable<std::optional<WallTime>> Deliverer::deliver_next(LiveEndpoint& endpoint) {
  const auto question = std::make_shared<ReadHead>(endpoint.stored.row);
  Result<void> read = database_.read(question);
  if (read) read = co_await storage::finished(question);
  if (!read) co_return now() + kStorageRetry;
  if (!question->head) {
    if (!endpoint.news) endpoint.stored.shown.pending = 0;
    endpoint.oldest.reset();
    co_return std::nullopt;
  }
  Delivery& delivery = *question->head;
  endpoint.oldest = delivery.created_at;
  if (delivery.next_attempt_at > now()) co_return delivery.next_attempt_at;
  const Answered answered = co_await attempt(endpoint, delivery, question->body);
  // Cut short by the end of the gateway: it says nothing of the endpoint, and the next start tries again.
  if (answered.status == 0 && tasks_.stop_token().stop_requested()) co_return std::nullopt;
  delivery.status = answered.status;
  ++delivery.attempts;
  const Verdict verdict = judge(answered, delivery.attempts, now(), rules_.max_retry_after, rng_);
  co_return co_await settle(endpoint, std::move(delivery), verdict);
}

std::string Deliverer::signatures(const LiveEndpoint& endpoint, const Delivery& delivery, std::int64_t timestamp,
                                  const std::string& body) const {
  const StoredEndpoint& stored = endpoint.stored;
  const auto secret = secrets_.unseal(stored.secret, stored.shown.id);
  if (!secret) return "";
  std::string signatures = sign(*secret, delivery.event_id, timestamp, body);
  const auto ends = stored.shown.old_secret_ends_at;
  if (!ends || *ends <= now()) return signatures;
  if (const auto old = secrets_.unseal(stored.old_secret, stored.shown.id)) {
    signatures.append(" ").append(sign(*old, delivery.event_id, timestamp, body));
  }
  return signatures;
}

awaitable<Answered> Deliverer::attempt(const LiveEndpoint& endpoint, const Delivery& delivery,
                                       const std::string& body) {
  const std::int64_t timestamp = unix_seconds(now());
  const std::string signed_by = signatures(endpoint, delivery, timestamp, body);
  if (signed_by.empty()) co_return Answered{.fault = "its secret cannot be read here any more; rotate it"};
  http::Post what{.target = endpoint.place.target,
                  .head_lines = "Content-Type: application/json\r\nwebhook-id: " + delivery.event_id +
                                "\r\nwebhook-timestamp: " + std::to_string(timestamp) +
                                "\r\nwebhook-signature: " + signed_by + "\r\n",
                  .body = body,
                  .timeout = rules_.timeout,
                  .max_answer_bytes = rules_.max_answer_bytes,
                  .only_status = true,
                  .may_call = rules_.allow_private_targets ? nullptr : &is_public};
  auto answer = co_await send_(endpoint.place, std::move(what), tasks_.stop_token());
  if (!answer) co_return Answered{.fault = std::move(answer).error()};
  co_return Answered{.status = answer->status, .retry_after = std::move(answer->retry_after)};
}

awaitable<std::optional<WallTime>> Deliverer::settle(LiveEndpoint& endpoint, Delivery delivery,
                                                     const Verdict& verdict) {
  using enum Verdict::Kind;
  const bool over = verdict.kind == delivered || verdict.kind == dead;
  delivery.state = verdict.kind == delivered ? "delivered" : verdict.kind == dead ? "dead" : "pending";
  delivery.fault = verdict.fault;
  delivery.next_attempt_at = verdict.kind == retry ? verdict.next_attempt : now();
  if (over) delivery.closed_at = now();
  count(verdict);
  if (verdict.kind != delivered) {
    spdlog::info("webhooks: {} to {}: attempt {} failed: {}", delivery.event_id, endpoint.stored.shown.id,
                 delivery.attempts, verdict.fault);
  }
  if (over && endpoint.stored.shown.pending > 0) --endpoint.stored.shown.pending;
  if (verdict.kind == gone) gone_(endpoint);
  const auto next = delivery.next_attempt_at;
  // True already: whoever was told was told. Should it be lost, it is told again.
  const auto row = std::make_shared<WriteAttempt>(std::move(delivery));
  Result<void> written = database_.write(row, storage::Queueing::guaranteed);
  if (written) written = co_await storage::finished(row);
  // Nothing can be written any more: what was delivered would be delivered again and again.
  if (!written) co_return std::nullopt;
  co_return next;
}

void Deliverer::count(const Verdict& verdict) {
  switch (verdict.kind) {
    case Verdict::Kind::delivered:
      ++stats_.delivered;
      break;
    case Verdict::Kind::retry:
      ++stats_.failed;
      break;
    case Verdict::Kind::dead:
      ++stats_.dead;
      break;
    case Verdict::Kind::gone:
      ++stats_.gone;
      break;
  }
}

}  // namespace turnpike::webhooks
