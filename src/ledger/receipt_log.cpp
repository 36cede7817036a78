#include "turnpike/ledger/receipt_log.hpp"

#include <memory>
#include <utility>

#include "receipt_store.hpp"

namespace turnpike::ledger {

using boost::asio::awaitable;

namespace {

// Runs a question; what it found is in it then.
template <class Question>
awaitable<Result<void>> asked(storage::Database& database, std::shared_ptr<Question> question) {
  if (auto queued = database.read(question); !queued) co_return queued;
  co_return co_await storage::finished(std::move(question));
}

std::unexpected<Error> no_such_receipt() {
  return fail(Fault::not_found, "There is no charge for such a job, and so no receipt.");
}

std::unexpected<Error> no_such_size(const std::string& param, std::uint64_t log_size) {
  return fail(Fault::invalid_request,
              param + " is out of range: the log holds " + std::to_string(log_size) + " receipts", param);
}

}  // namespace

awaitable<Result<StoredReceipt>> ReceiptLog::find(AccountId account, std::string_view job_id) {
  auto question = std::make_shared<ReadReceipt>(account, job_id);
  if (auto done = co_await asked(database_, question); !done) co_return std::unexpected(std::move(done).error());
  if (question->found) co_return *std::move(question->found);
  if (!question->charged) co_return no_such_receipt();
  co_return fail(Fault::not_found, "The job was charged before this gateway wrote receipts.");
}

awaitable<Result<TreeHead>> ReceiptLog::head() {
  auto question = std::make_shared<ReadHead>();
  if (auto done = co_await asked(database_, question); !done) co_return std::unexpected(std::move(done).error());
  co_return question->head;
}

awaitable<Result<Inclusion>> ReceiptLog::inclusion(AccountId account, std::string_view job_id,
                                                   std::optional<std::uint64_t> size) {
  auto question = std::make_shared<ReadInclusion>(account, job_id, size);
  if (auto done = co_await asked(database_, question); !done) co_return std::unexpected(std::move(done).error());
  if (!question->index) co_return no_such_receipt();
  const Inclusion& proof = question->proof;
  if (proof.size > question->log_size || proof.index >= proof.size) {
    co_return no_such_size("tree_size", question->log_size);
  }
  co_return std::move(question->proof);
}

awaitable<Result<std::vector<Sha256>>> ReceiptLog::consistency(std::uint64_t earlier, std::uint64_t size) {
  auto question = std::make_shared<ReadConsistency>(earlier, size);
  if (auto done = co_await asked(database_, question); !done) co_return std::unexpected(std::move(done).error());
  if (size > question->log_size) co_return no_such_size("to", question->log_size);
  if (earlier == 0 || earlier > size) co_return no_such_size("from", question->log_size);
  co_return std::move(question->proof);
}

}  // namespace turnpike::ledger
