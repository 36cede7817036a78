#include "turnpike/relay/sse_splitter.hpp"

#include <cstring>

#include "turnpike/scan/scan.hpp"

namespace turnpike::relay {

SseSplitter::SseSplitter(std::size_t max_event_bytes) : buffer_(2048), max_event_bytes_(max_event_bytes) {}

void SseSplitter::expect(std::size_t bytes) {
  buffer_.consume(taken_);
  line_at_ -= taken_;
  searched_ -= taken_;
  data_at_ -= data_lines_ > 0 ? taken_ : 0;
  taken_ = 0;
  if (buffer_.room() < bytes) buffer_.make_room(bytes);
}

void SseSplitter::append(std::string_view bytes) {
  expect(bytes.size());
  std::memcpy(buffer_.tail().data(), bytes.data(), bytes.size());
  buffer_.commit(bytes.size());
}

void SseSplitter::line(std::string_view text) {
  if (!text.starts_with("data")) return;  // comments, and fields that chat streams do not use
  text.remove_prefix(4);
  if (text.starts_with(':')) {
    text.remove_prefix(text.starts_with(": ") ? 2 : 1);
  } else if (!text.empty()) {
    return;
  }
  if (++data_lines_ == 1) {
    data_at_ = static_cast<std::size_t>(text.data() - buffer_.data());
    data_size_ = text.size();
    return;
  }
  if (data_lines_ == 2) joined_.assign(buffer_.data() + data_at_, data_size_);
  joined_.append("\n").append(text);
}

std::optional<std::string_view> SseSplitter::next() {
  const std::string_view all = buffer_.unread();
  while (!oversize_) {
    const auto* end = static_cast<const char*>(std::memchr(all.data() + searched_, '\n', all.size() - searched_));
    if (end == nullptr) {
      searched_ = all.size();
      oversize_ = all.size() - taken_ > max_event_bytes_;
      return std::nullopt;
    }
    std::string_view text = all.substr(line_at_, static_cast<std::size_t>(end - all.data()) - line_at_);
    line_at_ = searched_ = static_cast<std::size_t>(end - all.data()) + 1;
    if (text.ends_with('\r')) text.remove_suffix(1);
    if (!text.empty()) {
      line(text);
      oversize_ = line_at_ - taken_ > max_event_bytes_;
      continue;
    }
    taken_ = line_at_;
    if (data_lines_ == 0) continue;
    const bool joined = data_lines_ > 1;
    data_lines_ = 0;
    if (!joined) return all.substr(data_at_, data_size_);
    const auto size = joined_.size();
    joined_.resize(size + scan::kPadding);
    return std::string_view(joined_).substr(0, size);
  }
  return std::nullopt;
}

}  // namespace turnpike::relay
