// The bytes a connection has read and not yet used: one contiguous piece that grows to what a message needs, gives back
// what a large one took, and always has kBodyPadding readable bytes behind it. Pure.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

namespace turnpike::http {

class InputBuffer {
 public:
  explicit InputBuffer(std::size_t initial_bytes);

  [[nodiscard]] std::string_view unread() const { return {bytes_.get() + begin_, end_ - begin_}; }
  [[nodiscard]] char* data() { return bytes_.get() + begin_; }
  [[nodiscard]] std::size_t size() const { return end_ - begin_; }
  [[nodiscard]] std::size_t capacity() const { return capacity_; }

  // Where the next read goes. May be empty when full.
  [[nodiscard]] std::span<char> tail() { return {bytes_.get() + end_, room()}; }
  [[nodiscard]] std::size_t room() const;
  void commit(std::size_t bytes) { end_ += bytes; }
  void consume(std::size_t bytes);

  // Moves what is unread to the front and grows so that at least `bytes` fit behind it. Views into the buffer end here.
  void make_room(std::size_t bytes);

  // Back to the initial size when little is left in a large buffer. Views into the buffer end here.
  void shrink();

 private:
  void reallocate(std::size_t capacity);
  std::size_t initial_;
  std::size_t capacity_;
  std::unique_ptr<char[]> bytes_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace turnpike::http
