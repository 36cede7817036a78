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
    // Behind what is ready now.
    asio::post(executor_, [this, alive = std::weak_ptr<void>(alive_)] {
      if (!alive.expired()) end();
    });
  }
  return shared_;
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
