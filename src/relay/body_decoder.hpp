// Takes the framing off the body of a node's answer (RFC 9112, section 6 and 7.1). Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace turnpike::relay {

class BodyDecoder {
 public:
  // `max_line_bytes`: of a chunk's size with its extensions, and of all trailers together.
  static BodyDecoder of_chunks(std::size_t max_line_bytes) { return {Phase::size, 0, max_line_bytes}; }
  static BodyDecoder of_length(std::uint64_t bytes) { return {bytes > 0 ? Phase::data : Phase::done, bytes, 0}; }
  static BodyDecoder until_the_end() { return {Phase::rest, 0, 0}; }

  // Decodes as far as it goes and writes the body's bytes to `to`, which is `bytes` itself or lies before it. What was
  // not used has to be there again, with more behind it, at the next call.
  struct Step {
    std::size_t used;
    std::size_t written;
  };
  Step decode(std::string_view bytes, char* to);

  // The connection ended.
  void end();

  [[nodiscard]] bool done() const { return phase_ == Phase::done; }
  // The framing is malformed, or the connection ended within it.
  [[nodiscard]] bool broken() const { return phase_ == Phase::broken; }

 private:
  enum class Phase : std::uint8_t { size, data, next_size, trailers, rest, done, broken };
  BodyDecoder(Phase phase, std::uint64_t left, std::size_t max_line_bytes)
      : left_(left), max_line_bytes_(max_line_bytes), chunked_(phase == Phase::size), phase_(phase) {}

  // What is between two pieces of data. 0: more bytes are needed, or it is broken.
  std::size_t read_size(std::string_view bytes);
  [[nodiscard]] std::size_t read_plain_size(std::string_view bytes, std::uint64_t& size) const;
  void decode_whole_chunks(std::string_view bytes, char* to, Step& step);
  void begin_chunk(std::uint64_t size);
  std::size_t read_trailers(std::string_view bytes);
  std::size_t need_more(std::string_view bytes);
  std::size_t fail();

  std::uint64_t left_;  // of the current chunk, or of the body
  std::size_t max_line_bytes_;
  bool chunked_;
  Phase phase_;
};

}  // namespace turnpike::relay
