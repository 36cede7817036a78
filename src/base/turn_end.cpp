#include "turnpike/base/turn_end.hpp"

#include <boost/asio/async_result.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cassert>
#include <utility>

namespace turnpike {

namespace asio = boost::asio;

bool TurnEnd::is_shared() {
  ++sends_;
  if (!looking_ && (shared_ || sends_ >= kLookEvery)) {
    looking_ = true;
    sends_ = 1;
    passes_ = 0;
    end_behind_what_is_ready();
  }
  return shared_;
}

void TurnEnd::end_behind_what_is_ready() {
  asio::post(executor_, [this, alive = std::weak_ptr<void>(alive_)] {
    if (alive.expired()) return;
    const bool is_over = ++passes_ == kPasses || sends_ == 1;
    is_over ? end() : end_behind_what_is_ready();
  });
}

asio::awaitable<void> TurnEnd::wait() {
  assert(looking_ && "is_shared() was not asked");
  return asio::async_initiate<const asio::use_awaitable_t<>, void()>(
      [this](auto handler) { waiting_.emplace_back(std::move(handler)); }, asio::use_awaitable);
}

void TurnEnd::end() {
  looking_ = false;
  shared_ = std::exchange(sends_, 0) > 1;
  const Moment moment(clock_);
  ending_.swap(waiting_);
  for (auto& handler : ending_) std::move(handler)();
  ending_.clear();
}

}  // namespace turnpike
