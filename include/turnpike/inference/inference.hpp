// One paid inference, from scanned request to charge: model, price of the upper bound, hold, node, usage, capture. For
// the live routes and for whatever else runs inferences.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>

#include "turnpike/base/error.hpp"
#include "turnpike/base/random.hpp"
#include "turnpike/dialect/dialect.hpp"
#include "turnpike/inference/catalogue.hpp"
#include "turnpike/ledger/ledger.hpp"
#include "turnpike/limits/rate_limiter.hpp"
#include "turnpike/relay/relay.hpp"
#include "turnpike/scan/scan.hpp"

namespace turnpike::inference {

struct InferenceLimits {
  std::chrono::milliseconds default_timeout{120'000};
  std::chrono::milliseconds max_timeout{600'000};
  std::uint64_t image_token_allowance = 2048;
  std::uint64_t default_max_tokens = 0;  // for the upper bound where nobody names one; 0: what the model can write
  bool content_digests = true;           // in receipts
  std::size_t schema_max_bytes = std::size_t{256} * 1024;  // of a response's schema, and of an answer that is checked
  std::size_t schema_max_steps = 200'000;                  // to check an answer's choices
};

// Who asks, and what.
struct InferenceRequest {
  scan::RequestKind kind = scan::RequestKind::chat;
  std::string_view body;  // with scan::kPadding readable bytes behind it; must stay valid
  const dialect::Dialect& dialect;
  ledger::AccountId account = 0;
  std::string_view pool = scheduler::kDefaultPool;
  std::string_view request_id;
  std::stop_token client_gone;
};

// An inference that is paid for, as far as its upper bound goes, and not yet run. Destroying it gives the credits back.
struct Job {
  explicit Job(const InferenceRequest& from) : request(from) {}
  InferenceRequest request;
  scan::RequestScan scan;
  ModelPtr model;
  std::string_view schema;  // that the answer is held to, in the request's body; empty: none
  std::string id;
  std::string id_json;
  std::string defaults;  // members the dialect adds
  std::optional<std::uint64_t> added_max_tokens;
  ledger::Price price;       // as it was when the job was held
  ledger::TokenCounts most;  // that the hold pays for
  limits::Admission admission;
  ledger::Hold hold;
  Instant deadline;
};

// What is left of a job that was prepared before, and not run: it is made again from its request.
struct Held {
  std::string id;
  ledger::Price price;
  ledger::TokenCounts most;  // that the hold pays for
  ledger::Hold hold;
};

// What was charged, and for what.
struct Settled {
  ledger::Money charged;
  ledger::Money balance;
  ledger::Basis basis = ledger::Basis::none;
  ledger::TokenCounts tokens;
  WallTime at{};
};

// A whole answer, charged, ready to be written.
struct Delivered {
  std::string body;
  std::string node_id;
  Settled settled;
};

// Who keeps a whole answer that nobody may be there to take.
class AnswerKeeper {
 public:
  virtual ~AnswerKeeper() = default;
  // Before it is charged. The operation is run in the charge's transaction (ledger::Charge::beside). Error: do not
  // charge it.
  virtual boost::asio::awaitable<Result<std::shared_ptr<storage::Operation>>> keep(const Delivered& answer) = 0;
};

// Where a stream is written. One of begin() or refuse() is called first, finish() or break_off() last.
class ClientStream {
 public:
  virtual ~ClientStream() = default;
  virtual void begin(std::string_view job_id, std::string_view node_id) = 0;
  // As relay::StreamSink has them.
  virtual bool write(std::string_view events) = 0;
  virtual boost::asio::awaitable<bool> written() = 0;
  virtual boost::asio::awaitable<void> finish(std::string_view events, const Settled& settled) = 0;
  // After the first byte: an error event, and no clean end.
  virtual boost::asio::awaitable<void> break_off(std::string_view event) = 0;
  // Before the first byte: an ordinary error answer.
  virtual boost::asio::awaitable<void> refuse(const Error& error) = 0;
};

// Loop thread only.
class Inference {
 public:
  Inference(Catalogue& catalogue, ledger::Ledger& ledger, relay::Relay& relay, scan::Scanner& scanner,
            const scheduler::NodeRegistry& nodes, const Clock& clock, InferenceLimits limits);

  // Checks the request, sets the upper bound of its tokens aside from the account's limits and holds its price. The job
  // takes `admission` over; it stays with the caller where there is none. Errors: invalid_request (param names the
  // member), model_not_found, rate_limit_exceeded, insufficient_credits, service_unavailable.
  Result<std::unique_ptr<Job>> prepare(const InferenceRequest& request, limits::Admission& admission);

  // The same for a request that was held before, at the price it had then: only what may have changed is an error.
  // `held` stays with the caller where there is one. Errors: as prepare(), but for insufficient_credits.
  Result<std::unique_ptr<Job>> resume(const InferenceRequest& request, Held& held, limits::Admission& admission);

  // Runs it and charges it; the charge is durable when this returns. `job` stays the caller's, and is spent; after an
  // error its hold is, if it was not charged, still there. `keeper`, where there is one, is asked before the charge.
  boost::asio::awaitable<Result<Delivered>> whole(Job& job, AnswerKeeper* keeper = nullptr);

  // The same for a stream: the charge is durable before the stream's end goes out. A client that left is charged for
  // what was relayed.
  boost::asio::awaitable<void> stream(Job& job, ClientStream& client);

 private:
  friend class StreamSettler;
  [[nodiscard]] Result<std::unique_ptr<Job>> begin(const InferenceRequest& request, limits::Admission& admission);
  [[nodiscard]] Result<void> read(Job& job) const;
  [[nodiscard]] Result<void> check_capability(const Job& job) const;
  [[nodiscard]] Result<void> read_schema(Job& job) const;
  [[nodiscard]] relay::Seen seen_of(const Job& job) const;
  [[nodiscard]] relay::Call call_of(const Job& job, std::string_view path) const;
  // What is to be charged for what was used.
  [[nodiscard]] static Settled settle(const Job& job, const relay::Used& used, bool complete);
  // Charges it; `captured` says whether that is durable yet.
  struct Charged {
    Settled settled;
    ledger::Captured captured;
  };
  [[nodiscard]] ledger::Price price_of(const Model& model, std::string_view pool) const;
  [[nodiscard]] limits::Today today_of(ledger::AccountId account) const;
  [[nodiscard]] Result<void> reserve(limits::Admission& admission, ledger::AccountId account,
                                     const ledger::TokenCounts& most) const;
  void admit(Job& job, limits::Admission& admission) const;
  // How an answer ended, and the digests of what was said where they are taken.
  struct Answered {
    ledger::Ended ended = ledger::Ended::complete;
    std::optional<ledger::ContentDigests> content{};
  };
  // `parts`: who served it, at least one; each is told its tokens of `used`.
  Result<Charged> charge(Job& job, Settled settled, const relay::Used& used, std::span<relay::Part> parts,
                         const Answered& answered, std::shared_ptr<storage::Operation> beside = nullptr);
  void end_unpaid(Job& job, const Error* error);

  Catalogue& catalogue_;
  ledger::Ledger& ledger_;
  relay::Relay& relay_;
  scan::Scanner& scanner_;
  const scheduler::NodeRegistry& nodes_;
  const Clock& clock_;
  InferenceLimits limits_;
  IdSource ids_;
};

}  // namespace turnpike::inference
