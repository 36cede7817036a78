#include "turnpike/jobs/turns.hpp"

#include <algorithm>
#include <utility>

namespace turnpike::jobs {

// Every account that is not ready waits for its time, also when that is now: next() brings it over in order.
void Turns::put(AccountId account, Line& line, WallTime due) {
  line.due = due;
  line.place = Place::waiting;
  line.waiting_at = waiting_.emplace(due, account);
}

void Turns::forget_idle(AccountId account) {
  const auto found = lines_.find(account);
  if (found->second.place == Place::nowhere && found->second.running == 0) lines_.erase(found);
}

void Turns::add(AccountId account, WallTime due) {
  Line& line = lines_[account];
  const WallTime earlier = std::min(line.due.value_or(due), due);
  switch (line.place) {
    case Place::nowhere:
      put(account, line, due);
      break;
    case Place::waiting:
      waiting_.erase(line.waiting_at);
      put(account, line, earlier);
      break;
    case Place::looked_up:
    case Place::full:
    case Place::ready:
      line.due = earlier;
      break;
  }
}

std::optional<Turns::AccountId> Turns::next(WallTime now) {
  while (!waiting_.empty() && waiting_.begin()->first <= now) {
    const AccountId account = waiting_.begin()->second;
    waiting_.erase(waiting_.begin());
    lines_.at(account).place = Place::ready;
    ready_.push_back(account);
  }
  while (!ready_.empty()) {
    const AccountId account = ready_.front();
    ready_.pop_front();
    Line& line = lines_.at(account);
    const auto limit = limit_(account);
    if (limit && line.running >= *limit) {
      line.place = Place::full;
      continue;
    }
    line.place = Place::looked_up;
    line.due.reset();  // took() says, or an add() until then
    return account;
  }
  return std::nullopt;
}

void Turns::took(AccountId account, bool runs, std::optional<WallTime> next_due) {
  Line& line = lines_.at(account);
  if (runs) ++line.running;
  const auto added = std::exchange(line.due, std::nullopt);
  if (added) next_due = next_due ? std::min(*next_due, *added) : *added;
  line.place = Place::nowhere;
  if (next_due) put(account, line, *next_due);
  forget_idle(account);
}

void Turns::ended(AccountId account) {
  Line& line = lines_.at(account);
  --line.running;
  if (line.place == Place::full) put(account, line, *line.due);
  forget_idle(account);
}

std::optional<WallTime> Turns::next_due() const {
  if (!ready_.empty()) return WallTime::min();
  if (waiting_.empty()) return std::nullopt;
  return waiting_.begin()->first;
}

std::size_t Turns::running(AccountId account) const {
  const auto found = lines_.find(account);
  return found == lines_.end() ? 0 : found->second.running;
}

}  // namespace turnpike::jobs
