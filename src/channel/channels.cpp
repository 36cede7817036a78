#include "turnpike/channel/channels.hpp"

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <set>
#include <utility>

#include "channel_store.hpp"
#include "turnpike/base/pause.hpp"
#include "turnpike/storage/database.hpp"

namespace turnpike::channel {

using boost::asio::awaitable;

namespace {

constexpr int kMostMessagesAPage = 200;
constexpr std::size_t kMostMessagesAtOnce = 64;
constexpr std::chrono::hours kPurgeInterval{1};
constexpr std::chrono::milliseconds kLeastApart{1};

using MessagePtr = std::shared_ptr<const Message>;

// What a channel's readers read.
struct Recent {
  std::deque<MessagePtr> messages;  // oldest first
  std::int64_t forgotten = 0;       // all later ones are in `messages`
  std::set<Signal*> readers;
};

Error no_such_channel() {
  return {.fault = Fault::not_found, .message = "there is no such channel", .param = "channel"};
}

}  // namespace

struct Channels::State {
  State(boost::asio::any_io_executor on, Deadlines& wheel, TaskGroup& group, storage::Database& where, Rules most)
      : executor(std::move(on)), deadlines(wheel), tasks(group), database(where), rules(std::move(most)) {}

  Recent* find(std::string_view channel) {
    const auto found = recent.find(channel);
    return found == recent.end() ? nullptr : &found->second;
  }
  WallTime next_time();
  void announce(const Message& message);
  awaitable<void> purge(std::stop_token stop);

  boost::asio::any_io_executor executor;
  Deadlines& deadlines;
  TaskGroup& tasks;
  storage::Database& database;
  Rules rules;
  std::map<std::string, Recent, std::less<>> recent;
  std::map<std::int64_t, std::size_t> readers_by_account;
  WallTime last_created{};
  bool stopped = false;
  Stats stats;
};

struct Reader::Place {
  Place(Channels::State& of, Recent& what, std::string name, std::int64_t who)
      : state(of), recent(what), channel(std::move(name)), account(who), news(of.executor) {}
  // What follows `seen` of what is in memory.
  void take(std::vector<MessagePtr>& into);
  awaitable<bool> catch_up(std::vector<MessagePtr>& into);

  Channels::State& state;
  Recent& recent;
  std::string channel;
  std::int64_t account;
  Signal news;
  std::int64_t seen = 0;     // it has all of the channel up to this id
  bool catching_up = false;  // from the database, until it has come to what is in memory
};

WallTime Channels::State::next_time() {
  const auto now = std::chrono::floor<std::chrono::milliseconds>(deadlines.clock().wall());
  last_created = std::max<WallTime>(now, last_created + kLeastApart);
  return last_created;
}

void Channels::State::announce(const Message& message) {
  ++stats.posted;
  Recent& channel = recent.find(message.channel)->second;
  channel.messages.push_back(std::make_shared<const Message>(message));
  while (channel.messages.size() > rules.recent) {
    channel.forgotten = channel.messages.front()->id;
    channel.messages.pop_front();
  }
  for (Signal* reader : channel.readers) reader->notify();
}

awaitable<void> Channels::State::purge(std::stop_token stop) {
  do {
    bool more = true;
    while (more && !stop.stop_requested()) {
      const auto work = std::make_shared<PurgeMessages>(deadlines.clock().wall() - rules.retention);
      Result<void> done = database.write(work, storage::Queueing::bounded);
      if (done) done = co_await storage::finished(work);
      more = done && work->more;
    }
  } while (co_await pause(executor, deadlines, kPurgeInterval, stop));
}

void Reader::Place::take(std::vector<MessagePtr>& into) {
  const auto& all = recent.messages;
  auto next = std::ranges::upper_bound(all, seen, {}, [](const MessagePtr& message) { return message->id; });
  for (; next != all.end() && into.size() < kMostMessagesAtOnce; ++next) into.push_back(*next);
  if (!into.empty()) seen = into.back()->id;
}

// False: the database could not be read.
awaitable<bool> Reader::Place::catch_up(std::vector<MessagePtr>& into) {
  const auto question = std::make_shared<ReadOn>();
  question->channel = channel;
  question->after = seen;
  question->limit = kMostMessagesAtOnce;
  const std::int64_t forgotten = recent.forgotten;
  Result<void> read = state.database.read(question);
  if (read) read = co_await storage::finished(question);
  if (!read) co_return false;
  for (Message& message : question->found) into.push_back(std::make_shared<const Message>(std::move(message)));
  if (!into.empty()) seen = into.back()->id;
  if (into.size() == kMostMessagesAtOnce) co_return true;
  // The end of what was stored: all that came since is in memory, unless it was forgotten meanwhile.
  catching_up = false;
  seen = std::max(seen, forgotten);
  co_return true;
}

Reader::Reader(std::unique_ptr<Place> place) : place_(std::move(place)) {
  place_->recent.readers.insert(&place_->news);
  ++place_->state.stats.readers;
  ++place_->state.readers_by_account[place_->account];
}

Reader::~Reader() {
  place_->recent.readers.erase(&place_->news);
  --place_->state.stats.readers;
  const auto of_account = place_->state.readers_by_account.find(place_->account);
  if (--of_account->second == 0) place_->state.readers_by_account.erase(of_account);
}

awaitable<Reader::News> Reader::next(std::chrono::nanoseconds patience, std::stop_token left) {
  Place& place = *place_;
  Deadline deadline(place.state.deadlines, [](void* news) { static_cast<Signal*>(news)->notify(); }, &place.news);
  const Instant until = place.state.deadlines.clock().now() + patience;
  deadline.arm_at(until);
  const std::stop_callback gone(left, [&place] { place.news.notify(); });
  messages.clear();
  while (!place.state.stopped && !left.stop_requested()) {
    if (place.catching_up) {
      if (!co_await place.catch_up(messages)) break;
    } else if (place.seen < place.recent.forgotten) {
      ++place.state.stats.cut;
      co_return News::behind;
    } else {
      place.take(messages);
    }
    if (!messages.empty()) co_return News::messages;
    if (place.catching_up) continue;
    if (place.state.deadlines.clock().now() >= until) co_return News::silence;
    co_await place.news.wait();
  }
  co_return News::over;
}

Channels::Channels(std::unique_ptr<State> state) : state_(std::move(state)) {}
Channels::~Channels() = default;

Result<std::unique_ptr<Channels>> Channels::open(boost::asio::any_io_executor executor, Deadlines& deadlines,
                                                 TaskGroup& tasks, storage::Database& database, Rules rules) {
  Opening opening;
  const auto loaded = database.run_now([&](storage::Connection& connection) { opening = load(connection); });
  if (!loaded) return std::unexpected(loaded.error());
  auto state = std::make_unique<State>(std::move(executor), deadlines, tasks, database, std::move(rules));
  state->last_created = opening.last_created;
  for (const auto& channel : state->rules.channels) state->recent[channel].forgotten = opening.last_id;
  return std::unique_ptr<Channels>(new Channels(std::move(state)));
}

void Channels::start() {
  state_->tasks.spawn("channels' retention", state_->purge(state_->tasks.stop_token()));
}

void Channels::stop() {
  state_->stopped = true;
  for (auto& [name, channel] : state_->recent) {
    for (Signal* reader : channel.readers) reader->notify();
  }
}

awaitable<Result<Message>> Channels::post(NewMessage message) {
  if (state_->find(message.channel) == nullptr) co_return std::unexpected(no_such_channel());
  const auto row = std::make_shared<WriteMessage>();
  row->message = {.channel = message.channel,
                  .author_name = message.author_name,
                  .avatar = message.avatar,
                  .content = message.content,
                  .created_at = state_->next_time()};
  row->posted = std::move(message);
  if (auto queued = state_->database.write(row, storage::Queueing::bounded); !queued) {
    co_return std::unexpected(std::move(queued).error());
  }
  if (auto written = co_await storage::finished(row); !written) co_return std::unexpected(std::move(written).error());
  state_->announce(row->message);
  co_return std::move(row->message);
}

awaitable<Result<std::vector<Message>>> Channels::read(Page page) const {
  if (state_->find(page.channel) == nullptr) co_return std::unexpected(no_such_channel());
  page.limit = std::clamp(page.limit, 1, kMostMessagesAPage);
  const auto question = std::make_shared<ReadPage>(std::move(page));
  if (auto queued = state_->database.read(question); !queued) co_return std::unexpected(std::move(queued).error());
  if (auto read = co_await storage::finished(question); !read) co_return std::unexpected(std::move(read).error());
  co_return std::move(question->found);
}

Result<std::unique_ptr<Reader>> Channels::follow(std::string_view channel, std::int64_t account,
                                                 std::optional<std::int64_t> after) {
  Recent* recent = state_->find(channel);
  if (recent == nullptr) return std::unexpected(no_such_channel());
  if (state_->stopped) return fail(Fault::service_unavailable, "The gateway is stopping.");
  const auto of_account = state_->readers_by_account.find(account);
  const bool too_many =
      of_account != state_->readers_by_account.end() && of_account->second >= state_->rules.max_readers_per_account;
  if (too_many || state_->stats.readers >= state_->rules.max_readers) {
    return fail(Fault::rate_limit_exceeded, "Too many channels are read at once; try again later.");
  }
  auto place = std::make_unique<Reader::Place>(*state_, *recent, std::string(channel), account);
  const std::int64_t newest = recent->messages.empty() ? recent->forgotten : recent->messages.back()->id;
  place->seen = after.value_or(newest);
  place->catching_up = place->seen < recent->forgotten;
  return std::unique_ptr<Reader>(new Reader(std::move(place)));
}

Stats Channels::stats() const {
  return state_->stats;
}

}  // namespace turnpike::channel
