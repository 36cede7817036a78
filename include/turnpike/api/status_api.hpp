// GET /health, /livez, /readyz, /metrics, /.well-known/turnpike.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "turnpike/api/guard.hpp"
#include "turnpike/base/clock.hpp"
#include "turnpike/http/router.hpp"
#include "turnpike/jobs/job_queue.hpp"
#include "turnpike/receipts/keys.hpp"
#include "turnpike/telemetry/metrics.hpp"

namespace turnpike::api {

// What the gateway says of itself.
struct Status {
  bool draining = false;
  bool storage_ok = true;
  std::size_t nodes_live = 0;
  std::size_t nodes_total = 0;
  jobs::Stats queue = {};
};

struct Identity {
  std::string name;
  std::string version;
  std::vector<std::string> dialects;
  std::function<std::vector<receipts::PublicKey>()> receipt_keys = nullptr;
};

// Loop thread only.
class StatusApi {
 public:
  StatusApi(std::function<Status()> status, Identity identity, const telemetry::Metrics& metrics, const Clock& clock);
  // `guard` counts who asks; null, on the operator's listener: nobody does.
  void add_routes(http::Router& router, const Guard* guard);

  // 503 while it drains or cannot write its ledger.
  [[nodiscard]] http::Response health() const;
  [[nodiscard]] http::Response ready() const;
  [[nodiscard]] http::Response well_known() const;

 private:
  std::function<Status()> status_;
  Identity identity_;
  const telemetry::Metrics& metrics_;
  const Clock& clock_;
  Instant started_;
};

}  // namespace turnpike::api
