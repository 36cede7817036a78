#include "turnpike/relay/sse_splitter.hpp"

#include <cstring>
#include <utility>

#include "turnpike/scan/scan.hpp"

namespace turnpike::relay {

std::optional<std::size_t> SseSplitter::between_events() const {
  if (oversize_ || searched_ != taken_) return std::nullopt;
  return taken_;
}

std::size_t SseSplitter::drop() {
  line_at_ -= taken_;
  searched_ -= taken_;
  data_at_ -= data_lines_ > 0 ? taken_ : 0;
  return std::exchange(taken_, 0);
}

// A line of an event, which stands `at` in the stream.
void SseSplitter::line(std::string_view text, std::size_t at, std::string_view stream) {
  if (!text.starts_with("data")) return;  // comments, and fields that chat streams do not use
  std::size_t name = 4;
  if (text.substr(name).starts_with(':')) {
    name += text.substr(name).starts_with(": ") ? 2 : 1;
  } else if (text.size() > name) {
    return;
  }
  text.remove_prefix(name);
  if (++data_lines_ == 1) {
    data_at_ = at + name;
    data_size_ = text.size();
    return;
  }
  if (data_lines_ == 2) joined_.assign(stream.substr(data_at_, data_size_));
  joined_.append("\n").append(text);
}

std::optional<std::string_view> SseSplitter::next(std::string_view stream) {
  while (!oversize_) {
    const auto end = stream.find('\n', searched_);
    if (end == std::string_view::npos) {
      searched_ = stream.size();
      oversize_ = stream.size() - taken_ > max_event_bytes_;
      return std::nullopt;
    }
    const auto at = line_at_;
    std::string_view text = stream.substr(at, end - at);
    line_at_ = searched_ = end + 1;
    if (text.ends_with('\r')) text.remove_suffix(1);
    if (!text.empty()) {
      line(text, at, stream);
      oversize_ = line_at_ - taken_ > max_event_bytes_;
      continue;
    }
    taken_ = line_at_;
    if (data_lines_ == 0) continue;
    const bool joined = data_lines_ > 1;
    data_lines_ = 0;
    if (!joined) return stream.substr(data_at_, data_size_);
    const auto size = joined_.size();
    joined_.resize(size + scan::kPadding);
    return std::string_view(joined_).substr(0, size);
  }
  return std::nullopt;
}

}  // namespace turnpike::relay
