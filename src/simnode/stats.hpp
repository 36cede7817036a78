// What the simulated node has seen, for GET /sim/stats and GET /sim/last.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <vector>

namespace turnpike::simnode {

struct Cancellation {
  std::int64_t request = 0;    // its number, counted from 1
  std::int64_t steady_us = 0;  // CLOCK_MONOTONIC when the end was noticed
  std::int64_t tokens_sent = 0;
  std::string path;
};

struct LastRequest {
  std::string method;
  std::string target;
  std::vector<std::pair<std::string, std::string>> fields;  // in the order and case received
  std::string body;
};

struct Stats {
  static constexpr std::size_t cancellations_kept = 1000;

  std::int64_t requests = 0;  // under /v1, models included
  std::int64_t prompts = 0;   // inference requests
  std::int64_t in_flight = 0;
  std::int64_t in_flight_peak = 0;
  std::int64_t connections = 0;
  std::int64_t connections_total = 0;
  std::int64_t completed = 0;  // inference requests answered to the end, or to the end a behaviour asked for
  std::int64_t cancelled = 0;
  std::int64_t tokens_sent = 0;
  std::deque<Cancellation> cancellations;
  LastRequest last;

  void add(Cancellation cancellation) {
    ++cancelled;
    cancellations.push_back(std::move(cancellation));
    if (cancellations.size() > cancellations_kept) cancellations.pop_front();
  }
};

std::string stats_body(const Stats& stats);
std::string last_body(const LastRequest& last);

}  // namespace turnpike::simnode
