// One coroutine waits, anybody on the loop wakes it. The meeting point of several sources of news (bytes, a deadline, a
// client that left): the waiter looks at what changed, so nothing needs to be cancelled to be noticed.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <memory>

namespace turnpike {

// Loop thread only. Latched: a notify with nobody waiting makes the next wait return at once. At most one waiter.
// The Signal must outlive its waiter.
class Signal {
 public:
  explicit Signal(boost::asio::any_io_executor executor);
  ~Signal();
  Signal(const Signal&) = delete;
  Signal& operator=(const Signal&) = delete;

  // Wakes the waiter from a fresh handler: never runs it inside the caller.
  void notify();

  // The same, and runs the waiter inside the call: for the last line of a handler that the loop itself called. What
  // owned the handler may be gone when it returns.
  void notify_now();

  // Takes the latch. True: there was news, no need to wait.
  bool take() {
    const bool was = latched_;
    latched_ = false;
    return was;
  }

  // Returns after the next notify (at once when latched) and takes the latch.
  boost::asio::awaitable<void> wait();

 private:
  struct Waiter;
  boost::asio::any_io_executor executor_;
  std::unique_ptr<Waiter> waiter_;
  bool latched_ = false;
};

}  // namespace turnpike
