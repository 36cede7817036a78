#include "turnpike/webhooks/webhooks.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <functional>
#include <ranges>
#include <unordered_map>
#include <utility>

#include "deliverer.hpp"
#include "secret_box.hpp"
#include "turnpike/base/encoding.hpp"
#include "turnpike/base/pause.hpp"
#include "turnpike/base/random.hpp"
#include "turnpike/storage/database.hpp"
#include "turnpike/webhooks/signature.hpp"
#include "turnpike/webhooks/target.hpp"
#include "webhook_store.hpp"

namespace turnpike::webhooks {

using boost::asio::awaitable;

namespace {

constexpr std::size_t kIdLength = 20;
constexpr int kMostDeliveriesAPage = 200;
constexpr std::chrono::hours kPurgeInterval{1};
constexpr std::string_view kTestType = "webhook.test";
constexpr std::string_view kDisabledByOwner = "by its owner";

Error no_such_endpoint() {
  return {.fault = Fault::not_found, .message = "there is no such webhook"};
}

// The bytes of the secret that somebody brings, or new ones.
Result<std::string> secret_of(const std::optional<std::string>& text) {
  if (!text) return make_secret();
  auto secret = read_secret(*text);
  if (!secret) {
    return fail(Fault::invalid_request, "secret must be whsec_ and the base64 of 24 to 64 bytes", "secret");
  }
  return *std::move(secret);
}

}  // namespace

struct Webhooks::State {
  State(boost::asio::any_io_executor on, Deadlines& wheel, TaskGroup& group, storage::Database& where,
        events::Subscriptions& told, SecretBox box, Send send, Rules most)
      : executor(std::move(on)),
        deadlines(wheel),
        tasks(group),
        database(where),
        subscriptions(told),
        secrets(std::move(box)),
        rules(std::move(most)),
        deliverer(executor, deadlines, tasks, database, secrets, rules, std::move(send),
                  [this](LiveEndpoint& endpoint) { disable(endpoint, "it answered with status 410"); }),
        stopping(tasks.stop_token(), [this] { stop(); }) {}

  LivePtr add(StoredEndpoint stored);
  void drop(const LivePtr& endpoint);
  void subscribe(std::int64_t account);
  void on_event(std::int64_t account, events::Type type);
  void disable(LiveEndpoint& endpoint, std::string_view reason);
  void stop();
  awaitable<Result<void>> write(StoredEndpoint stored, bool now_due);
  [[nodiscard]] Result<LivePtr> own(std::int64_t account, std::string_view id) const;
  awaitable<void> purge(std::stop_token stop);
  awaitable<void> purge_once();
  [[nodiscard]] WallTime now() const { return deadlines.clock().wall(); }

  boost::asio::any_io_executor executor;
  Deadlines& deadlines;
  TaskGroup& tasks;
  storage::Database& database;
  events::Subscriptions& subscriptions;
  SecretBox secrets;
  Rules rules;
  Deliverer deliverer;
  std::unordered_map<std::string, LivePtr> by_id;
  std::unordered_map<std::int64_t, std::vector<LivePtr>> by_account;  // oldest first
  std::int64_t last_row = 0;
  std::stop_callback<std::function<void()>> stopping;
};

LivePtr Webhooks::State::add(StoredEndpoint stored) {
  last_row = std::max(last_row, stored.row);
  auto endpoint = std::make_shared<LiveEndpoint>(deliverer, std::move(stored));
  by_id.emplace(endpoint->stored.shown.id, endpoint);
  by_account[endpoint->stored.shown.account].push_back(endpoint);
  return endpoint;
}

void Webhooks::State::drop(const LivePtr& endpoint) {
  const auto account = endpoint->stored.shown.account;
  endpoint->removed = true;
  Deliverer::stop_waiting(*endpoint);
  by_id.erase(endpoint->stored.shown.id);
  auto& of_account = by_account[account];
  std::erase(of_account, endpoint);
  if (of_account.empty()) by_account.erase(account);
  subscribe(account);
}

void Webhooks::State::subscribe(std::int64_t account) {
  events::Types types;
  if (const auto found = by_account.find(account); found != by_account.end()) {
    for (const LivePtr& endpoint : found->second) {
      if (endpoint->active()) types.add(endpoint->stored.shown.types);
    }
  }
  subscriptions.assign(account, types);
}

// A change that bears an event is queued: its rows will be in the outbox.
void Webhooks::State::on_event(std::int64_t account, events::Type type) {
  const auto found = by_account.find(account);
  if (found == by_account.end()) return;
  for (const LivePtr& endpoint : found->second) {
    if (!endpoint->active() || !endpoint->stored.shown.types.has(type)) continue;
    if (++endpoint->stored.shown.pending >= rules.max_pending) {
      disable(*endpoint, "too many deliveries wait for it: webhooks.max_pending_per_endpoint");
    } else {
      deliverer.announce(endpoint);
    }
  }
}

void Webhooks::State::disable(LiveEndpoint& endpoint, std::string_view reason) {
  endpoint.stored.shown.disabled = reason;
  Deliverer::stop_waiting(endpoint);
  subscribe(endpoint.stored.shown.account);
  spdlog::warn("webhooks: {} is disabled: {}", endpoint.stored.shown.id, reason);
  std::ignore = database.write(std::make_shared<WriteEndpoint>(endpoint.stored), storage::Queueing::guaranteed);
}

void Webhooks::State::stop() {
  for (const auto& [id, endpoint] : by_id) Deliverer::stop_waiting(*endpoint);
  deliverer.stop();
}

awaitable<Result<void>> Webhooks::State::write(StoredEndpoint stored, bool now_due) {
  const auto row = std::make_shared<WriteEndpoint>(std::move(stored));
  if (now_due) row->due = now();
  if (auto queued = database.write(row, storage::Queueing::bounded); !queued) co_return queued;
  co_return co_await storage::finished(row);
}

// Another account's endpoint is one that is not there.
Result<LivePtr> Webhooks::State::own(std::int64_t account, std::string_view id) const {
  const auto found = by_id.find(std::string(id));
  if (found == by_id.end() || found->second->stored.shown.account != account || !found->second->written) {
    return std::unexpected(no_such_endpoint());
  }
  return found->second;
}

awaitable<void> Webhooks::State::purge_once() {
  while (!tasks.stop_token().stop_requested()) {
    const auto work = std::make_shared<Purge>(now() - rules.retention);
    Result<void> done = database.write(work, storage::Queueing::bounded);
    if (done) done = co_await storage::finished(work);
    if (!done || !work->more) co_return;
  }
}

// And a slow look at all that waits: nobody is forgotten for good, whatever went wrong above.
awaitable<void> Webhooks::State::purge(std::stop_token stop) {
  do {
    co_await purge_once();
    for (const auto& [id, endpoint] : by_id) {
      if (endpoint->active() && endpoint->stored.shown.pending > 0) deliverer.announce(endpoint);
    }
  } while (co_await pause(executor, deadlines, kPurgeInterval, stop));
}

Webhooks::Webhooks(std::unique_ptr<State> state) : state_(std::move(state)) {}
Webhooks::~Webhooks() {
  state_->subscriptions.listen(nullptr);
}

Result<std::unique_ptr<Webhooks>> Webhooks::open(boost::asio::any_io_executor executor, Deadlines& deadlines,
                                                 TaskGroup& tasks, storage::Database& database,
                                                 events::Subscriptions& subscriptions, Send send, Rules rules) {
  auto box = SecretBox::open(rules.key_file);
  if (!box) return std::unexpected(std::move(box).error());
  Opening opening;
  const auto loaded = database.run_now([&](storage::Connection& connection) { opening = load(connection); });
  if (!loaded) return std::unexpected(loaded.error());
  auto state = std::make_unique<State>(std::move(executor), deadlines, tasks, database, subscriptions, *std::move(box),
                                       std::move(send), std::move(rules));
  state->last_row = opening.last_row;
  for (StoredEndpoint& stored : opening.endpoints) state->add(std::move(stored))->written = true;
  for (const auto& [account, endpoints] : state->by_account) state->subscribe(account);
  subscriptions.listen(
      [state = state.get()](std::int64_t account, events::Type type) { state->on_event(account, type); });
  return std::unique_ptr<Webhooks>(new Webhooks(std::move(state)));
}

void Webhooks::start() {
  state_->tasks.spawn("webhooks' retention", state_->purge(state_->tasks.stop_token()));
}

awaitable<Result<WithSecret>> Webhooks::create(NewEndpoint wanted) {
  State& state = *state_;
  if (auto target = read_target(wanted.url, state.rules.max_url_bytes, state.rules.allow_private_targets); !target) {
    co_return std::unexpected(std::move(target).error());
  }
  const auto secret = secret_of(wanted.secret);
  if (!secret) co_return std::unexpected(secret.error());
  const auto of_account = state.by_account.find(wanted.account);
  if (of_account != state.by_account.end() && of_account->second.size() >= state.rules.max_endpoints_per_account) {
    co_return fail(Fault::conflict, "The account has as many webhooks as it may: webhooks.max_endpoints_per_account");
  }
  if (state.by_id.size() >= state.rules.max_endpoints) {
    co_return fail(Fault::service_unavailable, "There are as many webhooks as the gateway takes.");
  }
  const std::string id = "wh_" + random_base62(kIdLength);
  // Before the wait, so that no two take the last place.
  const LivePtr endpoint = state.add({.row = state.last_row + 1,
                                      .shown = {.id = id,
                                                .account = wanted.account,
                                                .url = std::move(wanted.url),
                                                .types = wanted.types,
                                                .created_at = state.now()},
                                      .secret = state.secrets.seal(*secret, id)});
  if (auto written = co_await state.write(endpoint->stored, false); !written) {
    state.drop(endpoint);
    co_return std::unexpected(std::move(written).error());
  }
  endpoint->written = true;
  state.subscribe(wanted.account);
  co_return WithSecret{.endpoint = endpoint->stored.shown, .secret = secret_text(*secret)};
}

std::vector<Endpoint> Webhooks::list(std::int64_t account) const {
  std::vector<Endpoint> endpoints;
  if (const auto found = state_->by_account.find(account); found != state_->by_account.end()) {
    for (const LivePtr& endpoint : found->second) {
      if (endpoint->written) endpoints.push_back(endpoint->stored.shown);
    }
  }
  return endpoints;
}

Result<Endpoint> Webhooks::find(std::int64_t account, std::string_view id) const {
  const auto endpoint = state_->own(account, id);
  if (!endpoint) return std::unexpected(endpoint.error());
  return (*endpoint)->stored.shown;
}

awaitable<Result<Endpoint>> Webhooks::change(std::int64_t account, std::string id, Change change) {
  State& state = *state_;
  auto found = state.own(account, id);
  if (!found) co_return std::unexpected(found.error());
  const LivePtr endpoint = *std::move(found);
  http::Place place = endpoint->place;
  if (change.url) {
    auto target = read_target(*change.url, state.rules.max_url_bytes, state.rules.allow_private_targets);
    if (!target) co_return std::unexpected(std::move(target).error());
    place = *std::move(target);
  }
  const auto apply = [&change](Endpoint& shown) {
    if (change.url) shown.url = *change.url;
    if (change.types) shown.types = *change.types;
    if (change.active) shown.disabled = *change.active ? "" : kDisabledByOwner;
  };
  StoredEndpoint changed = endpoint->stored;
  apply(changed.shown);
  const bool now_due = change.url.has_value() || change.active.value_or(false);
  if (auto written = co_await state.write(std::move(changed), now_due); !written) {
    co_return std::unexpected(std::move(written).error());
  }
  apply(endpoint->stored.shown);
  endpoint->place = std::move(place);
  state.subscribe(account);
  if (now_due && endpoint->active()) state.deliverer.look(endpoint);
  co_return endpoint->stored.shown;
}

awaitable<Result<WithSecret>> Webhooks::rotate(std::int64_t account, std::string id,
                                               std::optional<std::string> secret) {
  State& state = *state_;
  auto found = state.own(account, id);
  if (!found) co_return std::unexpected(found.error());
  const LivePtr endpoint = *std::move(found);
  const auto bytes = secret_of(secret);
  if (!bytes) co_return std::unexpected(bytes.error());
  StoredEndpoint rotated = endpoint->stored;
  rotated.old_secret = std::exchange(rotated.secret, state.secrets.seal(*bytes, id));
  rotated.shown.old_secret_ends_at =
      state.now() + std::chrono::duration_cast<WallTime::duration>(state.rules.rotation_grace);
  if (auto written = co_await state.write(rotated, false); !written) {
    co_return std::unexpected(std::move(written).error());
  }
  endpoint->stored.secret = std::move(rotated.secret);
  endpoint->stored.old_secret = std::move(rotated.old_secret);
  endpoint->stored.shown.old_secret_ends_at = rotated.shown.old_secret_ends_at;
  co_return WithSecret{.endpoint = endpoint->stored.shown, .secret = secret_text(*bytes)};
}

awaitable<Result<void>> Webhooks::remove(std::int64_t account, std::string id) {
  State& state = *state_;
  auto found = state.own(account, id);
  if (!found) co_return std::unexpected(found.error());
  const LivePtr endpoint = *std::move(found);
  const auto row = std::make_shared<RemoveEndpoint>(endpoint->stored.row);
  Result<void> written = state.database.write(row, storage::Queueing::bounded);
  if (written) written = co_await storage::finished(row);
  if (written && !endpoint->removed) state.drop(endpoint);
  co_return written;
}

awaitable<Result<Delivery>> Webhooks::test(std::int64_t account, std::string id) {
  State& state = *state_;
  auto found = state.own(account, id);
  if (!found) co_return std::unexpected(found.error());
  const LivePtr endpoint = *std::move(found);
  const Endpoint& shown = endpoint->stored.shown;
  if (!endpoint->active()) co_return fail(Fault::conflict, "The webhook is disabled: " + shown.disabled);
  if (shown.pending + 1 >= state.rules.max_pending) {
    co_return fail(Fault::conflict, "Too many deliveries wait for it: webhooks.max_pending_per_endpoint");
  }
  const auto row = std::make_shared<AppendTest>();
  row->endpoint = endpoint->stored.row;
  row->event_id = "evt_" + random_base62(kIdLength);
  row->type = kTestType;
  row->now = state.now();
  row->body = R"({"type":"webhook.test","timestamp":")" + rfc3339(row->now.time_since_epoch().count()) +
              R"(","data":{"webhook_id":")" + shown.id + R"("}})";
  Result<void> written = state.database.write(row, storage::Queueing::bounded);
  if (written) written = co_await storage::finished(row);
  if (!written) co_return std::unexpected(std::move(written).error());
  ++endpoint->stored.shown.pending;
  state.deliverer.look(endpoint);
  co_return Delivery{.id = row->id,
                     .event_id = row->event_id,
                     .type = row->type,
                     .state = "pending",
                     .next_attempt_at = row->now,
                     .created_at = row->now};
}

awaitable<Result<DeliveryPage>> Webhooks::deliveries(std::int64_t account, std::string id, int limit,
                                                     std::optional<std::int64_t> before) {
  const auto endpoint = state_->own(account, id);
  if (!endpoint) co_return std::unexpected(endpoint.error());
  const auto most = static_cast<std::size_t>(std::clamp(limit, 1, kMostDeliveriesAPage));
  const auto question = std::make_shared<ReadDeliveries>((*endpoint)->stored.row, most, before);
  if (auto queued = state_->database.read(question); !queued) co_return std::unexpected(std::move(queued).error());
  if (auto read = co_await storage::finished(question); !read) co_return std::unexpected(std::move(read).error());
  co_return std::move(question->page);
}

Stats Webhooks::stats() const {
  Stats stats = state_->deliverer.stats();
  stats.endpoints = state_->by_id.size();
  for (const auto& [id, endpoint] : state_->by_id) {
    if (!endpoint->active()) continue;
    ++stats.active;
    const Endpoint& shown = endpoint->stored.shown;
    stats.pending += shown.pending;
    if (shown.pending == 0 || !endpoint->oldest) continue;
    stats.oldest = stats.oldest ? std::min(*stats.oldest, *endpoint->oldest) : *endpoint->oldest;
  }
  return stats;
}

}  // namespace turnpike::webhooks
