#include "turnpike/base/deadlines.hpp"

#include <algorithm>
#include <boost/system/error_code.hpp>
#include <utility>

namespace turnpike {

void Deadline::arm(std::chrono::nanoseconds from_now) {
  arm_at(wheel_.clock().now() + from_now);
}

void Deadline::arm_at(Instant due) {
  due_ = due;
  // A deadline that moved later is found at its old place and carried on from there.
  if (visit_ <= due_) return;
  unlink();
  wheel_.link(*this);
}

void Deadline::unlink() {
  if (back_ == nullptr) return;
  *back_ = next_;
  if (next_ != nullptr) next_->back_ = back_;
  next_ = nullptr;
  back_ = nullptr;
  visit_ = Instant::max();
  --wheel_.linked_;
}

Deadlines::Deadlines(boost::asio::any_io_executor executor, const Clock& clock)
    : clock_(clock), timer_(executor), slots_(kSlots), current_(tick_of(clock.now())) {}

void Deadlines::link(Deadline& entry) {
  if (linked_ == 0) current_ = std::max(current_, tick_of(clock_.now()));
  // The tick after the one that holds `due`: late by at most one tick, never early.
  const std::int64_t tick = std::clamp(tick_of(entry.due_) + 1, current_ + 1, current_ + std::int64_t{kSlots});
  auto*& head = slots_[static_cast<std::size_t>(tick) % kSlots];
  entry.visit_ = Instant(tick * std::chrono::duration_cast<Instant::duration>(kTick));
  entry.next_ = head;
  entry.back_ = &head;
  if (head != nullptr) head->back_ = &entry.next_;
  head = &entry;
  ++linked_;
  schedule_tick();
}

void Deadlines::advance(Instant now) {
  const std::int64_t last = tick_of(now);
  // More than a turn behind, every slot is visited once.
  current_ = std::max(current_, last - std::int64_t{kSlots});
  while (current_ < last) {
    ++current_;
    // Taken off the wheel first: what fires may arm, disarm or destroy any deadline, its neighbours here included.
    Deadline* due = nullptr;
    auto*& head = slots_[static_cast<std::size_t>(current_) % kSlots];
    std::swap(due, head);
    if (due != nullptr) due->back_ = &due;
    while (due != nullptr) {
      Deadline& entry = *due;
      entry.unlink();
      if (entry.due_ == Instant::max()) continue;
      if (entry.due_ > now) {
        link(entry);
        continue;
      }
      entry.due_ = Instant::max();
      entry.fire_(entry.owner_);
    }
  }
}

void Deadlines::schedule_tick() {
  if (ticking_) return;
  ticking_ = true;
  timer_.expires_after(kTick);
  timer_.async_wait([this](boost::system::error_code error) {
    if (error) return;
    ticking_ = false;
    advance(clock_.now());
    if (linked_ > 0) schedule_tick();
  });
}

}  // namespace turnpike
