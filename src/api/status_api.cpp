#include "turnpike/api/status_api.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "json_body.hpp"
#include "reply.hpp"

namespace turnpike::api {

using nlohmann::json;

namespace {

std::chrono::seconds age_of(const jobs::Stats& queue, WallTime now) {
  if (!queue.oldest) return std::chrono::seconds(0);
  return std::max(std::chrono::floor<std::chrono::seconds>(now - *queue.oldest), std::chrono::seconds(0));
}

}  // namespace

StatusApi::StatusApi(std::function<Status()> status, Identity identity, const telemetry::Metrics& metrics,
                     const Clock& clock)
    : status_(std::move(status)),
      identity_(std::move(identity)),
      metrics_(metrics),
      clock_(clock),
      started_(clock.now()) {}

http::Response StatusApi::health() const {
  const auto status = status_();
  const bool ok = !status.draining && status.storage_ok;
  http::Response response;
  response.status = ok ? 200 : 503;
  response.body =
      json{{"status", ok                ? "ok"
                      : status.draining ? "draining"
                                        : "no_storage"},
           {"version", identity_.version},
           {"uptime_secs", std::chrono::duration_cast<std::chrono::seconds>(clock_.now() - started_).count()},
           {"nodes", {{"live", status.nodes_live}, {"total", status.nodes_total}}},
           {"queue",
            {{"queued", status.queue.queued},
             {"processing", status.queue.processing},
             {"dead", status.queue.dead},
             {"oldest_age_secs", age_of(status.queue, clock_.wall()).count()}}}}
          .dump();
  return response;
}

http::Response StatusApi::ready() const {
  const auto status = status_();
  http::Response response;
  json body = {{"ready", !status.draining && status.storage_ok}};
  if (status.draining) body["reason"] = "draining";
  if (!status.storage_ok) body["reason"] = "the ledger cannot be written: paid work is refused until a restart";
  response.status = body["ready"].get<bool>() ? 200 : 503;
  response.body = body.dump();
  return response;
}

namespace {

json render(const receipts::PublicKey& key) {
  return {{"key_id", key.id},
          {"alg", "Ed25519"},
          {"public_key", to_base64(key.public_key)},
          {"from", time_text(key.from)},
          {"until", time_or_null(key.until)}};
}

}  // namespace

http::Response StatusApi::well_known() const {
  json keys = json::array();
  if (identity_.receipt_keys) {
    for (const auto& key : identity_.receipt_keys()) keys.push_back(render(key));
  }
  http::Response response;
  response.body = json{{"name", identity_.name},
                       {"version", identity_.version},
                       {"dialects", identity_.dialects},
                       {"receipt_keys", std::move(keys)}}
                      .dump();
  return response;
}

void StatusApi::add_routes(http::Router& router, const Guard* guard) {
  const auto route = [&](std::string_view path, std::function<http::Response()> answer) {
    router.add(http::Verb::get, path, reply([guard, answer = std::move(answer)](const http::Request& request) {
                 const auto admitted = guard != nullptr ? guard->admit_stranger(request) : Result<void>();
                 return admitted ? answer() : guard->refuse(&request, admitted.error());
               }));
  };
  route("/health", [this] { return health(); });
  route("/readyz", [this] { return ready(); });
  route("/livez", [] {
    http::Response response;
    response.body = R"({"alive":true})";
    return response;
  });
  route("/.well-known/turnpike", [this] { return well_known(); });
  route("/metrics", [this] {
    http::Response response;
    response.content_type = "text/plain; version=0.0.4";
    response.body = metrics_.page();
    return response;
  });
}

}  // namespace turnpike::api
