// Edits as splices: what a node is sent, and what a client gets of a node's JSON. Bytes that are not edited are the
// sender's own. Pure.
#pragma once

#include <boost/container/static_vector.hpp>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "turnpike/relay/chunk_shapes.hpp"
#include "turnpike/scan/scan.hpp"

namespace turnpike::relay {

// What is done to a request on its way to a node.
struct RequestEdits {
  std::string_view defaults;                // members to add, as `"temperature":0.7`, comma-separated; may be empty
  std::optional<std::uint64_t> max_tokens;  // to add, where the request names none
  bool ask_for_usage = false;               // stream_options.include_usage
  std::string_view node_model;              // the node's name of the model, where it is another
};

// The rest of an answer, asked of another node.
struct Continuation {
  std::string_view said;      // the text so far, as it stands between the quotes of a JSON string
  std::uint64_t tokens = 0;   // how many tokens that was
  bool engine_flags = false;  // the engine takes continue_final_message
};

// A body in pieces: views into the original and into the texts this owns.
class EditedBody {
 public:
  EditedBody(std::string_view body, const scan::RequestScan& scan, const RequestEdits& edits,
             const Continuation* continuation);
  EditedBody(const EditedBody&) = delete;
  EditedBody& operator=(const EditedBody&) = delete;
  // At most kMostPieces.
  [[nodiscard]] std::span<const std::string_view> pieces() const { return pieces_; }
  static constexpr std::size_t kMostPieces = 13;  // six edits, and what lies around them
  [[nodiscard]] std::size_t size() const;

 private:
  std::string inserts_;
  boost::container::static_vector<std::string_view, kMostPieces> pieces_;
};

// `token` is a span that scan found, or one that only says where a container begins.
[[nodiscard]] scan::Span whole(std::string_view json, scan::Span container);

// Appends `json` with the gateway's id and model in place of the node's (added where missing).
// `hide_usage`: a usage object becomes null. `metadata`: replaces or adds the member; empty: untouched.
void append_answer(std::string& out, std::string_view json, const scan::AnswerScan& scan, std::string_view id_json,
                   std::string_view model_json, bool hide_usage, std::string_view metadata);

// Rewrites the chunks of one stream. Chunks of one stream are alike but for their text: once one was read in full,
// those that differ from it in nothing but the text are recognised by comparing bytes.
class ChunkRewriter {
 public:
  // The JSON strings, with their quotes, that take the place of the node's; they must outlive this.
  ChunkRewriter(scan::Scanner& scanner, std::string_view id_json, std::string_view model_json, bool hide_usage);

  // What the chunks of the node that answers now look like, to be used and added to; it must outlive this.
  void use(ChunkShapes& shapes) {
    shapes_ = &shapes;
    expected_ = 0;
  }

  enum class Kind : std::uint8_t { chunk, usage_only, error, bad };
  // Appends `data: …` and an empty line to `out` when it is a chunk, and the JSON alone when it is nothing but usage.
  // `data` has scan::kPadding bytes behind it. What was found is in scan() until the next call.
  Kind append(std::string& out, std::string_view data);

  // Takes the events at the head of `stream` that are like one that append() has read in full but for their text, and
  // within `max_event_bytes`, and writes them to `out`; their texts to `said` too, unless it is null. The last one's is
  // in text() then. Faster by far.
  struct Alike {
    std::size_t events = 0;
    std::size_t text_bytes = 0;
  };
  Alike append_alike(std::string& out, std::string_view& stream, std::size_t max_event_bytes,
                     std::string* said = nullptr);

  // Takes one event, if it is like one of an earlier stream but for id, time, and text or counts. What full reading
  // would have found is in scan(), places apart. nullopt: nothing was done.
  std::optional<Kind> append_known(std::string& out, std::string_view& stream, std::size_t max_event_bytes);
  [[nodiscard]] const scan::AnswerScan& scan() const { return scan_; }
  // The chunk's text as it stands between the quotes; empty when it has none, or more than one.
  [[nodiscard]] std::string_view text() const { return text_; }

 private:
  // What stands between the texts of two events that are alike: the end of one, and the next one's beginning.
  struct Seam {
    std::string bytes;
    std::size_t tail_size = 0;
    // Of an event's data. Takes no memory where it has enough.
    void assign(std::string_view before_text, std::string_view behind_text);
    [[nodiscard]] std::string_view tail() const { return std::string_view(bytes).substr(0, tail_size); }
    [[nodiscard]] std::string_view head() const { return std::string_view(bytes).substr(tail_size); }
  };
  // Where alike events are read from and written to.
  struct Passage {
    std::string_view rest;
    char* out = nullptr;
    char* said = nullptr;  // null: texts are not kept
    char* said_end = nullptr;
    std::size_t too_long = 0;  // the text that found no room there; 0: each did
  };
  void take_alike(Passage& passage, std::size_t max_event_bytes, Alike& alike) noexcept;
  void learn(std::string_view data, std::string_view written);
  [[nodiscard]] bool is_worth_keeping() const;

  scan::Scanner& scanner_;
  std::string_view id_json_;
  std::string_view model_json_;
  bool hide_usage_;
  ChunkShapes* shapes_ = nullptr;
  std::size_t expected_ = 0;  // the next chunk's shape
  bool begun_ = false;
  scan::AnswerScan scan_;
  std::string_view text_;
  Seam theirs_;  // of the node's events; empty until one was read
  Seam ours_;    // the same as it is written
};

}  // namespace turnpike::relay
