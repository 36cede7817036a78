#include "credit_lines.hpp"

#include "turnpike/base/encoding.hpp"

namespace turnpike::api {

void append_job_lines(std::string& head, const dialect::Dialect& dialect, std::string_view job_id,
                      std::string_view node_id) {
  head.append(dialect.header_prefix).append("job-id: ").append(job_id).append("\r\n");
  if (!node_id.empty()) head.append(dialect.header_prefix).append("worker: ").append(node_id).append("\r\n");
}

CreditLines::CreditLines(const HeaderSigning& signing, const Caller& caller, const PricedJob& job)
    : keys_(signing.keys), prefix_(caller.dialect->header_prefix), job_(job) {
  const bool wanted = signing.when == SignedHeaders::always ||
                      (signing.when == SignedHeaders::dialect && caller.dialect->signed_headers);
  account_ = wanted ? signing.ledger.find(caller.account) : nullptr;
  if (account_ == nullptr) return;
  append_signature(of_hold_, "tx-signature", receipts::hold_statement(movement(job.held, job.held_at)), job.held_at);
}

void CreditLines::announce(std::string& head) const {
  head.append("Trailer: ").append(prefix_).append("credits-remaining");
  if (account_ != nullptr) head.append(", ").append(prefix_).append("settlement-tx");
  head.append("\r\n");
}

void CreditLines::append_settled(std::string& lines, const inference::Settled& settled) const {
  lines.reserve(lines.size() + prefix_.size() + 64);
  lines.append(prefix_).append("credits-remaining: ");
  lines.append(std::to_string(settled.balance.whole_credits())).append("\r\n");
  if (account_ == nullptr) return;
  const auto charge = receipts::charge_statement(movement(settled.charged, settled.at));
  append_signature(lines, "settlement-tx", charge, settled.at);
}

receipts::Movement CreditLines::movement(ledger::Money amount, WallTime at) const {
  return {.account = account_->public_id, .job_id = job_.id, .model = job_.model, .amount = amount, .at = at};
}

// None while the key is being changed: the job has it then (GET /v1/jobs/{id}).
void CreditLines::append_signature(std::string& lines, std::string_view name, const std::string& statement,
                                   WallTime at) const {
  const auto signature = keys_.sign(statement, at);
  if (!signature) return;
  lines.append(prefix_).append(name).append(": ").append(to_base64(signature->bytes)).append("\r\n");
}

}  // namespace turnpike::api
