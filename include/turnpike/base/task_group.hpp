// Every coroutine belongs to a group, and whoever owns the group waits for it.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <stop_token>
#include <string_view>

#include "turnpike/base/signal.hpp"

namespace turnpike {

// Loop thread only. Tasks are asked to end through `stop_token()`; they are never torn down in mid-step. The group must
// outlive its tasks: join() before it goes.
class TaskGroup {
 public:
  explicit TaskGroup(boost::asio::any_io_executor executor);
  ~TaskGroup();
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;

  // Starts `task`. An exception that leaves it is a fault of the program: it is logged with `name` and ends the task.
  void spawn(std::string_view name, boost::asio::awaitable<void> task);

  [[nodiscard]] std::stop_token stop_token() const { return stop_.get_token(); }
  void request_stop() { stop_.request_stop(); }
  [[nodiscard]] std::size_t size() const { return running_; }

  // Returns when no task runs.
  boost::asio::awaitable<void> join();

 private:
  boost::asio::any_io_executor executor_;
  std::stop_source stop_;
  Signal emptied_;
  std::size_t running_ = 0;
};

}  // namespace turnpike
