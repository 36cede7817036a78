#include "stats.hpp"

#include <nlohmann/json.hpp>

#include "connection.hpp"
#include "turnpike/base/encoding.hpp"

namespace turnpike::simnode {

using json = nlohmann::ordered_json;

std::string stats_body(const Stats& stats) {
  json list = json::array();
  for (const Cancellation& one : stats.cancellations) {
    list.push_back(
        {{"request", one.request}, {"steady_us", one.steady_us}, {"tokens_sent", one.tokens_sent}, {"path", one.path}});
  }
  return json{{"requests", stats.requests},       {"prompts", stats.prompts},
              {"in_flight", stats.in_flight},     {"in_flight_peak", stats.in_flight_peak},
              {"connections", stats.connections}, {"connections_total", stats.connections_total},
              {"completed", stats.completed},     {"cancelled", stats.cancelled},
              {"tokens_sent", stats.tokens_sent}, {"cancellations", std::move(list)},
              {"steady_us", steady_us()}}
      .dump();
}

std::string last_body(const LastRequest& last) {
  json fields = json::array();
  for (const auto& [name, value] : last.fields) fields.push_back(json::array({name, value}));
  return json{{"method", last.method},
              {"target", last.target},
              {"fields", std::move(fields)},
              {"body_base64", to_base64(last.body)}}
      .dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace turnpike::simnode
