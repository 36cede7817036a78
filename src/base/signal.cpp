#include "turnpike/base/signal.hpp"

#include <boost/asio/any_completion_handler.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cassert>
#include <utility>

namespace turnpike {

namespace asio = boost::asio;

struct Signal::Waiter {
  asio::any_completion_handler<void()> handler;
};

Signal::Signal(asio::any_io_executor executor) : executor_(std::move(executor)), waiter_(std::make_unique<Waiter>()) {}

Signal::~Signal() = default;

void Signal::notify() {
  if (!waiter_->handler) {
    latched_ = true;
    return;
  }
  // Moved by construction only: any_completion_handler's move assignment recurses for ever in Boost 1.81.
  asio::post(executor_, [handler = std::move(waiter_->handler)]() mutable { std::move(handler)(); });
}

void Signal::notify_now() {
  if (!waiter_->handler) {
    latched_ = true;
    return;
  }
  auto handler = std::move(waiter_->handler);
  std::move(handler)();
}

asio::awaitable<void> Signal::wait() {
  return asio::async_initiate<const asio::use_awaitable_t<>, void()>(
      [this](auto handler) {
        assert(!waiter_->handler && "a Signal has one waiter");
        asio::any_completion_handler<void()>(std::move(handler)).swap(waiter_->handler);
        if (take()) notify();
      },
      asio::use_awaitable);
}

}  // namespace turnpike
