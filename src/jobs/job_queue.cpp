#include "turnpike/jobs/job_queue.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <exception>
#include <unordered_map>
#include <utility>

#include "job_events.hpp"
#include "job_store.hpp"
#include "turnpike/base/pause.hpp"
#include "turnpike/base/signal.hpp"
#include "turnpike/dialect/error_body.hpp"
#include "turnpike/jobs/turns.hpp"
#include "turnpike/storage/database.hpp"

namespace turnpike::jobs {

using boost::asio::awaitable;

namespace {

constexpr std::chrono::hours kPurgeInterval{1};
constexpr std::chrono::seconds kOldestInterval{1};
constexpr std::chrono::seconds kStorageIsBehind{1};
constexpr std::size_t kMostJobsAPage = 200;

constexpr std::string_view kStateNames[kStates] = {"queued", "processing", "complete", "dead", "cancelled"};

Error no_such_job() {
  return {.fault = Fault::not_found, .message = "there is no such job"};
}

Error no_room(std::string message) {
  return {.fault = Fault::rate_limit_exceeded, .message = std::move(message), .retry_after = std::chrono::seconds(10)};
}

// A job that runs. Nothing is charged once it is cancelled, and it cannot be cancelled once it is settling.
struct Running {
  Claimed claimed;
  std::stop_source stop = {};
  bool cancelled = false;
  bool settling = false;
};

// What an account has in the queue.
struct Line {
  std::size_t jobs = 0;  // that are not over, and dead ones
  std::string tier;      // of the newest
};

}  // namespace

std::string_view to_string(State state) {
  return kStateNames[static_cast<std::size_t>(state)];
}

std::optional<State> parse_state(std::string_view text) {
  const auto found = std::ranges::find(kStateNames, text);
  if (found == std::end(kStateNames)) return std::nullopt;
  return static_cast<State>(found - std::begin(kStateNames));
}

struct JobQueue::Inner {
  Inner(QueueParts from, const Rules& most)
      : parts(std::move(from)),
        rules(most),
        rng(parts.seed),
        turns([this](ledger::AccountId account) {
          const auto line = lines.find(account);
          return parts.concurrency(account, line == lines.end() ? std::string() : line->second.tier);
        }),
        news(parts.executor),
        emptied(parts.executor),
        stopping(parts.tasks.stop_token(), [this] { stop(); }) {}

  [[nodiscard]] WallTime now() const { return parts.deadlines.clock().wall(); }
  [[nodiscard]] Result<void> check_room(ledger::AccountId account, std::size_t bytes);
  void count_in(ledger::AccountId account, std::size_t bytes, const std::string& tier);
  void count_out(ledger::AccountId account, std::size_t bytes);
  void tell(const Request& request, events::Type type) const;
  [[nodiscard]] bool wants(const Request& request, events::Type type) const {
    return parts.subscriptions.wants(request.account, type);
  }
  template <class Operation>
  awaitable<Result<void>> written(std::shared_ptr<Operation> operation, storage::Queueing queueing);
  template <class Question>
  awaitable<Result<void>> answered(std::shared_ptr<Question> question);
  template <class Question>
  awaitable<Result<Page>> page_of(std::shared_ptr<Question> question);
  awaitable<Result<Job>> read(std::optional<ledger::AccountId> account, std::string id);

  awaitable<void> work();
  awaitable<void> start_next(ledger::AccountId account);
  awaitable<void> run(std::int64_t row);
  awaitable<Outcome> attempt(Running& running, ledger::Hold& hold);
  awaitable<Result<std::shared_ptr<storage::Operation>>> keep(Running& running, std::string_view body,
                                                              std::string_view node_id);
  void settle(Running& running, const Outcome& outcome, ledger::Hold hold);
  void put_back(Running& running, const Outcome& outcome, ledger::Hold hold);
  void give_up(Running& running, const Error& error, std::size_t tries, ledger::Hold hold);

  void wake_waiting(const std::string& id);
  void stop();
  Running* find_running(ledger::AccountId account, std::string_view id);
  awaitable<void> watch_oldest(std::stop_token until);
  awaitable<void> purge_regularly(std::stop_token until);
  awaitable<Result<std::size_t>> purge(Purge which);

  QueueParts parts;
  Rules rules;
  Rng rng;
  std::unordered_map<ledger::AccountId, Line> lines;
  Turns turns;
  std::unordered_map<std::int64_t, Running> running;      // by row
  std::unordered_multimap<std::string, Signal*> waiting;  // by job: who waits for its end
  Signal news;                                            // for work()
  Signal emptied;                                         // nothing runs any more
  Stats stats;
  bool no_more = false;  // no job begins
  bool cut_off = false;  // what runs is stopped, and not over
  std::stop_callback<std::function<void()>> stopping;
};

// ---- what is there ----

Result<void> JobQueue::Inner::check_room(ledger::AccountId account, std::size_t bytes) {
  const auto line = lines.find(account);
  const std::size_t own = line == lines.end() ? 0 : line->second.jobs;
  if (stats.queued + running.size() + stats.dead >= rules.max_jobs || bytes > rules.max_bytes ||
      stats.bytes > rules.max_bytes - bytes) {
    ++stats.refused;
    return std::unexpected(no_room("The queue is full; try again later."));
  }
  if (own >= rules.max_jobs_per_account) {
    ++stats.refused;
    return std::unexpected(no_room("The account has as many jobs in the queue as it may; try again later."));
  }
  return {};
}

void JobQueue::Inner::count_in(ledger::AccountId account, std::size_t bytes, const std::string& tier) {
  Line& line = lines[account];
  ++line.jobs;
  line.tier = tier;
  stats.bytes += bytes;
}

void JobQueue::Inner::count_out(ledger::AccountId account, std::size_t bytes) {
  const auto line = lines.find(account);
  if (--line->second.jobs == 0) lines.erase(line);
  stats.bytes -= bytes;
}

void JobQueue::Inner::tell(const Request& request, events::Type type) const {
  if (wants(request, type)) parts.subscriptions.announce(request.account, type);
}

template <class Operation>
awaitable<Result<void>> JobQueue::Inner::written(std::shared_ptr<Operation> operation, storage::Queueing queueing) {
  if (auto queued = parts.database.write(operation, queueing); !queued) co_return queued;
  co_return co_await storage::finished(operation);
}

template <class Question>
awaitable<Result<void>> JobQueue::Inner::answered(std::shared_ptr<Question> question) {
  if (auto queued = parts.database.read(question); !queued) co_return queued;
  co_return co_await storage::finished(question);
}

template <class Question>
awaitable<Result<Page>> JobQueue::Inner::page_of(std::shared_ptr<Question> question) {
  if (auto read = co_await answered(question); !read) co_return std::unexpected(std::move(read).error());
  co_return std::move(question->page);
}

// One of the account's; none: anybody's.
awaitable<Result<Job>> JobQueue::Inner::read(std::optional<ledger::AccountId> account, std::string id) {
  const auto question = std::make_shared<ReadJob>(account, std::move(id));
  if (auto read = co_await answered(question); !read) co_return std::unexpected(std::move(read).error());
  if (!question->job) co_return std::unexpected(no_such_job());
  co_return *std::move(question->job);
}

// ---- running ----

awaitable<void> JobQueue::Inner::work() {
  Deadline due(parts.deadlines, [](void* signal) { static_cast<Signal*>(signal)->notify(); }, &news);
  while (!no_more) {
    while (!no_more && running.size() < rules.max_running) {
      const auto account = turns.next(now());
      if (!account) break;
      co_await start_next(*account);
    }
    due.disarm();
    if (const auto next = turns.next_due(); next && running.size() < rules.max_running) {
      due.arm(std::max(*next - now(), WallTime::duration::zero()));
    }
    if (!no_more) co_await news.wait();
  }
}

awaitable<void> JobQueue::Inner::start_next(ledger::AccountId account) {
  const bool told = parts.subscriptions.wants(account, events::Type::job_processing);
  const auto claim = std::make_shared<ClaimJob>(account, now(), told);
  if (auto done = co_await written(claim, storage::Queueing::bounded); !done) {
    turns.took(account, false, now() + kStorageIsBehind);
    co_return;
  }
  turns.took(account, claim->claimed.has_value(), claim->next_due);
  if (!claim->claimed) co_return;
  --stats.queued;
  const auto row = claim->claimed->row;
  Running& started = running.emplace(row, Running{.claimed = *std::move(claim->claimed)}).first->second;
  if (told) parts.subscriptions.announce(account, events::Type::job_processing);
  if (cut_off) started.stop.request_stop();
  parts.tasks.spawn("queued job", run(row));
}

awaitable<void> JobQueue::Inner::run(std::int64_t row) {
  Running& job = running.at(row);
  const Request& request = job.claimed.request;
  const auto account = request.account;
  ledger::Hold hold = parts.ledger.take_up(account, request.held, {.job_id = request.id, .model = request.model},
                                           job.claimed.created_at);
  const Outcome outcome = co_await attempt(job, hold);
  settle(job, outcome, std::move(hold));
  running.erase(row);
  turns.ended(account);
  news.notify();
  if (running.empty()) emptied.notify();
}

awaitable<Outcome> JobQueue::Inner::attempt(Running& job, ledger::Hold& hold) {
  const Keep before_charge = [this, &job](std::string_view body, std::string_view node_id) {
    return keep(job, body, node_id);
  };
  try {
    co_return co_await parts.run(job.claimed.request, hold, before_charge, job.stop.get_token());
  } catch (const std::exception& error) {
    spdlog::error("job {}: an unforeseen exception: {}", job.claimed.request.id, error.what());
  }
  co_return Outcome{.error = Error{.fault = Fault::internal_error, .message = "The gateway failed."}};
}

// `body` and `node_id` last until this is over.
awaitable<Result<std::shared_ptr<storage::Operation>>> JobQueue::Inner::keep(Running& job, std::string_view body,
                                                                             std::string_view node_id) {
  const auto stopped = [&] { return job.cancelled || job.stop.stop_requested(); };
  if (stopped()) co_return fail(Fault::conflict, "The job was stopped.");
  const auto kept = std::make_shared<KeepResult>(job.claimed.row, body, node_id);
  if (auto done = co_await written(kept, storage::Queueing::bounded); !done) {
    co_return std::unexpected(std::move(done).error());
  }
  if (!kept->kept || stopped()) co_return fail(Fault::conflict, "The job was stopped.");
  job.settling = true;
  co_return std::make_shared<CompleteJob>(job.claimed.row, now());
}

void JobQueue::Inner::settle(Running& job, const Outcome& outcome, ledger::Hold hold) {
  const Request& request = job.claimed.request;
  if (!outcome.error && !outcome.not_before) {
    ++stats.completed;
    count_out(request.account, request.body.size());
  } else if (!hold.valid()) {
    // Its charge could not be written: nothing can be any more, and the next start tells what came of it.
    ++stats.tries_failed;
  } else if (job.cancelled) {
    ++stats.cancelled;
    parts.ledger.release(std::move(hold), "cancelled");
    count_out(request.account, request.body.size());
  } else if (job.stop.stop_requested()) {
    // Cut off by the gateway's end: the next start finds it as it was.
    parts.ledger.set_aside(std::move(hold));
    ++stats.queued;
  } else {
    put_back(job, outcome, std::move(hold));
  }
  wake_waiting(request.id);
}

void JobQueue::Inner::put_back(Running& job, const Outcome& outcome, ledger::Hold hold) {
  const Request& request = job.claimed.request;
  std::size_t tries = job.claimed.tries;
  auto back = std::make_shared<PutBack>();
  back->row = job.claimed.row;
  back->now = now();
  if (outcome.error) {
    ++tries;
    ++stats.tries_failed;
    if (!may_mend(outcome.error->fault) || tries >= rules.retries.tries) {
      give_up(job, *outcome.error, tries, std::move(hold));
      return;
    }
    back->failure =
        Failure{.fault = outcome.error->fault, .message = outcome.error->message, .param = outcome.error->param};
    back->next_try = back->now + draw(pause_after(rules.retries, tries), rng);
    if (outcome.error->fault == Fault::node_timeout && wants(request, events::Type::job_timeout)) {
      back->events.push_back(
          event_of(events::Type::job_timeout, request, tries, back->now, &*back->failure, back->next_try));
    }
  } else {
    back->next_try = back->now + *outcome.not_before;
  }
  back->tries = tries;
  const auto next_try = back->next_try;
  const bool timed_out = !back->events.empty();
  std::ignore = parts.database.write(std::move(back), storage::Queueing::guaranteed);
  if (timed_out) parts.subscriptions.announce(request.account, events::Type::job_timeout);
  parts.ledger.set_aside(std::move(hold));
  ++stats.queued;
  turns.add(request.account, next_try);
}

// Nothing will come of it: dead, with its request kept for an operator.
void JobQueue::Inner::give_up(Running& job, const Error& error, std::size_t tries, ledger::Hold hold) {
  const Request& request = job.claimed.request;
  const Failure failure{.fault = error.fault, .message = error.message, .param = error.param};
  const auto type = may_mend(error.fault) ? events::Type::job_dead : events::Type::job_failed;
  auto dead = std::make_shared<PutBack>();
  dead->row = job.claimed.row;
  dead->state = State::dead;
  dead->tries = tries;
  dead->next_try = dead->now = now();
  dead->failure = failure;
  if (wants(request, type)) dead->events.push_back(event_of(type, request, tries, dead->now, &failure));
  std::ignore = parts.database.write(std::move(dead), storage::Queueing::guaranteed);
  tell(request, type);
  parts.ledger.release(std::move(hold), "the job is dead");
  ++stats.dead;
  ++stats.given_up;
  spdlog::warn("job {} is dead after {} tries: {}", request.id, tries, dialect::code_of(error.fault));
}

void JobQueue::Inner::wake_waiting(const std::string& id) {
  const auto [first, last] = waiting.equal_range(id);
  std::for_each(first, last, [](const auto& each) { each.second->notify(); });
}

Running* JobQueue::Inner::find_running(ledger::AccountId account, std::string_view id) {
  const auto found = std::ranges::find_if(running, [&](const auto& each) {
    const Request& request = each.second.claimed.request;
    return request.account == account && request.id == id;
  });
  return found == running.end() ? nullptr : &found->second;
}

void JobQueue::Inner::stop() {
  no_more = true;
  news.notify();
  for (const auto& [id, signal] : waiting) signal->notify();
}

// ---- what passes with time ----

awaitable<void> JobQueue::Inner::watch_oldest(std::stop_token until) {
  do {
    if (stats.queued == 0) {
      stats.oldest.reset();
      continue;
    }
    const auto question = std::make_shared<ReadOldest>();
    if (co_await answered(question)) stats.oldest = question->oldest;
  } while (co_await pause(parts.executor, parts.deadlines, kOldestInterval, until));
}

awaitable<Result<std::size_t>> JobQueue::Inner::purge(Purge which) {
  std::size_t deleted = 0;
  bool more = true;
  while (more && !no_more) {
    const auto some = std::make_shared<PurgeJobs>(which);
    if (auto done = co_await written(some, storage::Queueing::bounded); !done) {
      co_return std::unexpected(std::move(done).error());
    }
    for (const auto& dead : some->dead) {
      --stats.dead;
      count_out(dead.account, dead.bytes);
    }
    deleted += some->deleted;
    more = some->more;
  }
  co_return deleted;
}

awaitable<void> JobQueue::Inner::purge_regularly(std::stop_token until) {
  do {
    const auto at = now();
    Purge old;
    old.done_before = at - rules.retention;
    if (rules.dead_retention) old.dead_before = at - *rules.dead_retention;
    old.keys_since = at - rules.idempotency;
    if (auto purged = co_await purge(old); !purged) {
      spdlog::warn("jobs: what is over could not be deleted: {}", purged.error().message);
    }
  } while (co_await pause(parts.executor, parts.deadlines, kPurgeInterval, until));
}

// ---- the queue as others see it ----

JobQueue::JobQueue(std::unique_ptr<Inner> inner) : inner_(std::move(inner)) {}
JobQueue::~JobQueue() = default;

Result<std::unique_ptr<JobQueue>> JobQueue::open(QueueParts parts, const Rules& rules) {
  Opening opening;
  const auto now = parts.deadlines.clock().wall();
  const auto loaded = parts.database.run_now([&](storage::Connection& connection) { opening = load(connection, now); });
  if (!loaded) return std::unexpected(loaded.error());
  auto inner = std::make_unique<Inner>(std::move(parts), rules);
  for (StoredLine& line : opening.lines) {
    inner->lines[line.account] = {.jobs = line.queued + line.dead, .tier = std::move(line.tier)};
    inner->stats.queued += line.queued;
    inner->stats.dead += line.dead;
    inner->stats.bytes += line.bytes;
    inner->parts.ledger.set_aside(line.account, line.held);
    if (line.next_due) inner->turns.add(line.account, *line.next_due);
  }
  if (opening.completed + opening.queued_again > 0) {
    spdlog::info("jobs: {} that an earlier run charged are complete, {} that it ran are queued again",
                 opening.completed, opening.queued_again);
  }
  return std::unique_ptr<JobQueue>(new JobQueue(std::move(inner)));
}

void JobQueue::start() {
  const auto until = inner_->parts.tasks.stop_token();
  inner_->parts.tasks.spawn("job queue", inner_->work());
  inner_->parts.tasks.spawn("oldest job", inner_->watch_oldest(until));
  inner_->parts.tasks.spawn("jobs' retention", inner_->purge_regularly(until));
}

awaitable<Result<Enqueued>> JobQueue::enqueue(Enqueue wanted, ledger::Hold hold) {
  Inner& inner = *inner_;
  const auto account = wanted.request.account;
  const auto bytes = wanted.request.body.size();
  if (inner.no_more) co_return fail(Fault::service_unavailable, "The gateway is about to end; try again.");
  if (auto room = inner.check_room(account, bytes); !room) co_return std::unexpected(std::move(room).error());
  const auto add = std::make_shared<AddJob>();
  add->now = inner.now();
  add->keys_since = add->now - inner.rules.idempotency;
  add->wanted = std::move(wanted);
  Request& request = add->wanted.request;
  request.held = inner.parts.ledger.set_aside(std::move(hold));
  if (inner.wants(request, events::Type::job_submitted)) {
    add->event = event_of(events::Type::job_submitted, request, 0, add->now);
  }
  inner.count_in(account, bytes, request.tier);
  ++inner.stats.queued;
  auto done = co_await inner.written(add, storage::Queueing::bounded);
  if (!done || add->existing) {
    inner.parts.ledger.give_back(account, request.held);
    inner.count_out(account, bytes);
    --inner.stats.queued;
    if (!done) co_return std::unexpected(std::move(done).error());
    if (!add->same_digest) {
      co_return fail(Fault::idempotency_mismatch, "another request was made with this Idempotency-Key",
                     "Idempotency-Key");
    }
    co_return Enqueued{.job = *std::move(add->existing), .is_new = false};
  }
  if (add->event) inner.parts.subscriptions.announce(account, events::Type::job_submitted);
  inner.turns.add(account, add->now);
  inner.news.notify();
  co_return Enqueued{.job = {.row = add->row,
                             .id = request.id,
                             .account = account,
                             .dialect = request.dialect,
                             .model = request.model,
                             .failure = {},
                             .next_try = add->now,
                             .held = request.held,
                             .created_at = add->now,
                             .updated_at = add->now}};
}

awaitable<Result<Job>> JobQueue::find(ledger::AccountId account, std::string id) {
  return inner_->read(account, std::move(id));
}

awaitable<Result<Job>> JobQueue::wait(ledger::AccountId account, std::string id, Instant until,
                                      std::stop_token client_gone) {
  Inner& inner = *inner_;
  Signal ended(inner.parts.executor);
  Deadline limit(inner.parts.deadlines, [](void* signal) { static_cast<Signal*>(signal)->notify(); }, &ended);
  limit.arm_at(until);
  const std::stop_callback left(client_gone, [&ended] { ended.notify(); });
  const auto place = inner.waiting.emplace(id, &ended);
  const auto goes_on = [&] {
    return inner.parts.deadlines.clock().now() < until && !client_gone.stop_requested() && !inner.no_more;
  };
  Result<Job> job = co_await find(account, id);
  while (job && !is_over(job->state) && goes_on()) {
    co_await ended.wait();
    job = co_await find(account, id);
  }
  inner.waiting.erase(place);
  co_return job;
}

awaitable<Result<Job>> JobQueue::cancel(ledger::AccountId account, std::string id) {
  Inner& inner = *inner_;
  Running* running = inner.find_running(account, id);
  if (running != nullptr && running->settling) {
    co_return fail(Fault::conflict, "The job is complete but for its charge: it cannot be cancelled any more.");
  }
  if (running != nullptr) {
    running->cancelled = true;
    running->stop.request_stop();  // the node stops at once
  }
  // The run may be over before this returns: nothing of it is used below.
  const auto change = std::make_shared<CancelJob>(account, id, inner.now());
  if (auto done = co_await inner.written(change, storage::Queueing::guaranteed); !done) {
    co_return std::unexpected(std::move(done).error());
  }
  if (!change->job) co_return std::unexpected(no_such_job());
  if (change->before == State::queued) {
    ++inner.stats.cancelled;
    --inner.stats.queued;
    inner.parts.ledger.give_back(account, change->held);
    inner.count_out(account, change->bytes);
    inner.wake_waiting(id);
  } else if (change->before == State::processing && running == nullptr) {
    // It began while the change was on its way.
    if (Running* began = inner.find_running(account, id); began != nullptr) {
      began->cancelled = true;
      began->stop.request_stop();
    }
  }
  if (!change->before && change->job->state != State::cancelled) {
    co_return fail(Fault::conflict, "The job is " + std::string(to_string(change->job->state)) + " already.");
  }
  co_return *std::move(change->job);
}

awaitable<Result<Page>> JobQueue::list(Filter filter) {
  filter.limit = std::clamp<std::size_t>(filter.limit, 1, kMostJobsAPage);
  return inner_->page_of(std::make_shared<ListJobs>(std::move(filter)));
}

awaitable<Result<Page>> JobQueue::list_given_up(GivenUpFilter filter) {
  filter.limit = std::clamp<std::size_t>(filter.limit, 1, kMostJobsAPage);
  return inner_->page_of(std::make_shared<ListGivenUp>(std::move(filter)));
}

awaitable<Result<Job>> JobQueue::show(std::string id) {
  return inner_->read(std::nullopt, std::move(id));
}

awaitable<Result<Job>> JobQueue::requeue(std::string id) {
  Inner& inner = *inner_;
  const auto found = co_await inner.read(std::nullopt, id);
  if (!found) co_return std::unexpected(found.error());
  const Job& dead = *found;
  if (dead.state != State::dead)
    co_return fail(Fault::conflict, "The job is " + std::string(to_string(dead.state)) + ".");
  auto hold = inner.parts.ledger.hold(dead.account, dead.held, {.job_id = dead.id, .model = dead.model});
  if (!hold) co_return std::unexpected(std::move(hold).error());
  const auto held = inner.parts.ledger.set_aside(*std::move(hold));
  const auto change = std::make_shared<RequeueJob>(id, inner.now());
  auto done = co_await inner.written(change, storage::Queueing::bounded);
  if (!done || !change->job) {
    inner.parts.ledger.give_back(dead.account, held);
    if (!done) co_return std::unexpected(std::move(done).error());
    co_return fail(Fault::conflict, "The job is not dead any more.");
  }
  --inner.stats.dead;
  ++inner.stats.queued;
  inner.turns.add(dead.account, change->now);
  inner.news.notify();
  co_return *std::move(change->job);
}

awaitable<Result<std::size_t>> JobQueue::purge(std::optional<State> state, WallTime older_than) {
  Purge what;
  if (!state || *state != State::dead) what.done_before = older_than;
  if (!state || *state == State::dead) what.dead_before = older_than;
  what.complete = !state || *state == State::complete;
  what.cancelled = !state || *state == State::cancelled;
  what.keys_since = WallTime::max();  // the operator says so
  return inner_->purge(what);
}

void JobQueue::stop_starting() {
  inner_->stop();
}

void JobQueue::stop_running() {
  inner_->cut_off = true;
  for (auto& [row, job] : inner_->running) job.stop.request_stop();
}

awaitable<void> JobQueue::idle() {
  while (!inner_->running.empty()) co_await inner_->emptied.wait();
}

Stats JobQueue::stats() const {
  Stats stats = inner_->stats;
  stats.processing = inner_->running.size();
  return stats;
}

}  // namespace turnpike::jobs
