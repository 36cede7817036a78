// GET /v1/jobs, GET /v1/jobs/{id}.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "turnpike/api/guard.hpp"
#include "turnpike/api/job_source.hpp"
#include "turnpike/http/router.hpp"
#include "turnpike/receipts/keys.hpp"

namespace turnpike::api {

// Loop thread only.
class JobsApi {
 public:
  // `sources` must outlive this; where several know a job, the first one counts.
  JobsApi(const Guard& guard, const ledger::Ledger& ledger, const receipts::Keys& keys, std::vector<JobSource*> sources)
      : guard_(guard), ledger_(ledger), keys_(keys), sources_(std::move(sources)) {}
  void add_routes(http::Router& router);

  // The caller's own. `request` must stay valid until the answer is there.
  [[nodiscard]] boost::asio::awaitable<http::Response> show(const http::Request& request) const;
  [[nodiscard]] boost::asio::awaitable<http::Response> list(const http::Request& request) const;

 private:
  [[nodiscard]] nlohmann::json signatures(const Caller& caller, const JobView& job) const;
  [[nodiscard]] boost::asio::awaitable<Result<nlohmann::json>> page(const Caller& caller,
                                                                    const http::Request& request) const;

  const Guard& guard_;
  const ledger::Ledger& ledger_;
  const receipts::Keys& keys_;
  std::vector<JobSource*> sources_;
};

}  // namespace turnpike::api
