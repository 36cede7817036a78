// Server-sent events out of a stream of bytes, cut anywhere (WHATWG HTML, 9.2.6; lines end in LF or CRLF). Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "turnpike/http/input_buffer.hpp"

namespace turnpike::relay {

class SseSplitter {
 public:
  explicit SseSplitter(std::size_t max_event_bytes);

  // Makes room for what is about to come, at once rather than by and by. Views from next() end here.
  void expect(std::size_t bytes);

  // Takes bytes in. Views from next() end here.
  void append(std::string_view bytes);

  // The data of the next whole event (its data lines joined by LF), with scan::kPadding readable bytes behind it;
  // nullopt when more bytes are needed. The view is good until the next call. Events without data are passed over.
  std::optional<std::string_view> next();

  // An event grew past the limit: nothing more comes out.
  [[nodiscard]] bool oversize() const { return oversize_; }
  // Bytes of an unfinished event.
  [[nodiscard]] std::size_t pending() const { return buffer_.size() - taken_; }

 private:
  void line(std::string_view text);

  http::InputBuffer buffer_;
  std::size_t max_event_bytes_;
  std::size_t taken_ = 0;     // bytes of `buffer_` behind events that were handed out
  std::size_t line_at_ = 0;   // where the current line begins
  std::size_t searched_ = 0;  // no line end before here
  std::size_t data_at_ = 0;
  std::size_t data_size_ = 0;
  std::size_t data_lines_ = 0;
  std::string joined_;
  bool oversize_ = false;
};

}  // namespace turnpike::relay
