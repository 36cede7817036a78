// What the chunks of a node's streams look like, learned from some that were read in full. A chunk of a later stream
// that differs from one of them in nothing but its id, its time and its text is recognised by comparing bytes
// (docs/decisions/0005-shapes-of-chunks.md). Pure.
#pragma once

#include <array>
#include <boost/container/static_vector.hpp>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "turnpike/scan/scan.hpp"

namespace turnpike::relay {

inline constexpr auto kPlain = [] {
  std::array<bool, 256> plain{};
  for (std::size_t c = 0x20; c < 0x80; ++c) plain.at(c) = c != '"' && c != '\\';
  return plain;
}();

// Text of these characters alone is whole and well-formed by itself: ASCII without quotes, escapes or control
// characters.
[[nodiscard]] inline bool is_plain(char c) {
  return kPlain[static_cast<unsigned char>(c)];
}

class ChunkShapes {
 public:
  // What takes the place of the node's id and model: JSON strings with their quotes.
  struct Names {
    std::string_view id_json;
    std::string_view model_json;
  };

  // An event that was recognised.
  struct Match {
    std::size_t bytes = 0;      // of the event, the empty line behind it included
    std::size_t text_at = 0;    // in the event, and in what was written for it
    std::size_t text_size = 0;  // 0: it has no text
    std::size_t written_text_at = 0;
  };

  // Recognises the event at the head of `stream`, of `max_event_bytes` at most, and appends to `out` what a client gets
  // in its place; of one with nothing but usage, the JSON alone. Nothing: nothing was done. `expected` is the shape to
  // try first, and then the one behind the match. `scan` becomes what reading it in full would have found, but that the
  // places it names mean nothing.
  std::optional<Match> append(std::string& out, std::string_view stream, std::size_t max_event_bytes, Names names,
                              std::size_t& expected, scan::AnswerScan& scan);

  // Remembers the shape of `data`, an event's data without line ends, which `scan` describes; an old shape goes for it.
  // Does nothing while what was learned before is not recognised again, and where a chunk is no candidate.
  void learn(std::string_view data, const scan::AnswerScan& scan, std::string_view model_json);

 private:
  enum class Hole : std::uint8_t { none, id, time, text, prompt_tokens, completion_tokens, all_tokens };
  static constexpr std::size_t kMostHoles = 5;
  // Bytes that are always the same, as the node sends them and as a client gets them, and what varies behind them.
  struct Part {
    std::size_t theirs = 0;  // how many of them
    std::size_t ours = 0;
    Hole hole = Hole::none;
  };
  struct Shape {
    boost::container::static_vector<Part, kMostHoles + 1> parts;
    std::string theirs;  // the bytes of all parts, one after another: they are read that way
    std::string ours;
    std::string model_json;
    scan::AnswerScan scan;
  };
  using Found = boost::container::static_vector<std::string_view, kMostHoles>;  // what is in the holes
  // What varies, and what is replaced.
  struct Place {
    scan::Span span;
    Hole hole = Hole::none;
    std::size_t quotes = 0;  // 1: the node's quotes stay with the bytes around
  };
  using Places = boost::container::static_vector<Place, kMostHoles + 1>;
  static bool add_counts(std::string_view data, const scan::AnswerScan& scan, Places& places);
  static Shape shape_of(std::string_view data, const Places& places, std::string_view model_json, bool only_usage);
  static std::optional<std::size_t> fit(const Shape& shape, std::string_view stream, Found& found);
  static Match write(const Shape& shape, std::string_view stream, const Found& found, std::string_view id_json,
                     std::string& out, scan::AnswerScan& scan);

  std::vector<Shape> shapes_;
  std::size_t oldest_ = 0;
  std::uint64_t learned_ = 0;
  std::uint64_t recognised_ = 0;
};

}  // namespace turnpike::relay
