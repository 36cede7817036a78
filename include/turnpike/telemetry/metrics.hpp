// What is counted, in the Prometheus text format.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace turnpike::telemetry {

// A value that is read when somebody asks.
struct Reading {
  std::string name;  // "turnpike_open_holds"
  std::string help;
  std::string label;  // empty: none
  std::string label_value;
  double value = 0;
  bool counter = false;  // else a gauge
};

// Loop thread only.
class Metrics {
 public:
  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // An answered request. `route` is one of a fixed set; status 0: the client left before an answer.
  void request(std::string_view route, int status, std::chrono::nanoseconds took);

  // What `read` returns is part of every page from then on.
  void add_source(std::function<void(std::vector<Reading>&)> read);

  [[nodiscard]] std::string page() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace turnpike::telemetry
