// Whose job is next: accounts take turns, however many jobs each has. Pure: `now` comes in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <unordered_map>

#include "turnpike/base/clock.hpp"

namespace turnpike::jobs {

// Knows of each account that has jobs waiting, when its next one is due and how many run; not the jobs themselves,
// which may be many. Loop thread only.
class Turns {
 public:
  using AccountId = std::int64_t;
  // Jobs of one account that may run at once; nullopt: as many as there are.
  using Limit = std::function<std::optional<std::uint64_t>(AccountId account)>;
  explicit Turns(Limit limit) : limit_(std::move(limit)) {}

  // The account has a job that may run from `due` on.
  void add(AccountId account, WallTime due);

  // The account whose turn it is, if one has a job that is due. Its job is then looked up: what was found is told by
  // took(), and until then the account has no other turn.
  [[nodiscard]] std::optional<AccountId> next(WallTime now);

  // What next() led to: whether a job runs now, and when the account's next one is due; nullopt: it has none.
  void took(AccountId account, bool runs, std::optional<WallTime> next_due);

  // A job that ran is over.
  void ended(AccountId account);

  // When the next account will have its turn, if nothing else happens; nullopt: when something does.
  [[nodiscard]] std::optional<WallTime> next_due() const;

  [[nodiscard]] std::size_t running(AccountId account) const;
  [[nodiscard]] std::size_t accounts() const { return lines_.size(); }

 private:
  enum class Place : std::uint8_t { nowhere, ready, waiting, looked_up, full };
  struct Line {
    Place place = Place::nowhere;
    std::size_t running = 0;
    std::optional<WallTime> due = {};  // of the next job
    std::multimap<WallTime, AccountId>::iterator waiting_at = {};
  };
  void put(AccountId account, Line& line, WallTime due);
  void forget_idle(AccountId account);

  Limit limit_;
  std::unordered_map<AccountId, Line> lines_;
  std::deque<AccountId> ready_;                 // in the order of their turns
  std::multimap<WallTime, AccountId> waiting_;  // by when their next job is due
};

}  // namespace turnpike::jobs
