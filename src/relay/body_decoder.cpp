#include "body_decoder.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace turnpike::relay {
namespace {

constexpr std::string_view kLineEnd = "\r\n";

// The value of a hexadecimal digit; of any other character, more than 15.
constexpr auto kHex = [] {
  std::array<std::uint8_t, 256> values{};
  values.fill(16);
  for (std::uint8_t i = 0; i < 10; ++i) values.at('0' + i) = i;
  for (std::uint8_t i = 0; i < 6; ++i) values.at('a' + i) = values.at('A' + i) = 10 + i;
  return values;
}();

}  // namespace

BodyDecoder::Step BodyDecoder::decode(std::string_view bytes, char* to) {
  Step step{.used = 0, .written = 0};
  while (step.used < bytes.size() && phase_ != Phase::done && phase_ != Phase::broken) {
    if (phase_ == Phase::size || phase_ == Phase::next_size) decode_whole_chunks(bytes, to, step);
    const std::string_view rest = bytes.substr(step.used);
    if (phase_ == Phase::data || phase_ == Phase::rest) {
      const auto count = phase_ == Phase::rest ? rest.size() : std::min<std::uint64_t>(left_, rest.size());
      if (to + step.written != rest.data()) std::memmove(to + step.written, rest.data(), count);
      step.used += count;
      step.written += count;
      if (phase_ == Phase::rest) continue;
      left_ -= count;
      if (left_ == 0) phase_ = chunked_ ? Phase::next_size : Phase::done;
      continue;
    }
    const auto count = phase_ == Phase::trailers ? read_trailers(rest) : read_size(rest);
    if (count == 0) break;
    step.used += count;
  }
  return step;
}

// Chunks that are all there, their sizes written plainly: most of a stream. What is behind them is any other case.
void BodyDecoder::decode_whole_chunks(std::string_view bytes, char* to, Step& step) {
  while (true) {
    const std::string_view rest = bytes.substr(step.used);
    std::uint64_t size = 0;
    const auto data_at = read_plain_size(rest, size);
    if (data_at == 0 || size == 0 || size > rest.size() - data_at) return;
    std::memmove(to + step.written, rest.data() + data_at, size);
    step.used += data_at + size;
    step.written += size;
    phase_ = Phase::next_size;
  }
}

void BodyDecoder::end() {
  if (phase_ == Phase::rest) phase_ = Phase::done;
  if (phase_ != Phase::done) phase_ = Phase::broken;
}

std::size_t BodyDecoder::fail() {
  phase_ = Phase::broken;
  return 0;
}

std::size_t BodyDecoder::need_more(std::string_view bytes) {
  return bytes.size() > max_line_bytes_ ? fail() : 0;
}

// The line as nearly every node writes it: a few digits, no extension. 0: it may be anything else.
std::size_t BodyDecoder::read_plain_size(std::string_view bytes, std::uint64_t& size) const {
  constexpr std::size_t kMostDigits = 8;
  constexpr std::size_t kMostBytes = kMostDigits + 4;
  if (bytes.size() < kMostBytes || max_line_bytes_ < kMostBytes) return 0;
  const auto line_ends_at = [bytes](std::size_t at) { return bytes[at] == '\r' && bytes[at + 1] == '\n'; };
  const std::size_t digits_at = phase_ == Phase::next_size ? 2 : 0;
  if (digits_at > 0 && !line_ends_at(0)) return 0;
  auto at = digits_at;
  for (; at < digits_at + kMostDigits; ++at) {
    const auto digit = kHex[static_cast<unsigned char>(bytes[at])];
    if (digit > 15) break;
    size = size << 4U | digit;
  }
  return at == digits_at || !line_ends_at(at) ? 0 : at + 2;
}

void BodyDecoder::begin_chunk(std::uint64_t size) {
  left_ = size;
  phase_ = size > 0 ? Phase::data : Phase::trailers;
}

// `chunk-size [ chunk-ext ] CRLF`, after the first chunk behind the CRLF that ends the one before.
std::size_t BodyDecoder::read_size(std::string_view bytes) {
  std::uint64_t size = 0;
  if (const auto plain = read_plain_size(bytes, size); plain > 0) {
    begin_chunk(size);
    return plain;
  }
  size = 0;
  std::size_t at = 0;
  if (phase_ == Phase::next_size) {
    const auto before = bytes.substr(0, kLineEnd.size());
    if (!kLineEnd.starts_with(before)) return fail();
    if (before.size() < kLineEnd.size()) return 0;
    at = kLineEnd.size();
  }
  const auto digits_at = at;
  for (; at < bytes.size(); ++at) {
    const auto digit = kHex[static_cast<unsigned char>(bytes[at])];
    if (digit > 15) break;
    if (size >> 60U != 0) return fail();
    size = size << 4U | digit;
  }
  if (at == bytes.size()) return need_more(bytes);
  if (at == digits_at) return fail();
  if (std::string_view(" \t;\r").find(bytes[at]) == std::string_view::npos) return fail();
  if (bytes[at] != '\r') {
    // Extensions mean nothing here; a line end on its own is not part of one.
    at = bytes.find_first_of("\r\n", at);
    if (at == std::string_view::npos) return need_more(bytes);
  }
  const auto line_end = bytes.substr(at, kLineEnd.size());
  if (!kLineEnd.starts_with(line_end)) return fail();
  if (line_end.size() < kLineEnd.size()) return need_more(bytes);
  at += kLineEnd.size();
  if (at > max_line_bytes_) return fail();
  begin_chunk(size);
  return at;
}

// Fields nobody reads, and the empty line behind them.
std::size_t BodyDecoder::read_trailers(std::string_view bytes) {
  std::size_t at = 0;
  if (!bytes.starts_with(kLineEnd)) {
    at = bytes.find("\r\n\r\n");
    if (at == std::string_view::npos) return need_more(bytes);
    at += kLineEnd.size();
  }
  if (at + kLineEnd.size() > max_line_bytes_) return fail();
  phase_ = Phase::done;
  return at + kLineEnd.size();
}

}  // namespace turnpike::relay
