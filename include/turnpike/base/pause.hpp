// A wait between the rounds of a periodic task, that a stop cuts short.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <stop_token>

#include "turnpike/base/deadlines.hpp"
#include "turnpike/base/signal.hpp"

namespace turnpike {

// Waits on `deadlines`' clock. False: `stop` was requested. Loop thread only.
boost::asio::awaitable<bool> pause(boost::asio::any_io_executor executor, Deadlines& deadlines,
                                   std::chrono::nanoseconds how_long, std::stop_token stop);

}  // namespace turnpike
