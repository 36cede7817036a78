#include "turnpike/jobs/inference_run.hpp"

#include <algorithm>
#include <memory>
#include <utility>

namespace turnpike::jobs {

using boost::asio::awaitable;

namespace {

// Hands the answer on to the queue before it is charged.
class Keeper final : public inference::AnswerKeeper {
 public:
  explicit Keeper(const Keep& keep) : keep_(keep) {}
  awaitable<Result<std::shared_ptr<storage::Operation>>> keep(const inference::Delivered& answer) override {
    return keep_(answer.body, answer.node_id);
  }

 private:
  const Keep& keep_;
};

awaitable<Outcome> run(const InferenceParts& parts, const Request& request, ledger::Hold& hold, const Keep& keep,
                       std::stop_token stop) {
  const auto* dialect = parts.dialects.by_id(request.dialect);
  std::string padded = request.body;
  padded.append(scan::kPadding, '\0');
  const inference::InferenceRequest wanted{.kind = request.kind,
                                           .body = std::string_view(padded).substr(0, request.body.size()),
                                           .dialect = dialect != nullptr ? *dialect : parts.dialects.fallback(),
                                           .account = request.account,
                                           .pool = request.pool,
                                           .request_id = request.id,
                                           .client_gone = std::move(stop)};
  const auto tier = parts.tier_of(request.account, request.tier);
  auto admission = parts.limiter.admit_queued(request.account, tier, parts.clock.now());
  inference::Held held{.id = request.id, .price = request.price, .most = request.most, .hold = std::move(hold)};
  auto job = parts.inference.resume(wanted, held, admission);
  if (!job) {
    hold = std::move(held.hold);
    if (job.error().fault != Fault::rate_limit_exceeded) co_return Outcome{.error = std::move(job.error())};
    const auto least = std::chrono::milliseconds(1000);
    co_return Outcome{.error = {}, .not_before = std::max(admission.tokens().wait, least)};
  }
  Keeper keeper(keep);
  auto delivered = co_await parts.inference.whole(**job, &keeper);
  if (delivered) co_return Outcome{};
  hold = std::move((*job)->hold);
  co_return Outcome{.error = std::move(delivered.error())};
}

}  // namespace

Run run_by(InferenceParts parts) {
  return [parts = std::move(parts)](const Request& request, ledger::Hold& hold, const Keep& keep,
                                    std::stop_token stop) { return run(parts, request, hold, keep, std::move(stop)); };
}

}  // namespace turnpike::jobs
