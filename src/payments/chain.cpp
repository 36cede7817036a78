#include "turnpike/payments/chain.hpp"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <utility>

#include "eip3009.hpp"
#include "json_client.hpp"
#include "turnpike/base/encoding.hpp"

namespace turnpike::payments {

using boost::asio::awaitable;
using nlohmann::json;

namespace {

std::string hex_word(std::string_view word) {
  return "0x" + to_hex(word);
}

std::string quantity(std::uint64_t number) {
  char digits[16];
  const auto [end, error] = std::to_chars(digits, digits + sizeof digits, number, 16);
  return "0x" + std::string(digits, end);
}

std::string text(const json& object, const char* name) {
  if (!object.is_object()) return {};
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::optional<std::uint64_t> read_quantity(const std::string& text) {
  std::uint64_t value = 0;
  if (!text.starts_with("0x")) return std::nullopt;
  const auto [end, error] = std::from_chars(text.data() + 2, text.data() + text.size(), value, 16);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

json topics_of_use(const Authorization& authorization) {
  return json::array(
      {event_topic("AuthorizationUsed(address,bytes32)"), hex_word(abi_word(authorization.from)), authorization.nonce});
}

json topics_of_transfer(const Authorization& authorization) {
  return json::array({event_topic("Transfer(address,address,uint256)"), hex_word(abi_word(authorization.from)),
                      hex_word(abi_word(authorization.to))});
}

bool is_of(const json& log, const Network& network) {
  return parse_address(text(log, "address")) == network.asset;
}

bool has_topics(const json& log, const json& topics) {
  return log.is_object() && log.contains("topics") && log["topics"] == topics;
}

// Of a block that is no part of the chain any more.
bool is_removed(const json& log) {
  return log.contains("removed") && log["removed"] == true;
}

Sighting no_answer(std::string why) {
  return {.kind = Sighting::Kind::unknown, .reason = std::move(why)};
}

struct Block {
  std::uint64_t number = 0;
  std::uint64_t time = 0;
};

class HttpChain final : public Chain {
 public:
  HttpChain(boost::asio::any_io_executor executor, Deadlines& deadlines, ChainPlace place)
      : timeout_(place.timeout),
        log_blocks_(place.log_blocks),
        client_(std::move(executor), deadlines,
                {.url = std::move(place.url),
                 .bearer = {},
                 .ca_file = std::move(place.ca_file),
                 .max_answer_bytes = place.max_answer_bytes}) {}

  awaitable<Sighting> look(const Network& network, const Authorization& authorization, std::uint64_t since,
                           std::stop_token stop) override {
    const auto head = co_await block("latest", stop);
    if (!head) co_return no_answer(head.error());
    // From the newest block backwards: what is looked for is most often of the last minutes.
    for (std::uint64_t to = head->number;;) {
      const std::uint64_t from = to < log_blocks_ ? 0 : to - log_blocks_ + 1;
      const auto logs = co_await call("eth_getLogs",
                                      json::array({{{"address", network.asset},
                                                    {"topics", topics_of_use(authorization)},
                                                    {"fromBlock", quantity(from)},
                                                    {"toBlock", quantity(to)}}}),
                                      stop);
      if (!logs || !logs->is_array()) co_return no_answer(logs ? "eth_getLogs answered no array" : logs.error());
      const auto oldest = co_await block(quantity(from), stop);
      if (!oldest) co_return no_answer(oldest.error());
      for (const json& log : *logs) {
        const std::string transaction = text(log, "transactionHash");
        if (!is_transaction(transaction) || is_removed(log)) continue;
        co_return co_await judge(transaction, network, authorization, since, stop);
      }
      if (from == 0 || oldest->time < since) break;
      to = from - 1;
    }
    co_return Sighting{.kind = Sighting::Kind::unused, .head_time = head->time};
  }

 private:
  using Called = std::expected<json, std::string>;

  awaitable<Sighting> judge(std::string transaction, const Network& network, const Authorization& authorization,
                            std::uint64_t since, std::stop_token stop) {
    const auto receipt = co_await call("eth_getTransactionReceipt", json::array({transaction}), stop);
    if (!receipt) co_return no_answer(receipt.error());
    Sighting seen = read_receipt(receipt->dump(), authorization, network);
    if (seen.kind != Sighting::Kind::moved) co_return seen;
    // Money that came before the payment was shown here was meant for something else.
    const auto mined = co_await block(text(*receipt, "blockNumber"), stop);
    if (!mined) co_return no_answer(mined.error());
    if (mined->time < since) seen.kind = Sighting::Kind::misused;
    co_return seen;
  }

  awaitable<std::expected<Block, std::string>> block(std::string number, std::stop_token stop) {
    const auto found = co_await call("eth_getBlockByNumber", json::array({std::move(number), false}), std::move(stop));
    if (!found) co_return std::unexpected(found.error());
    const auto at = read_quantity(text(*found, "number"));
    const auto time = read_quantity(text(*found, "timestamp"));
    if (!at || !time) co_return std::unexpected("eth_getBlockByNumber answered no block");
    co_return Block{.number = *at, .time = *time};
  }

  awaitable<Called> call(std::string method, json parameters, std::stop_token stop) {
    const json request = {{"jsonrpc", "2.0"}, {"id", 1}, {"method", method}, {"params", std::move(parameters)}};
    const auto answer = co_await client_.post("", request.dump(), timeout_, std::move(stop));
    if (!answer) co_return std::unexpected(answer.error());
    json parsed = json::parse(answer->body, nullptr, false);
    if (!parsed.is_object() || !parsed.contains("result")) {
      co_return std::unexpected(method + " answered with status " + std::to_string(answer->status) + " and no result");
    }
    co_return std::move(parsed["result"]);
  }

  std::chrono::milliseconds timeout_;
  std::uint64_t log_blocks_;
  JsonClient client_;
};

}  // namespace

Sighting read_receipt(std::string_view receipt_text, const Authorization& authorization, const Network& network) {
  const json receipt = json::parse(receipt_text, nullptr, false);
  const std::string transaction = text(receipt, "transactionHash");
  const json logs = receipt.is_object() ? receipt.value("logs", json()) : json();
  if (!is_transaction(transaction) || !logs.is_array()) return no_answer("the receipt cannot be read");
  Sighting seen{.kind = Sighting::Kind::misused, .transaction = transaction};
  if (text(receipt, "status") != "0x1") return seen;
  bool used = false;  // by the token's log before this one
  for (const json& log : logs) {
    if (!is_of(log, network)) continue;
    if (used && has_topics(log, topics_of_transfer(authorization)) &&
        text(log, "data") == hex_word(abi_word(authorization.value))) {
      seen.kind = Sighting::Kind::moved;
      return seen;
    }
    used = has_topics(log, topics_of_use(authorization));
  }
  return seen;
}

std::unique_ptr<Chain> make_http_chain(boost::asio::any_io_executor executor, Deadlines& deadlines, ChainPlace place) {
  return std::make_unique<HttpChain>(std::move(executor), deadlines, std::move(place));
}

}  // namespace turnpike::payments
