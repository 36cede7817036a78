// Requests to other people's servers, by HTTP/1.1 POST on a connection each: for what is rare (payments, webhooks).
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/address.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "turnpike/base/deadlines.hpp"

namespace turnpike::http {

// Where an absolute http or https URL leads (RFC 3986).
struct Place {
  bool secure = false;
  std::string host;  // a name, percent-decoded, or an address; an IPv6 one without brackets
  std::uint16_t port = 0;
  std::string authority;  // as Host has it
  std::string target;     // path and query; "" where the URL has neither
  bool has_userinfo = false;
};
// nullopt when it is none.
[[nodiscard]] std::optional<Place> parse_place(std::string_view url);

struct Post {
  std::string target;      // path and query
  std::string head_lines;  // whole lines, each ending in CRLF, beside Host, User-Agent, Connection and Content-Length
  std::string_view body;   // until the answer is there
  std::chrono::milliseconds timeout{};  // of it all: name, connection, TLS, answer
  std::size_t max_answer_bytes = 0;     // of the answer's body
  // The status counts whatever becomes of the body, which is not kept.
  bool only_status = false;
  // Asked for each address that the host has, before any is connected to; one that is refused ends it. The connection
  // goes to the very addresses that were asked for. Null: all may be called.
  bool (*may_call)(const boost::asio::ip::address& address) = nullptr;
};

struct PostAnswer {
  int status = 0;
  std::string body = {};
  std::optional<std::string> retry_after = std::nullopt;  // the field, as it is
};

// Loop thread only.
class Poster {
 public:
  // `ca_file`: PEM of the authorities that certificates are checked by; empty: the system's. Names are resolved on
  // threads of its own, at most `resolver_threads` at once, so that a name that takes long delays nobody else's. Throws
  // std::exception when the file cannot be used.
  Poster(boost::asio::any_io_executor executor, Deadlines& deadlines, const std::string& ca_file,
         std::size_t resolver_threads);
  ~Poster();
  Poster(const Poster&) = delete;
  Poster& operator=(const Poster&) = delete;

  // Ends within the time, or soon after `stop`. Redirects are not followed. Otherwise: what was wrong, in words for the
  // log; whether the server got the request is then unknown.
  [[nodiscard]] boost::asio::awaitable<std::expected<PostAnswer, std::string>> post(Place place, Post what,
                                                                                    std::stop_token stop) const;

 private:
  struct Shared;
  class Call;
  std::unique_ptr<Shared> shared_;
};

}  // namespace turnpike::http
