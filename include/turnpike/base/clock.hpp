// Time comes in through Clock, so that rules can be tested with a held one.
#pragma once

#include <chrono>
#include <cstdint>

namespace turnpike {

using Instant = std::chrono::steady_clock::time_point;              // for durations and deadlines
using WallTime = std::chrono::sys_time<std::chrono::microseconds>;  // for what is written down

class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual Instant now() const = 0;
  [[nodiscard]] virtual WallTime wall() const = 0;
  // Whether or not time stands still.
  [[nodiscard]] virtual Instant exactly_now() const { return now(); }
  // Time stands still from hold() to release(), which may be nested: see Moment.
  virtual void hold() const {}
  virtual void release() const {}
};

// While the loop handles one event, all of it happens at one moment: a request asks for the time some twenty times.
// Not over a wait.
class Moment {
 public:
  explicit Moment(const Clock& clock) : clock_(clock) { clock_.hold(); }
  ~Moment() { clock_.release(); }
  Moment(const Moment&) = delete;
  Moment& operator=(const Moment&) = delete;

 private:
  const Clock& clock_;
};

// One thread's alone, where moments are held.
class SystemClock final : public Clock {
 public:
  [[nodiscard]] Instant now() const override {
    if (moments_ == 0) return exactly_now();
    if (now_ == Instant()) now_ = exactly_now();
    return now_;
  }
  [[nodiscard]] Instant exactly_now() const override { return std::chrono::steady_clock::now(); }
  [[nodiscard]] WallTime wall() const override {
    if (moments_ == 0) return exact_wall();
    if (wall_ == WallTime()) wall_ = exact_wall();
    return wall_;
  }
  void hold() const override {
    if (moments_++ > 0) return;
    now_ = {};
    wall_ = {};
  }
  void release() const override { --moments_; }

 private:
  static WallTime exact_wall() {
    return std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now());
  }
  mutable unsigned moments_ = 0;
  mutable Instant now_{};
  mutable WallTime wall_{};
};

// A clock that stands still until told otherwise. For tests.
class HeldClock final : public Clock {
 public:
  [[nodiscard]] Instant now() const override { return now_; }
  [[nodiscard]] WallTime wall() const override { return wall_; }
  void advance(std::chrono::nanoseconds by) {
    now_ += std::chrono::duration_cast<Instant::duration>(by);
    wall_ += std::chrono::duration_cast<std::chrono::microseconds>(by);
  }

 private:
  Instant now_{std::chrono::hours(1)};
  WallTime wall_{std::chrono::seconds(1'700'000'000)};
};

// Unix time in whole seconds, as the OpenAI API writes `created`.
inline std::int64_t unix_seconds(WallTime at) {
  return std::chrono::floor<std::chrono::seconds>(at).time_since_epoch().count();
}

}  // namespace turnpike
