// Routes that answer a request with one whole response.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <type_traits>
#include <utility>

#include "turnpike/http/router.hpp"

namespace turnpike::api {

// A handler that sends what `make` makes of the request: an http::Response, or an awaitable one.
template <class Make>
http::Handler reply(Make make) {
  return [make = std::move(make)](http::Exchange& exchange) -> boost::asio::awaitable<void> {
    if constexpr (std::is_same_v<std::invoke_result_t<const Make&, const http::Request&>, http::Response>) {
      const http::Response response = make(exchange.request());
      co_await exchange.send(response);
    } else {
      const http::Response response = co_await make(exchange.request());
      co_await exchange.send(response);
    }
  };
}

}  // namespace turnpike::api
