// What an operation keeps about its end; apart from database.hpp because of its weight.
#pragma once

#include <boost/asio/any_completion_handler.hpp>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <optional>

#include "turnpike/storage/database.hpp"

namespace turnpike::storage {

struct Operation::Completion {
  std::optional<Result<void>> outcome;
  // Emplaced, never assigned: the move assignment of Boost 1.81 calls itself without end.
  std::optional<boost::asio::any_completion_handler<void()>> waiter;
  std::optional<boost::asio::executor_work_guard<boost::asio::any_io_executor>> loop_guard;
};

}  // namespace turnpike::storage
