#include "turnpike/api/receipts_api.hpp"

#include <charconv>
#include <chrono>
#include <nlohmann/json.hpp>
#include <utility>

#include "json_body.hpp"
#include "reply.hpp"
#include "turnpike/proof/canonical_json.hpp"
#include "turnpike/receipts/statements.hpp"

namespace turnpike::api {

using boost::asio::awaitable;
using nlohmann::json;

namespace {

// For so long the same root is signed once.
constexpr std::chrono::seconds kHeadLifetime(10);

std::string base64_of(const Sha256& hash) {
  return to_base64({static_cast<const char*>(static_cast<const void*>(hash.data())), hash.size()});
}

json base64_of(const std::vector<Sha256>& hashes) {
  json list = json::array();
  for (const auto& hash : hashes) list.push_back(base64_of(hash));
  return list;
}

// A count in the query; nullopt: it is not there.
Result<std::optional<std::uint64_t>> read_count(const http::Request& request, const char* name) {
  const auto text = request.query_value(name);
  if (!text) return std::nullopt;
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc{} || end != text->data() + text->size()) {
    return fail(Fault::invalid_request, std::string(name) + " must be a whole number", name);
  }
  return value;
}

Result<std::uint64_t> need_count(const http::Request& request, const char* name) {
  const auto read = read_count(request, name);
  if (!read) return std::unexpected(read.error());
  if (!*read) return fail(Fault::invalid_request, std::string(name) + " must be a size of the log", name);
  return **read;
}

http::Response answer_with(std::string body) {
  http::Response response;
  response.body = std::move(body);
  return response;
}

}  // namespace

void ReceiptsApi::add_routes(http::Router& router) {
  const auto route = [&](std::string_view path, auto work) {
    router.add(http::Verb::get, path,
               reply([this, work](const http::Request& request) { return (this->*work)(request); }));
  };
  route("/v1/jobs/{id}/receipt", &ReceiptsApi::receipt);
  route("/v1/receipts/root", &ReceiptsApi::root);
  route("/v1/receipts/consistency", &ReceiptsApi::consistency);
  route("/v1/receipts/{id}/proof", &ReceiptsApi::proof);
}

awaitable<http::Response> ReceiptsApi::receipt(const http::Request& request) const {
  const auto caller = guard_.identify(request, identity::Scope::usage_read);
  if (!caller) co_return guard_.refuse(&request, caller.error());
  const auto found = co_await log_.find(caller->account, request.parameters.at(0));
  if (!found) co_return guard_.refuse(&request, found.error());
  const auto signature = keys_.sign(found->json, found->charge.created_at);
  if (!signature) co_return guard_.refuse(&request, signature.error());
  std::string body = R"({"receipt":)";
  body.append(found->json).append(R"(,"key_id":")").append(signature->key_id).append(R"(","signature":")");
  body.append(to_base64(signature->bytes)).append("\"}");
  co_return answer_with(std::move(body));
}

awaitable<http::Response> ReceiptsApi::root(const http::Request& request) {
  if (auto admitted = guard_.admit_stranger(request); !admitted) co_return guard_.refuse(&request, admitted.error());
  const auto head = co_await log_.head();
  if (!head) co_return guard_.refuse(&request, head.error());
  const bool fresh = head_ && head_->size == head->size && clock_.now() < head_->signed_at + kHeadLifetime;
  if (!fresh) {
    const auto now = clock_.wall();
    const auto statement = receipts::head_statement(*head, now);
    const auto signature = keys_.sign(statement, now);
    if (!signature) co_return guard_.refuse(&request, signature.error());
    auto document = json::parse(statement);
    document["key_id"] = signature->key_id;
    document["signature"] = to_base64(signature->bytes);
    head_ = Head{.size = head->size, .signed_at = clock_.now(), .body = document.dump()};
  }
  co_return answer_with(head_->body);
}

awaitable<http::Response> ReceiptsApi::proof(const http::Request& request) const {
  const auto caller = guard_.identify(request, identity::Scope::usage_read);
  if (!caller) co_return guard_.refuse(&request, caller.error());
  const auto size = read_count(request, "tree_size");
  if (!size) co_return guard_.refuse(&request, size.error());
  const auto proof = co_await log_.inclusion(caller->account, request.parameters.at(0), *size);
  if (!proof) co_return guard_.refuse(&request, proof.error());
  co_return answer_with(json{{"leaf_index", proof->index},
                             {"tree_size", proof->size},
                             {"leaf_hash", base64_of(proof->leaf)},
                             {"audit_path", base64_of(proof->path)}}
                            .dump());
}

awaitable<http::Response> ReceiptsApi::consistency(const http::Request& request) const {
  if (auto admitted = guard_.admit_stranger(request); !admitted) co_return guard_.refuse(&request, admitted.error());
  const auto from = need_count(request, "from");
  if (!from) co_return guard_.refuse(&request, from.error());
  const auto to = need_count(request, "to");
  if (!to) co_return guard_.refuse(&request, to.error());
  const auto proof = co_await log_.consistency(*from, *to);
  if (!proof) co_return guard_.refuse(&request, proof.error());
  co_return answer_with(json{{"from", *from}, {"to", *to}, {"proof", base64_of(*proof)}}.dump());
}

}  // namespace turnpike::api
