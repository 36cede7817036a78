// Every wait has a deadline. A coarse timer wheel: arming one costs two stores, so a deadline can move with every byte.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstddef>
#include <vector>

#include "turnpike/base/clock.hpp"

namespace turnpike {

class Deadlines;

// One deadline of one owner. Fires at most `Deadlines::kTick` late, never early. Loop thread only; must not outlive its
// wheel.
class Deadline {
 public:
  using Fire = void (*)(void* owner);
  Deadline(Deadlines& wheel, Fire fire, void* owner) : wheel_(wheel), fire_(fire), owner_(owner) {}
  ~Deadline() { unlink(); }
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;

  void arm(std::chrono::nanoseconds from_now);
  void arm_at(Instant due);
  void disarm() { due_ = Instant::max(); }
  [[nodiscard]] bool armed() const { return due_ != Instant::max(); }

 private:
  friend class Deadlines;
  void unlink();
  Deadlines& wheel_;
  Fire fire_;
  void* owner_;
  Instant due_ = Instant::max();
  Instant visit_ = Instant::max();  // when the wheel looks at this entry next; max: it is in no slot
  Deadline* next_ = nullptr;
  Deadline** back_ = nullptr;
};

class Deadlines {
 public:
  static constexpr std::chrono::milliseconds kTick{20};

  Deadlines(boost::asio::any_io_executor executor, const Clock& clock);
  Deadlines(const Deadlines&) = delete;
  Deadlines& operator=(const Deadlines&) = delete;

  // Fires all that is due at `now`. The wheel calls it itself; a test with a held clock calls it by hand.
  void advance(Instant now);

  [[nodiscard]] const Clock& clock() const { return clock_; }

 private:
  friend class Deadline;
  static constexpr std::size_t kSlots = 1024;  // a turn of the wheel: 20 s; what is due later is visited once a turn
  void link(Deadline& entry);
  void schedule_tick();
  static std::int64_t tick_of(Instant at) { return at.time_since_epoch() / kTick; }

  const Clock& clock_;
  boost::asio::steady_timer timer_;
  std::vector<Deadline*> slots_;
  std::int64_t current_;  // the last tick that was handled
  std::size_t linked_ = 0;
  bool ticking_ = false;
};

}  // namespace turnpike
