#include "turnpike/base/task_group.hpp"

#include <spdlog/spdlog.h>

#include <boost/asio/co_spawn.hpp>
#include <cassert>
#include <exception>
#include <utility>

namespace turnpike {

namespace asio = boost::asio;

TaskGroup::TaskGroup(asio::any_io_executor executor) : executor_(executor), emptied_(std::move(executor)) {}

TaskGroup::~TaskGroup() {
  assert(running_ == 0 && "join() a group before it goes");
}

void TaskGroup::spawn(std::string_view name, asio::awaitable<void> task) {
  ++running_;
  asio::co_spawn(executor_, std::move(task), [this, name](const std::exception_ptr& thrown) {
    if (thrown) {
      try {
        std::rethrow_exception(thrown);
      } catch (const std::exception& error) {
        spdlog::error("task {} ended by an unforeseen exception: {}", name, error.what());
      }
    }
    if (--running_ == 0) emptied_.notify();
  });
}

asio::awaitable<void> TaskGroup::join() {
  while (running_ > 0) co_await emptied_.wait();
}

}  // namespace turnpike
