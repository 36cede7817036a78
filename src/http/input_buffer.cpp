#include "turnpike/http/input_buffer.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <utility>

#include "turnpike/http/request.hpp"

namespace turnpike::http {

InputBuffer::InputBuffer(std::size_t initial_bytes)
    : initial_(std::max(initial_bytes, 4 * kBodyPadding)),
      capacity_(initial_),
      bytes_(std::make_unique_for_overwrite<char[]>(capacity_)) {
  // The padding is read before anything was written there.
  std::memset(bytes_.get() + capacity_ - kBodyPadding, 0, kBodyPadding);
}

std::size_t InputBuffer::room() const {
  return capacity_ - kBodyPadding - end_;
}

void InputBuffer::consume(std::size_t bytes) {
  assert(bytes <= size());
  begin_ += bytes;
}

void InputBuffer::make_room(std::size_t bytes) {
  if (begin_ > 0) {
    std::memmove(bytes_.get(), bytes_.get() + begin_, size());
    end_ -= begin_;
    begin_ = 0;
  }
  if (room() >= bytes) return;
  reallocate(std::max(capacity_ * 2, end_ + bytes + kBodyPadding));
}

void InputBuffer::shrink() {
  if (capacity_ > initial_ && size() + kBodyPadding <= initial_ / 2) reallocate(initial_);
}

void InputBuffer::reallocate(std::size_t capacity) {
  auto bytes = std::make_unique_for_overwrite<char[]>(capacity);
  std::memcpy(bytes.get(), bytes_.get() + begin_, size());
  std::memset(bytes.get() + capacity - kBodyPadding, 0, kBodyPadding);
  end_ -= begin_;
  begin_ = 0;
  bytes_ = std::move(bytes);
  capacity_ = capacity;
}

}  // namespace turnpike::http
