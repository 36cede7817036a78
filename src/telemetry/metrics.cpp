#include "turnpike/telemetry/metrics.hpp"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <map>
#include <utility>

namespace turnpike::telemetry {

struct Metrics::State {
  prometheus::Registry registry;
  prometheus::Family<prometheus::Counter>& requests = prometheus::BuildCounter()
                                                          .Name("turnpike_requests_total")
                                                          .Help("Answered requests by route and status")
                                                          .Register(registry);
  prometheus::Family<prometheus::Histogram>& durations = prometheus::BuildHistogram()
                                                             .Name("turnpike_request_duration_seconds")
                                                             .Help("From a request's last byte to its answer's")
                                                             .Register(registry);
  // Looked up once, then found by a short search: the families' own look-up hashes strings.
  struct Series {
    prometheus::Histogram* duration = nullptr;
    std::map<int, prometheus::Counter*> by_status;
  };
  std::map<std::string, Series, std::less<>> series;
  std::vector<std::function<void(std::vector<Reading>&)>> sources;
};

Metrics::Metrics() : state_(std::make_unique<State>()) {}
Metrics::~Metrics() = default;

void Metrics::request(std::string_view route, int status, std::chrono::nanoseconds took) {
  auto found = state_->series.find(route);
  if (found == state_->series.end()) {
    found = state_->series.emplace(route, State::Series{}).first;
    found->second.duration = &state_->durations.Add(
        {{"route", std::string(route)}},
        prometheus::Histogram::BucketBoundaries{0.001, 0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300});
  }
  auto& counter = found->second.by_status[status];
  if (counter == nullptr) {
    counter = &state_->requests.Add({{"route", std::string(route)}, {"status", std::to_string(status)}});
  }
  counter->Increment();
  found->second.duration->Observe(std::chrono::duration<double>(took).count());
}

void Metrics::add_source(std::function<void(std::vector<Reading>&)> read) {
  state_->sources.push_back(std::move(read));
}

std::string Metrics::page() const {
  auto families = state_->registry.Collect();
  std::vector<Reading> readings;
  for (const auto& source : state_->sources) source(readings);
  std::map<std::string, prometheus::MetricFamily> read;
  for (const auto& reading : readings) {
    auto& family = read[reading.name];
    family.name = reading.name;
    family.help = reading.help;
    family.type = reading.counter ? prometheus::MetricType::Counter : prometheus::MetricType::Gauge;
    prometheus::ClientMetric metric;
    if (!reading.label.empty()) metric.label.push_back({reading.label, reading.label_value});
    (reading.counter ? metric.counter.value : metric.gauge.value) = reading.value;
    family.metric.push_back(std::move(metric));
  }
  for (auto& [name, family] : read) families.push_back(std::move(family));
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace turnpike::telemetry
