#include "turnpike/payments/x402.hpp"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <utility>

#include "eip3009.hpp"
#include "turnpike/base/encoding.hpp"
#include "turnpike/identity/wallet.hpp"

namespace turnpike::payments {

using nlohmann::json;

namespace {

constexpr std::string_view kScheme = "exact";
constexpr std::string_view kMimeType = "application/json";
constexpr std::string_view kDescription = "Credits for inference";
constexpr std::size_t kKeySignatureBytes = 65;

bool is_hex_of(std::string_view text, std::size_t bytes) {
  return text.size() == 2 + 2 * bytes && text.starts_with("0x") && from_hex(text.substr(2));
}

std::string lower_case(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](char c) { return c >= 'A' && c <= 'F' ? static_cast<char>(c + 32) : c; });
  return text;
}

// A whole number as a decimal string without a sign.
std::optional<std::uint64_t> parse_number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// The members of a payment, by their JSON pointers. The first that is missing or malformed is remembered.
class PaymentReader {
 public:
  PaymentReader(Version version, const json& payment) : version_(version), payment_(payment) {}

  std::string text(const char* pointer) {
    const json::json_pointer at(pointer);
    if (payment_.contains(at) && payment_.at(at).is_string()) return payment_.at(at).get<std::string>();
    blame(pointer);
    return {};
  }
  std::uint64_t number(const char* pointer) {
    const auto value = parse_number(text(pointer));
    if (!value) blame(pointer);
    return value.value_or(0);
  }
  std::string address(const char* pointer) {
    auto value = parse_address(text(pointer));
    if (!value) blame(pointer);
    return std::move(value).value_or("");
  }
  std::string hex(const char* pointer, std::size_t least_bytes, std::size_t most_bytes) {
    std::string value = text(pointer);
    const std::size_t bytes = value.size() / 2 - (value.empty() ? 0 : 1);
    if (bytes < least_bytes || bytes > most_bytes || !is_hex_of(value, bytes)) blame(pointer);
    return value;
  }
  std::uint64_t version() {
    const auto found = payment_.find("x402Version");
    if (found != payment_.end() && found->is_number_unsigned()) return found->get<std::uint64_t>();
    blame("/x402Version");
    return 0;
  }
  // Empty: there was no fault.
  [[nodiscard]] std::optional<Error> fault() const {
    if (blamed_.empty()) return std::nullopt;
    const std::string header(request_header(version_));
    return Error{.fault = Fault::invalid_request,
                 .message = header + ": its member " + blamed_ + " is missing or malformed",
                 .param = header};
  }

 private:
  void blame(const char* pointer) {
    if (blamed_.empty()) blamed_ = pointer;
  }
  Version version_;
  const json& payment_;
  std::string blamed_;
};

json requirements(Version version, const Terms& terms, const Network& network, Units units) {
  json out = {{"scheme", kScheme},
              {"network", network.name_in(version)},
              {"asset", network.asset},
              {"payTo", terms.pay_to},
              {"maxTimeoutSeconds", terms.max_timeout.count()},
              {"extra", {{"name", network.asset_name}, {"version", network.asset_version}}}};
  if (version == Version::v2) {
    out["amount"] = std::to_string(units);
  } else {
    out["maxAmountRequired"] = std::to_string(units);
    out["resource"] = terms.resource;
    out["description"] = kDescription;
    out["mimeType"] = kMimeType;
  }
  return out;
}

json accepts(Version version, const Terms& terms, Units units) {
  json all = json::array();
  for (const Network& network : terms.networks) all.push_back(requirements(version, terms, network, units));
  return all;
}

json resource(const Terms& terms) {
  return {{"url", terms.resource}, {"description", kDescription}, {"mimeType", kMimeType}};
}

std::string error_text(Version version, std::string_view error) {
  return error.empty() ? std::string(request_header(version)) + " header is required" : std::string(error);
}

// Facilitators' reasons and anything else of theirs may hold any bytes.
std::string dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

bool is_signed(const Payment& payment, const Network& network) {
  const std::string signature = from_hex(std::string_view(payment.signature).substr(2)).value();
  if (signature.size() > kKeySignatureBytes) return true;  // the facilitator's to judge
  return identity::signer_of(transfer_digest(payment.authorization, network), signature) == payment.authorization.from;
}

bool accepted_as_offered(const Payment& payment, const Terms& terms, const Network& network, Units units) {
  if (!payment.accepted) return true;
  const AcceptedTerms& accepted = *payment.accepted;
  return accepted.amount == std::to_string(units) && parse_address(accepted.asset) == network.asset &&
         parse_address(accepted.pay_to) == terms.pay_to;
}

}  // namespace

std::string_view request_header(Version version) {
  return version == Version::v1 ? "X-PAYMENT" : "PAYMENT-SIGNATURE";
}

std::string_view response_header(Version version) {
  return version == Version::v1 ? "X-PAYMENT-RESPONSE" : "PAYMENT-RESPONSE";
}

std::string Network::caip2() const {
  return "eip155:" + std::to_string(chain_id);
}

std::string Network::name_in(Version version) const {
  return version == Version::v1 ? name : caip2();
}

std::optional<std::string> parse_address(std::string_view address) {
  auto wallet = identity::parse_wallet(identity::ChainNamespace::eip155, address);
  if (!wallet) return std::nullopt;
  return std::move(wallet->address);
}

bool is_transaction(std::string_view text) {
  return is_hex_of(text, 32);
}

Result<Payment> read_payment(Version version, std::string_view header, std::size_t max_bytes) {
  const std::string name(request_header(version));
  if (header.size() > max_bytes) {
    return fail(Fault::invalid_request,
                name + " may have " + std::to_string(max_bytes) + " bytes: payments.max_header_bytes", name);
  }
  const auto bytes = from_base64(header);
  if (!bytes) return fail(Fault::invalid_request, name + " must be base64 of a JSON object", name);
  const json parsed = json::parse(*bytes, nullptr, false);
  if (!parsed.is_object()) return fail(Fault::invalid_request, name + " must be base64 of a JSON object", name);
  const bool v2 = version == Version::v2;
  PaymentReader reader(version, parsed);
  Payment payment{.version = version,
                  .claimed_version = reader.version(),
                  .scheme = reader.text(v2 ? "/accepted/scheme" : "/scheme"),
                  .network = reader.text(v2 ? "/accepted/network" : "/network"),
                  .authorization = {.from = reader.address("/payload/authorization/from"),
                                    .to = reader.address("/payload/authorization/to"),
                                    .value = reader.number("/payload/authorization/value"),
                                    .valid_after = reader.number("/payload/authorization/validAfter"),
                                    .valid_before = reader.number("/payload/authorization/validBefore"),
                                    .nonce = lower_case(reader.hex("/payload/authorization/nonce", 32, 32))},
                  .signature = reader.hex("/payload/signature", kKeySignatureBytes, max_bytes)};
  if (v2) {
    payment.accepted = {.amount = reader.text("/accepted/amount"),
                        .asset = reader.text("/accepted/asset"),
                        .pay_to = reader.text("/accepted/payTo")};
  }
  if (auto fault = reader.fault()) return std::unexpected(*std::move(fault));
  return payment;
}

std::expected<const Network*, std::string_view> check_payment(const Payment& payment, const Terms& terms, Units units,
                                                              std::uint64_t now) {
  const Authorization& authorization = payment.authorization;
  if (payment.claimed_version != static_cast<std::uint64_t>(payment.version)) {
    return std::unexpected("invalid_x402_version");
  }
  if (payment.scheme != kScheme) return std::unexpected("unsupported_scheme");
  const auto network = std::ranges::find_if(
      terms.networks, [&](const Network& each) { return each.name_in(payment.version) == payment.network; });
  if (network == terms.networks.end()) return std::unexpected("invalid_network");
  if (!accepted_as_offered(payment, terms, *network, units)) return std::unexpected("invalid_payment_requirements");
  if (authorization.to != terms.pay_to) return std::unexpected("invalid_exact_evm_payload_recipient_mismatch");
  if (authorization.value != units) return std::unexpected("invalid_exact_evm_payload_authorization_value");
  const bool too_long = authorization.valid_before > now + static_cast<std::uint64_t>(terms.max_validity.count());
  if (authorization.valid_before <= now || too_long) {
    return std::unexpected("invalid_exact_evm_payload_authorization_valid_before");
  }
  if (authorization.valid_after >= now) return std::unexpected("invalid_exact_evm_payload_authorization_valid_after");
  if (!is_signed(payment, *network)) return std::unexpected("invalid_exact_evm_payload_signature");
  return &*network;
}

std::string facilitator_request(const Payment& payment, const Terms& terms, const Network& network) {
  const Authorization& signed_for = payment.authorization;
  const auto version = static_cast<int>(payment.version);
  const json wanted = requirements(payment.version, terms, network, signed_for.value);
  json sent = {{"x402Version", version},
               {"payload",
                {{"signature", payment.signature},
                 {"authorization",
                  {{"from", signed_for.from},
                   {"to", signed_for.to},
                   {"value", std::to_string(signed_for.value)},
                   {"validAfter", std::to_string(signed_for.valid_after)},
                   {"validBefore", std::to_string(signed_for.valid_before)},
                   {"nonce", signed_for.nonce}}}}}};
  if (payment.version == Version::v2) {
    sent["accepted"] = wanted;
    sent["resource"] = resource(terms);
  } else {
    sent["scheme"] = kScheme;
    sent["network"] = network.name;
  }
  return dump({{"x402Version", version}, {"paymentPayload", std::move(sent)}, {"paymentRequirements", wanted}});
}

std::string payment_required_body(const Terms& terms, Units units, std::string_view error) {
  return dump(
      {{"x402Version", 1}, {"error", error_text(Version::v1, error)}, {"accepts", accepts(Version::v1, terms, units)}});
}

std::string payment_required_header(const Terms& terms, Units units, std::string_view error) {
  return to_base64(dump({{"x402Version", 2},
                         {"error", error_text(Version::v2, error)},
                         {"resource", resource(terms)},
                         {"accepts", accepts(Version::v2, terms, units)}}));
}

std::string payment_response(std::string_view network, std::string_view payer, std::string_view transaction) {
  return to_base64(dump({{"success", true}, {"transaction", transaction}, {"network", network}, {"payer", payer}}));
}

}  // namespace turnpike::payments
