// What a chain says of a payment: the one witness that nobody has to trust a facilitator for. Ethereum JSON-RPC.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "turnpike/base/deadlines.hpp"
#include "turnpike/payments/x402.hpp"

namespace turnpike::payments {

struct Sighting {
  enum class Kind : std::uint8_t {
    moved,    // the authorization was used, and the money came to its recipient by `transaction`
    misused,  // it was used since, but for something else: it can pay nobody any more
    unused,   // not since; as of `head_time`
    unknown,  // the chain could not be asked
  };
  Kind kind = Kind::unknown;
  std::string transaction = {};
  std::uint64_t head_time = 0;  // Unix seconds of the newest block
  std::string reason = {};      // unknown: for the log
};

// Pure: what a transaction's receipt (JSON) says of an authorization: `moved`, `misused` or `unknown`. The transfer
// must directly follow the AuthorizationUsed of this very nonce in the logs of the token, as EIP-3009 has it: a
// transaction may hold several of each.
[[nodiscard]] Sighting read_receipt(std::string_view receipt, const Authorization& authorization,
                                    const Network& network);

// Loop thread only.
class Chain {
 public:
  virtual ~Chain() = default;
  // Looks for the use of an authorization in blocks that are not older than `since` (Unix seconds). Ends by itself, and
  // soon after `stop`.
  [[nodiscard]] virtual boost::asio::awaitable<Sighting> look(const Network& network,
                                                              const Authorization& authorization, std::uint64_t since,
                                                              std::stop_token stop) = 0;
};

struct ChainPlace {
  std::string url = {};
  std::string ca_file = {};             // PEM; empty: the system's authorities
  std::chrono::milliseconds timeout{};  // of one answer
  std::uint64_t log_blocks = 0;         // blocks asked for at once
  std::size_t max_answer_bytes = 0;
};

// By HTTP. Throws std::exception when the URL or the authorities cannot be used.
[[nodiscard]] std::unique_ptr<Chain> make_http_chain(boost::asio::any_io_executor executor, Deadlines& deadlines,
                                                     ChainPlace place);

}  // namespace turnpike::payments
