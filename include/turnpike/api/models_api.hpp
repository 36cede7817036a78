// GET /v1/models, GET /v1/models/{id}.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string_view>

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

  // The models that a live node of the pool serves (`?pool=`, else the default one), in the configuration's order.
  [[nodiscard]] http::Response list(const http::Request& request) const;
  // The one named by the path. Error: model_not_found.
  [[nodiscard]] http::Response get(const http::Request& request) const;

 private:
  // Null when no live node of the pool serves it.
  [[nodiscard]] nlohmann::json render(const inference::Model& model, const Caller& caller, std::string_view pool) const;

  const Guard& guard_;
  const inference::Catalogue& catalogue_;
  const scheduler::NodeRegistry& nodes_;
  const Clock& clock_;
};

}  // namespace turnpike::api
