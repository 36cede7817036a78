#include <boost/asio/any_completion_handler.hpp>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cassert>
#include <utility>

#include "turnpike/storage/database.hpp"

namespace turnpike::storage {

namespace asio = boost::asio;

struct Operation::Waiter {
  asio::any_completion_handler<void()> handler;
  asio::executor_work_guard<asio::any_io_executor> loop_guard;
};

Operation::Operation() = default;
Operation::~Operation() = default;

Result<void> Operation::outcome() const {
  assert(completed_);
  if (error_ == nullptr) return {};
  return std::unexpected(*error_);
}

void Database::complete(Operation& operation, std::unique_ptr<Error> error) {
  assert(!operation.completed_);
  operation.completed_ = true;
  operation.error_ = std::move(error);
  if (operation.waiter_ == nullptr) return;
  // The waiter goes first, and its guard after it, so that the loop stays alive until the waiter has run.
  const auto waiter = std::move(operation.waiter_);
  std::move(waiter->handler)();
}

asio::awaitable<Result<void>> finished(std::shared_ptr<Operation> operation) {
  if (!operation->completed_) {
    co_await asio::async_initiate<const asio::use_awaitable_t<>, void()>(
        [&waiter = operation->waiter_](auto handler) {
          // Made whole, never assigned to: the handler's move assignment of Boost 1.81 calls itself without end.
          asio::executor_work_guard<asio::any_io_executor> guard(asio::get_associated_executor(handler));
          waiter.reset(new Operation::Waiter{.handler = std::move(handler), .loop_guard = std::move(guard)});
        },
        asio::use_awaitable);
  }
  co_return operation->outcome();
}

}  // namespace turnpike::storage
