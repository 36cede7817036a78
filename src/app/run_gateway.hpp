// What `serve` and `dev` share.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <expected>
#include <functional>

#include "turnpike/app/gateway.hpp"
#include "turnpike/app/serve.hpp"
#include "turnpike/base/task_group.hpp"

namespace turnpike::app {

// The file's configuration with the command line's words over it.
std::expected<config::Config, config::Faults> load_config(const ServeOptions& options);

// Runs a gateway until a signal has drained it; `when_ready` (may be empty) runs once it accepts. The exit code.
int run_gateway(config::Config config, const ServeOptions& options,
                const std::function<boost::asio::awaitable<void>(Gateway&)>& when_ready);

}  // namespace turnpike::app
