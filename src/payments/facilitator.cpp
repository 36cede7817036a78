#include "turnpike/payments/facilitator.hpp"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

#include "json_client.hpp"

namespace turnpike::payments {

using boost::asio::awaitable;
using nlohmann::json;

namespace {

constexpr std::size_t kMostReason = 120;
constexpr int kServerError = 500;

// Text of a stranger's, cut and made printable: it goes to logs and clients.
std::string plain(std::string text) {
  text.resize(std::min(text.size(), kMostReason));
  std::ranges::replace_if(text, [](char c) { return c < 0x20 || c > 0x7E; }, '?');
  return text;
}

std::string text(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? plain(found->get<std::string>()) : std::string();
}

std::optional<bool> flag(const json& object, const char* name) {
  if (!object.is_object()) return std::nullopt;
  const auto found = object.find(name);
  if (found == object.end() || !found->is_boolean()) return std::nullopt;
  return found->get<bool>();
}

std::string unreadable(int status) {
  return "it answered with status " + std::to_string(status) + " and nothing that x402 knows";
}

std::string reason_or(std::string reason, std::string_view otherwise) {
  return reason.empty() ? std::string(otherwise) : reason;
}

class HttpFacilitator final : public Facilitator {
 public:
  HttpFacilitator(boost::asio::any_io_executor executor, Deadlines& deadlines, FacilitatorPlace place)
      : place_(std::move(place)),
        client_(std::move(executor), deadlines,
                {.url = place_.url,
                 .bearer = place_.bearer,
                 .ca_file = place_.ca_file,
                 .max_answer_bytes = place_.max_answer_bytes}) {}

  awaitable<Verdict> verify(std::string request, std::stop_token stop) override {
    const auto answer = co_await client_.post("/verify", request, place_.verify_timeout, std::move(stop));
    if (!answer) co_return Verdict{.kind = Verdict::Kind::unknown, .reason = answer.error()};
    co_return read_verdict(answer->status, answer->body);
  }

  awaitable<Settlement> settle(std::string request, std::stop_token stop) override {
    const auto answer = co_await client_.post("/settle", request, place_.settle_timeout, std::move(stop));
    if (!answer) co_return Settlement{.kind = Settlement::Kind::unknown, .reason = answer.error()};
    co_return read_settlement(answer->status, answer->body);
  }

 private:
  FacilitatorPlace place_;
  JsonClient client_;
};

}  // namespace

Verdict read_verdict(int status, std::string_view body) {
  const json answer = json::parse(body, nullptr, false);
  const auto valid = flag(answer, "isValid");
  if (!valid || status >= kServerError) return {.kind = Verdict::Kind::unknown, .reason = unreadable(status)};
  if (*valid) return {.kind = Verdict::Kind::valid, .payer = text(answer, "payer")};
  return {.kind = Verdict::Kind::refused,
          .reason = reason_or(text(answer, "invalidReason"), "invalid_payment"),
          .payer = text(answer, "payer")};
}

Settlement read_settlement(int status, std::string_view body) {
  const json answer = json::parse(body, nullptr, false);
  const auto success = flag(answer, "success");
  if (!success || status >= kServerError) return {.kind = Settlement::Kind::unknown, .reason = unreadable(status)};
  Settlement out{.reason = reason_or(text(answer, "errorReason"), "invalid_payment"),
                 .transaction = text(answer, "transaction"),
                 .payer = text(answer, "payer"),
                 .network = text(answer, "network"),
                 .amount = text(answer, "amount")};
  if (!is_transaction(out.transaction)) out.transaction.clear();
  out.kind = *success ? Settlement::Kind::settled : Settlement::Kind::refused;
  if (*success && out.transaction.empty()) {
    out.kind = Settlement::Kind::unknown;
    out.reason = "it says that it settled, and names no transaction";
  }
  return out;
}

bool is_refused_beforehand(std::string_view reason) {
  // What `x402` and `@x402/evm` find before they send a transaction.
  constexpr std::string_view kBeforehand[] = {"asset_not_deployed_contract",
                                              "eip6492_factory_not_allowed",
                                              "insufficient_funds",
                                              "invalid_exact_evm_eip3009_not_supported",
                                              "invalid_exact_evm_insufficient_balance",
                                              "invalid_exact_evm_missing_eip712_domain",
                                              "invalid_exact_evm_network_mismatch",
                                              "invalid_exact_evm_recipient_mismatch",
                                              "invalid_exact_evm_scheme",
                                              "invalid_exact_evm_signature",
                                              "invalid_exact_evm_token_name_mismatch",
                                              "invalid_exact_evm_token_version_mismatch",
                                              "invalid_network",
                                              "invalid_payload",
                                              "invalid_payment",
                                              "invalid_payment_requirements",
                                              "invalid_scheme",
                                              "invalid_x402_version",
                                              "payment_expired",
                                              "unsupported_scheme"};
  return reason.starts_with("invalid_exact_evm_payload_") ||
         std::ranges::find(kBeforehand, reason) != std::end(kBeforehand);
}

std::unique_ptr<Facilitator> make_http_facilitator(boost::asio::any_io_executor executor, Deadlines& deadlines,
                                                   FacilitatorPlace place) {
  return std::make_unique<HttpFacilitator>(std::move(executor), deadlines, std::move(place));
}

}  // namespace turnpike::payments
