// The end of a turn of the loop: all that was ready when the turn began has been handled, and what the next looks at
// the sockets found. Small sends that wait for it go out one right behind the other, and find their receiver awake: to
// wake it is most of what a small send costs.
#pragma once

#include <boost/asio/any_completion_handler.hpp>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <memory>
#include <utility>
#include <vector>

#include "turnpike/base/clock.hpp"

namespace turnpike {

// Loop thread only. Must outlive whoever waits.
class TurnEnd {
 public:
  // All who wait in a turn go on at one moment of `clock`.
  TurnEnd(boost::asio::any_io_executor executor, const Clock& clock) : executor_(std::move(executor)), clock_(clock) {}
  TurnEnd(const TurnEnd&) = delete;
  TurnEnd& operator=(const TurnEnd&) = delete;

  // To be asked before each send. Whether others send in the same turn, by the last turn that was looked at. Where each
  // has a turn to itself, one in `kLookEvery` is looked at and none is made to wait.
  [[nodiscard]] bool is_shared();

  // Returns at the end of this turn, in the order of the calls. After is_shared() said so.
  boost::asio::awaitable<void> wait();

  // Prime, so that it is not always the last of its turn who looks.
  static constexpr unsigned kLookEvery = 61;
  // How often a turn with more than one send goes behind what is ready before it ends. None of it is a wait: where
  // nothing is ready it is over.
  static constexpr unsigned kPasses = 3;

 private:
  void end_behind_what_is_ready();
  void end();

  boost::asio::any_io_executor executor_;
  const Clock& clock_;
  std::vector<boost::asio::any_completion_handler<void()>> waiting_;
  std::vector<boost::asio::any_completion_handler<void()>> ending_;  // empty but within end(): it keeps its memory
  std::shared_ptr<void> alive_ = std::make_shared<char>();           // for an end that comes too late
  unsigned passes_ = 0;
  unsigned sends_ = 0;  // in the turn that is looked at; where none is, since the last one
  bool shared_ = false;
  bool looking_ = false;  // end() is on its way
};

}  // namespace turnpike
