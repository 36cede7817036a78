// Which handler answers a request. Keeps an unknown path (404) apart from a known path with another method (405).
#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "turnpike/http/exchange.hpp"

namespace turnpike::http {

using Handler = std::function<boost::asio::awaitable<void>(Exchange&)>;

// Built at start, then only read. Loop thread only.
class Router {
 public:
  // `pattern` is a path whose segments may be `{name}`; a last segment `{name}` takes the rest of the path, slashes
  // included (model ids have them). HEAD is answered wherever GET is.
  void add(Verb verb, std::string_view pattern, Handler handler);

  struct Match {
    const Handler* handler = nullptr;  // null: see `allow`
    std::string allow;                 // methods the path does know, comma-separated; empty: unknown path
    std::vector<std::string> parameters;
  };
  [[nodiscard]] Match match(Verb verb, std::string_view path) const;

 private:
  struct Route {
    Verb verb;
    std::string pattern;
    std::vector<std::string> segments;  // of a pattern with parameters
    Handler handler;
  };
  std::vector<Route> routes_;
};

}  // namespace turnpike::http
