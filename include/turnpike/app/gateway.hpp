// The composition root: every part of a running gateway, built top to bottom, stopped in reverse.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>

#include "turnpike/base/error.hpp"
#include "turnpike/config/config.hpp"

namespace turnpike::app {

// One gateway on one event loop. Everything but the constructor happens on the thread that runs the loop.
class Gateway {
 public:
  // Opens storage and listeners; blocks. Error: one line that says what could not be opened.
  static Result<std::unique_ptr<Gateway>> open(boost::asio::io_context& loop, config::Config config);
  ~Gateway();
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;

  // Accepts from here on.
  void start();

  // The addresses in use, as ADDRESS:PORT.
  [[nodiscard]] std::string address() const;
  [[nodiscard]] std::string admin_address() const;

  // Makes a key with `credits` (decimal) on a new account, for `turnpike dev`. The key is shown here and nowhere else.
  boost::asio::awaitable<Result<std::string>> create_key(const std::string& credits);

  // Takes what can change without a restart: models, nodes, tiers, log level. All or nothing; the faults otherwise.
  config::Faults reload(config::Config next);

  // Stops accepting, lets what runs end within the drain timeout, cancels the rest, writes the ledger out. Returns when
  // nothing runs any more.
  boost::asio::awaitable<void> drain();

 private:
  struct Parts;
  explicit Gateway(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace turnpike::app
