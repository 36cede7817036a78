// Server-sent events out of a stream of bytes, cut anywhere (WHATWG HTML, 9.2.6; lines end in LF or CRLF). Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace turnpike::relay {

// Keeps no bytes but its place among the caller's.
class SseSplitter {
 public:
  explicit SseSplitter(std::size_t max_event_bytes) : max_event_bytes_(max_event_bytes) {}

  // The data of the next whole event of `stream` (its data lines joined by LF), with scan::kPadding readable bytes
  // behind it where `stream` has them; nullopt when more bytes are needed. Events without data are passed over.
  // `stream` must begin with the same byte at each call, until drop(). The view is good until the next call.
  std::optional<std::string_view> next(std::string_view stream);

  // Bytes of the stream behind which the next event begins, and nothing of it was looked at; nullopt within an event.
  [[nodiscard]] std::optional<std::size_t> between_events() const;
  // Passes over bytes that between_events() is in front of: whole events that the caller has read itself.
  void skip(std::size_t bytes) { taken_ = line_at_ = searched_ = taken_ + bytes; }

  // How many bytes of the stream are behind it: from here on, the stream begins after them.
  std::size_t drop();

  // An event grew past the limit: nothing more comes out.
  [[nodiscard]] bool oversize() const { return oversize_; }

 private:
  void line(std::string_view text, std::size_t at, std::string_view stream);

  std::size_t max_event_bytes_;
  std::size_t taken_ = 0;     // bytes of the stream behind events that were handed out
  std::size_t line_at_ = 0;   // where the current line begins
  std::size_t searched_ = 0;  // no line end before here
  std::size_t data_at_ = 0;
  std::size_t data_size_ = 0;
  std::size_t data_lines_ = 0;
  std::string joined_;
  bool oversize_ = false;
};

}  // namespace turnpike::relay
