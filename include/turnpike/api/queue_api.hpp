// Requests that become jobs, and GET and DELETE /v1/results/{id}.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "turnpike/api/guard.hpp"
#include "turnpike/api/header_signing.hpp"
#include "turnpike/api/preference.hpp"
#include "turnpike/base/clock.hpp"
#include "turnpike/http/router.hpp"
#include "turnpike/inference/inference.hpp"
#include "turnpike/jobs/job_queue.hpp"

namespace turnpike::api {

// `queue.*` of the configuration.
struct QueueLimits {
  std::size_t max_body_bytes = 0;
  std::chrono::seconds max_wait{};
};

// Loop thread only.
class QueueApi {
 public:
  QueueApi(const Guard& guard, jobs::JobQueue& queue, ledger::Ledger& ledger, HeaderSigning signing,
           const dialect::Dialects& dialects, const Clock& clock, QueueLimits limits)
      : guard_(guard),
        queue_(queue),
        ledger_(ledger),
        signing_(signing),
        dialects_(dialects),
        clock_(clock),
        limits_(limits) {}
  void add_routes(http::Router& router);

  // What the request asks for, where it is to be queued; nullopt: it is answered at once.
  [[nodiscard]] static std::optional<Preference> queues(const http::Request& request, const dialect::Dialect& dialect);

  // Queues the job, and answers by 202, or by what came of it within the time that the client prefers to wait.
  boost::asio::awaitable<void> answer(http::Exchange& exchange, Caller caller, std::unique_ptr<inference::Job> job,
                                      Preference preference);

  [[nodiscard]] boost::asio::awaitable<http::Response> show(const http::Request& request);
  [[nodiscard]] boost::asio::awaitable<http::Response> cancel(const http::Request& request);

 private:
  [[nodiscard]] Result<jobs::Enqueue> wanted(const http::Request& request, const Caller& caller,
                                             const inference::Job& job) const;
  boost::asio::awaitable<Result<jobs::Job>> enqueue(Result<jobs::Enqueue> wanted, ledger::Hold hold);
  boost::asio::awaitable<Result<jobs::Job>> wait_for(ledger::AccountId account, jobs::Job job,
                                                     std::chrono::seconds patience, std::stop_token client_gone);
  boost::asio::awaitable<void> send(http::Exchange& exchange, Caller caller, jobs::Job job, bool complete,
                                    std::string head);
  [[nodiscard]] std::string render(const jobs::Job& job) const;

  const Guard& guard_;
  jobs::JobQueue& queue_;
  ledger::Ledger& ledger_;
  HeaderSigning signing_;
  const dialect::Dialects& dialects_;
  const Clock& clock_;
  QueueLimits limits_;
};

}  // namespace turnpike::api
