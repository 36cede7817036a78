// Who wants to be told what: asked before an event is made, so that an account that wants none costs a look at an empty
// table.
#pragma once

#include <cstdint>
#include <functional>
#include <unordered_map>
#include <utility>

#include "turnpike/events/event.hpp"

namespace turnpike::events {

// Loop thread only.
class Subscriptions {
 public:
  [[nodiscard]] bool wants(std::int64_t account, Type type) const {
    if (by_account_.empty()) return false;
    const auto found = by_account_.find(account);
    return found != by_account_.end() && found->second.has(type);
  }

  // Once the change that bears the event is queued (Database::write, write_ahead), and once for each event: whoever
  // delivers looks for it behind that change.
  void announce(std::int64_t account, Type type) const {
    if (listener_) listener_(account, type);
  }

  // For whoever delivers.
  void assign(std::int64_t account, Types types) {
    if (types.empty()) {
      by_account_.erase(account);
    } else {
      by_account_[account] = types;
    }
  }
  using Listener = std::function<void(std::int64_t account, Type type)>;
  void listen(Listener listener) { listener_ = std::move(listener); }

 private:
  std::unordered_map<std::int64_t, Types> by_account_;
  Listener listener_;
};

}  // namespace turnpike::events
