// /v1/channel: post to a channel, read it by pages, and read along.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "turnpike/api/guard.hpp"
#include "turnpike/base/clock.hpp"
#include "turnpike/channel/channels.hpp"
#include "turnpike/http/exchange.hpp"
#include "turnpike/http/router.hpp"
#include "turnpike/limits/address_limiter.hpp"

namespace turnpike::api {

struct ChannelLimits {
  std::uint64_t posts_per_minute = 0;  // of an account
  std::size_t max_accounts = 0;        // that are remembered for it
  std::size_t max_characters = 0;      // of a message's content
  std::size_t max_body_bytes = 0;
  std::chrono::milliseconds keep_alive_interval{};  // between comments in a stream where nothing is posted
};

// Loop thread only.
class ChannelApi {
 public:
  ChannelApi(const Guard& guard, channel::Channels& channels, const Clock& clock, ChannelLimits limits)
      : guard_(guard),
        channels_(channels),
        clock_(clock),
        limits_(limits),
        posts_(limits.posts_per_minute, limits.max_accounts) {}
  void add_routes(http::Router& router);

  // A message is {id:"msg-…", channel, author, authorName, authorType:"api", avatar, content, createdAt}.

  // {channel, content, name?, avatar?} → 201 and the message. Scope: chat:write.
  [[nodiscard]] boost::asio::awaitable<http::Response> post(const http::Request& request);
  // ?channel&limit&before&after → 200 {messages:[…]}, oldest first. Scope: chat:read.
  [[nodiscard]] boost::asio::awaitable<http::Response> read(const http::Request& request);
  // ?channel → 200 text/event-stream: an event a message, whose id is the message's. From Last-Event-ID on, else what
  // is posted from now on. Scope: chat:read.
  [[nodiscard]] boost::asio::awaitable<void> stream(http::Exchange& exchange);

 private:
  boost::asio::awaitable<Result<channel::Message>> post_for(const Caller& caller, const http::Request& request);
  Result<std::unique_ptr<channel::Reader>> follow(const http::Request& request);
  const Guard& guard_;
  channel::Channels& channels_;
  const Clock& clock_;
  ChannelLimits limits_;
  limits::AddressLimiter posts_;  // by account
};

}  // namespace turnpike::api
