// The active half of node health: asks every node now and then whether it is there.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <stop_token>

#include "turnpike/base/task_group.hpp"
#include "turnpike/relay/node_client.hpp"
#include "turnpike/scheduler/scheduler.hpp"

namespace turnpike::relay {

struct ProbeRules {
  std::chrono::milliseconds interval{5'000};
  std::chrono::milliseconds timeout{2'000};
};

// Loop thread only. A node is up when it answers its probe path with any status below 500.
class Prober {
 public:
  Prober(boost::asio::any_io_executor executor, Deadlines& deadlines, scheduler::Scheduler& scheduler,
         NodeClient& client, ProbeRules rules);

  // Probes until stopped, and returns when no probe runs.
  boost::asio::awaitable<void> run(std::stop_token stop);

  // One round over all nodes, to its end.
  boost::asio::awaitable<void> round(std::stop_token stop);

 private:
  boost::asio::awaitable<void> probe(scheduler::NodePtr node, std::stop_token stop);
  boost::asio::awaitable<bool> answers(const scheduler::NodePtr& node, std::stop_token stop);

  boost::asio::any_io_executor executor_;
  Deadlines& deadlines_;
  scheduler::Scheduler& scheduler_;
  NodeClient& client_;
  ProbeRules rules_;
  TaskGroup probes_;
};

}  // namespace turnpike::relay
