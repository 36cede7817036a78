#include <boost/asio/any_completion_handler.hpp>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cassert>
#include <optional>
#include <utility>

#include "operation_completion.hpp"
#include "turnpike/storage/database.hpp"

namespace turnpike::storage {

namespace asio = boost::asio;

Operation::Operation() : completion_(std::make_unique<Completion>()) {}
Operation::~Operation() = default;

bool Operation::completed() const {
  return completion_->outcome.has_value();
}

void Database::complete(Operation& operation, Result<void> outcome) {
  auto& completion = operation.completion();
  assert(!completion.outcome);
  completion.outcome = std::move(outcome);
  if (!completion.waiter) return;
  // The waiter goes first, and its guard after it, so that the loop stays alive until the waiter has run.
  const auto guard = std::move(completion.loop_guard);
  auto waiter = std::move(*completion.waiter);
  completion.waiter.reset();
  std::move(waiter)();
}

namespace {

asio::awaitable<void> reported(Operation::Completion& completion) {
  return asio::async_initiate<const asio::use_awaitable_t<>, void()>(
      [&completion](auto handler) {
        completion.loop_guard.emplace(asio::get_associated_executor(handler));
        completion.waiter.emplace(std::move(handler));
      },
      asio::use_awaitable);
}

}  // namespace

asio::awaitable<Result<void>> finished(std::shared_ptr<Operation> operation) {
  if (!operation->completed()) co_await reported(operation->completion());
  co_return *operation->completion().outcome;
}

}  // namespace turnpike::storage
