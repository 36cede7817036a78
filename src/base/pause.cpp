#include "turnpike/base/pause.hpp"

#include <utility>

namespace turnpike {

boost::asio::awaitable<bool> pause(boost::asio::any_io_executor executor, Deadlines& deadlines,
                                   std::chrono::nanoseconds how_long, std::stop_token stop) {
  Signal over(std::move(executor));
  Deadline deadline(deadlines, [](void* signal) { static_cast<Signal*>(signal)->notify(); }, &over);
  deadline.arm(how_long);
  const std::stop_callback wake(stop, [&over] { over.notify(); });
  if (!stop.stop_requested()) co_await over.wait();
  co_return !stop.stop_requested();
}

}  // namespace turnpike
