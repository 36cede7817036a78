#include "turnpike/api/guard.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <iterator>
#include <utility>

#include "turnpike/api/client_address.hpp"

namespace turnpike::api {

Guard::Presented Guard::presented_key(const http::Request& request) {
  if (const auto authorization = request.fields.find(http::Field::authorization)) {
    constexpr std::string_view kScheme = "bearer ";
    if (authorization->size() > kScheme.size() &&
        http::equals_ignoring_case(authorization->substr(0, kScheme.size()), kScheme)) {
      auto key = authorization->substr(kScheme.size());
      while (key.starts_with(' ')) key.remove_prefix(1);
      return {.key = key, .field = "authorization"};
    }
    return {};
  }
  return {.key = request.fields.find("x-api-key").value_or(std::string_view{}), .field = "x-api-key"};
}

Result<Caller> Guard::identify(const http::Request& request, identity::Scope scope) const {
  auto caller = authenticate(request);
  if (!caller) {
    // Whoever goes through keys, or sends none, is slowed down.
    if (auto admitted = admit_stranger(request); !admitted) return std::unexpected(std::move(admitted).error());
    return caller;
  }
  if (!caller->grant.scopes.has(scope)) {
    return fail(Fault::insufficient_scope, "the API key lacks the scope that this needs");
  }
  caller->account = caller->key->account_id;
  caller->dialect = &dialect_named(caller->key->dialect);
  return caller;
}

Result<Caller> Guard::authenticate(const http::Request& request) const {
  const auto [presented, field] = presented_key(request);
  if (presented.empty()) {
    return fail(Fault::invalid_api_key, "an API key is needed: Authorization: Bearer KEY, or X-API-Key: KEY");
  }
  Caller caller;
  if (presented.starts_with(identity::kTokenPrefix)) {
    auto bearer = identify_token(presented);
    if (!bearer) return bearer;
    caller = *std::move(bearer);
  } else {
    // The same head again bears the same key: it is looked at anew, but needs no digest to be found.
    auto& known = request.known_sender;
    const auto found = known.empty() ? keys_.find(presented, clock_.wall()) : keys_.find_live(known, clock_.wall());
    if (!found) return fail(Fault::invalid_api_key, "the API key is " + std::string(to_string(found.error())));
    caller.key = *found;
    caller.grant = (*found)->grant();
    if (known.empty()) known = caller.key->id;
  }
  if (auto good = check_signature(*caller.key, request, field); !good) return std::unexpected(std::move(good).error());
  return caller;
}

Result<void> Guard::check_signature(const identity::KeyInfo& key, const http::Request& request) const {
  return check_signature(key, request, {});
}

Result<void> Guard::check_signature(const identity::KeyInfo& key, const http::Request& request,
                                    std::string_view key_field) const {
  // Nearly every request ends here.
  if (!key.signing.public_key && !request.fields.find("content-digest")) return {};
  std::vector<identity::FieldView> fields;
  fields.reserve(request.fields.all().size());
  for (const auto& field : request.fields.all()) fields.push_back({.name = field.name, .value = field.value});
  return signatures_.check(key, {.method = request.method,
                                 .host = request.fields.find(http::Field::host).value_or(std::string_view()),
                                 .target = request.target,
                                 .fields = fields,
                                 .body = request.body,
                                 .key_field = key_field});
}

// The key behind a token, with no more scopes than either has, and no longer.
Result<Caller> Guard::identify_token(std::string_view token) const {
  const WallTime now = clock_.wall();
  const auto claims = tokens_.verify(token, now);
  if (!claims) return fail(Fault::invalid_api_key, "the access token is " + std::string(to_string(claims.error())));
  const auto key = keys_.find_live((*claims)->key_id, now);
  if (!key) return fail(Fault::invalid_api_key, "the access token's key is " + std::string(to_string(key.error())));
  Caller caller;
  caller.key = *key;
  caller.grant = (*claims)->grant;
  caller.grant.scopes = caller.grant.scopes.shared_with((*key)->scopes);
  if ((*key)->expires_at) caller.grant.expires_at = std::min(*caller.grant.expires_at, *(*key)->expires_at);
  return caller;
}

const dialect::Dialect& Guard::dialect_named(const std::string& id) const {
  const auto* dialect = dialects_.by_id(id);
  return dialect != nullptr ? *dialect : dialects_.fallback();
}

// Of a token it is its key's, where it is a good one.
const dialect::Dialect& Guard::dialect_of(std::string_view presented, const Error& error) const {
  if (!presented.starts_with(identity::kTokenPrefix) || error.fault == Fault::invalid_api_key) {
    return dialects_.by_key_prefix(presented);
  }
  const auto bearer = identify_token(presented);
  return bearer ? dialect_named(bearer->key->dialect) : dialects_.fallback();
}

std::optional<limits::Tier> Guard::tier_of(ledger::AccountId account, const std::string& tier) const {
  const auto* over = limiting_.overrides.find(account);
  const auto found = limiting_.tiers.find(over != nullptr && over->tier ? *over->tier : tier);
  if (found == limiting_.tiers.end() && over == nullptr) return std::nullopt;
  const limits::Tier named = found == limiting_.tiers.end() ? limits::Tier() : found->second;
  return over != nullptr ? limits::with(*over, named) : named;
}

Result<void> Guard::admit(Caller& caller) const {
  const auto tier = tier_of(caller.account, caller.key->tier);
  if (!tier) return {};
  caller.admission = limiting_.accounts.admit(caller.account, *tier, clock_.now());
  if (caller.admission.requests().allowed) return {};
  return std::unexpected(limits::too_many(caller.admission.requests()));
}

Result<void> Guard::admit_stranger(const http::Request& request) const {
  const auto verdict = limiting_.strangers.admit(client_address(request), clock_.now());
  if (verdict.allowed) return {};
  return std::unexpected(limits::too_many(verdict));
}

namespace {

// Room for a number and its unit.
struct Text {
  std::array<char, 48> characters{};
  char* end = characters.data();
  void append(std::uint64_t value) { end = std::to_chars(end, characters.data() + characters.size(), value).ptr; }
  void append(std::string_view text) { end = std::ranges::copy(text, end).out; }
  [[nodiscard]] std::string_view view() const { return {characters.data(), end}; }
};

// As OpenAI writes how long it takes: 0s, 20ms, 8.64s, 6m0s, 1h0m0s.
void append_duration(Text& text, std::chrono::milliseconds time) {
  const auto ms = static_cast<std::uint64_t>(time.count());
  if (ms > 0 && ms < 1'000) {
    text.append(ms);
    text.append("ms");
    return;
  }
  if (ms >= 3'600'000) {
    text.append(ms / 3'600'000);
    text.append("h");
  }
  if (ms >= 60'000) {
    text.append(ms / 60'000 % 60);
    text.append("m");
  }
  text.append(ms / 1'000 % 60);
  if (const auto rest = ms % 1'000; rest > 0) {
    std::array<char, 4> digits{'.', static_cast<char>('0' + rest / 100), static_cast<char>('0' + rest / 10 % 10),
                               static_cast<char>('0' + rest % 10)};
    std::string_view decimals(digits.data(), digits.size());
    while (decimals.ends_with('0')) decimals.remove_suffix(1);
    text.append(decimals);
  }
  text.append("s");
}

// Hands each field's name and value to `take`.
template <class Take>
void each_limit_field(const limits::Verdict& verdict, LimitNames names, Take take) {
  if (!verdict.limit) return;
  const auto number = [&](std::string_view name, std::uint64_t value) {
    Text text;
    text.append(value);
    take(name, text.view());
  };
  number(names.limit, *verdict.limit);
  number(names.remaining, verdict.remaining);
  Text reset;
  append_duration(reset, verdict.reset);
  take(names.reset, reset.view());
}

}  // namespace

std::vector<std::pair<std::string, std::string>> Guard::limit_fields(const limits::Verdict& verdict, LimitNames names) {
  std::vector<std::pair<std::string, std::string>> fields;
  each_limit_field(verdict, names, [&](auto name, auto value) { fields.emplace_back(name, value); });
  return fields;
}

void Guard::append_limit_lines(std::string& head, const limits::Admission& admission) {
  append_limit_lines(head, admission.requests(), admission.tokens());
}

void Guard::append_limit_lines(std::string& head, const limits::Verdict& requests, const limits::Verdict& tokens) {
  std::array<char, 512> lines;  // six, each below eighty
  char* end = lines.data();
  const auto append = [&end](std::string_view name, std::string_view value) {
    for (const std::string_view part : {name, std::string_view(": "), value, std::string_view("\r\n")}) {
      std::memcpy(end, part.data(), part.size());
      end += part.size();
    }
  };
  each_limit_field(requests, kRequestLimits, append);
  each_limit_field(tokens, kTokenLimits, append);
  head.append(lines.data(), end);
}

http::Response Guard::refuse(const http::Request& request, const Error& error,
                             const limits::Admission& admission) const {
  auto response = refuse(&request, error);
  std::ranges::move(limit_fields(admission.requests(), kRequestLimits), std::back_inserter(response.headers));
  std::ranges::move(limit_fields(admission.tokens(), kTokenLimits), std::back_inserter(response.headers));
  return response;
}

http::Response Guard::refuse(const http::Request* request, const Error& error) const {
  return refuse(request, error, request != nullptr ? presented_key(*request).key : std::string_view{});
}

http::Response Guard::refuse(const http::Request* request, const Error& error, std::string_view presented) const {
  const bool accepts_json = request != nullptr && request->accepts_by_name("application/json");
  auto body = dialect::render_error(dialect_of(presented, error), error, accepts_json);
  http::Response response;
  response.status = body.status;
  response.content_type = body.content_type;
  response.body = std::move(body.body);
  if (body.retry_after) response.headers.emplace_back("Retry-After", *body.retry_after);
  if (body.status == 401) response.headers.emplace_back("WWW-Authenticate", "Bearer");
  return response;
}

}  // namespace turnpike::api
