// Runs awaitables to their end on a loop of the test's own.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <exception>
#include <optional>
#include <stdexcept>
#include <utility>

namespace turnpike::test {

class Loop {
 public:
  [[nodiscard]] boost::asio::io_context& context() { return context_; }
  [[nodiscard]] boost::asio::any_io_executor executor() { return context_.get_executor(); }

  // Returns what `work` returns; throws what it throws.
  template <class T>
  T run(boost::asio::awaitable<T> work) {
    std::exception_ptr thrown;
    std::optional<T> result;
    boost::asio::co_spawn(context_, std::move(work), [&](std::exception_ptr error, T value) {
      thrown = std::move(error);
      if (!thrown) result.emplace(std::move(value));
    });
    context_.restart();
    while (!thrown && !result && context_.run_one() > 0) {
    }
    context_.poll();  // what the end of the work made ready; timers that are not due are left
    if (thrown) std::rethrow_exception(thrown);
    if (!result) throw std::logic_error("the loop ran dry before the work was over");
    return std::move(*result);
  }

 private:
  boost::asio::io_context context_;
};

}  // namespace turnpike::test
