// Who checks payments and brings them on chain: `POST /verify` and `POST /settle` of x402.
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

// What /verify says. Nothing has moved by it.
struct Verdict {
  enum class Kind : std::uint8_t { valid, refused, unknown };
  Kind kind = Kind::unknown;
  std::string reason = {};  // refused: in x402's words; unknown: for the log
  std::string payer = {};   // where it is told
};

// What /settle says. `unknown`: the money may have moved, or may yet.
struct Settlement {
  enum class Kind : std::uint8_t { settled, refused, unknown };
  Kind kind = Kind::unknown;
  std::string reason = {};       // refused: in x402's words; unknown: for the log
  std::string transaction = {};  // well-formed, or empty
  std::string payer = {};        // these three where they are told
  std::string network = {};
  std::string amount = {};
};

// Pure: what an answer says. Nonsense is `unknown`, and so is a status of 500 and above.
[[nodiscard]] Verdict read_verdict(int status, std::string_view body);
[[nodiscard]] Settlement read_settlement(int status, std::string_view body);

// True for a reason that facilitators give before they send anything: nothing has moved. Any other may have been found
// out afterwards.
[[nodiscard]] bool is_refused_beforehand(std::string_view reason);

// Loop thread only.
class Facilitator {
 public:
  virtual ~Facilitator() = default;
  // `request` is facilitator_request()'s. Every call ends by itself, and soon after `stop`.
  [[nodiscard]] virtual boost::asio::awaitable<Verdict> verify(std::string request, std::stop_token stop) = 0;
  [[nodiscard]] virtual boost::asio::awaitable<Settlement> settle(std::string request, std::stop_token stop) = 0;
};

struct FacilitatorPlace {
  std::string url = {};      // http:// or https://, without a slash at the end
  std::string bearer = {};   // empty: none. Never logged.
  std::string ca_file = {};  // PEM; empty: the system's authorities
  std::chrono::milliseconds verify_timeout{};
  std::chrono::milliseconds settle_timeout{};
  std::size_t max_answer_bytes = 0;
};

// By HTTP. Throws std::exception when the URL or the authorities cannot be used.
[[nodiscard]] std::unique_ptr<Facilitator> make_http_facilitator(boost::asio::any_io_executor executor,
                                                                 Deadlines& deadlines, FacilitatorPlace place);

}  // namespace turnpike::payments
