// GET /v1/models, GET /v1/models/{id}.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <nlohmann/json_fwd.hpp>

#include "turnpike/api/guard.hpp"
#include "turnpike/http/router.hpp"
#include "turnpike/inference/catalogue.hpp"
#include "turnpike/scheduler/registry.hpp"

namespace turnpike::api {

// Loop thread only.
class ModelsApi {
 public:
  ModelsApi(const Guard& guard, const inference::Catalogue& catalogue, const scheduler::NodeRegistry& nodes,
            const Clock& clock)
      : guard_(guard), catalogue_(catalogue), nodes_(nodes), clock_(clock) {}
  void add_routes(http::Router& router);

 private:
  boost::asio::awaitable<void> list(http::Exchange& exchange);
  boost::asio::awaitable<void> get(http::Exchange& exchange);
  // Null when no live node of the pool serves it.
  [[nodiscard]] nlohmann::json render(const inference::Model& model, const Caller& caller, std::string_view pool) const;

  const Guard& guard_;
  const inference::Catalogue& catalogue_;
  const scheduler::NodeRegistry& nodes_;
  const Clock& clock_;
};

}  // namespace turnpike::api
