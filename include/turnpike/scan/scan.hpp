// The few members the gateway reads out of a request or an answer, found in one strict pass over the bytes, without
// building a tree. Edits are splices at the places found here, so what the gateway does not know passes unchanged.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "turnpike/base/error.hpp"

namespace turnpike::scan {

// Bytes that must be readable (not used) behind every text given to a Scanner.
inline constexpr std::size_t kPadding = 64;

// A value's place in the scanned text, quotes and brackets included. Empty: it was not there.
struct Span {
  std::size_t at = 0;
  std::size_t size = 0;
  [[nodiscard]] bool found() const { return size != 0; }
  [[nodiscard]] std::size_t end() const { return at + size; }
};

enum class RequestKind : std::uint8_t { chat, completion, embedding };
enum class ResponseFormat : std::uint8_t { text, json_object, json_schema };

struct RequestScan {
  std::string model;
  bool stream = false;
  bool include_usage = false;
  std::optional<std::uint64_t> max_tokens;  // the larger of max_tokens and max_completion_tokens
  std::uint64_t choices = 1;                // n
  std::uint64_t candidates = 1;             // best_of: how many are written for the choices to be taken from
  std::size_t inputs = 1;                   // texts in `prompt` or `input`, each answered by itself
  std::optional<double> timeout_secs;
  ResponseFormat response_format = ResponseFormat::text;
  std::size_t prompt_bytes = 0;  // of the whole body, image data aside: tools and schemas are prompt too
  std::size_t text_bytes = 0;    // of the messages' text alone, or of `prompt` or `input`
  std::size_t messages = 0;      // or inputs
  std::size_t images = 0;
  std::uint64_t prefix_hash = 0;  // of what a conversation's requests share: model and first messages
  bool continuable = false;       // plain text, one choice, no tools, no structured output, no logprobs
  Span model_span;
  Span stream_options;        // the value, an object: only where it begins
  Span stream_options_null;   // the value, where it is null
  Span stream_options_usage;  // the value of include_usage in it
  Span messages_span;         // only where the array begins
  Span schema_span;           // response_format.json_schema.schema, only where the object begins
  Span max_tokens_span;
  Span max_completion_tokens_span;
  std::size_t object_end = 0;        // where the closing brace is
  std::vector<std::string> members;  // the names of all top-level members
  [[nodiscard]] bool has(std::string_view member) const;
};

// What a node says it used.
struct UsageScan {
  std::optional<std::uint64_t> prompt_tokens;
  std::optional<std::uint64_t> completion_tokens;
};

// A whole completion, a chunk of one, or an embeddings answer.
struct AnswerScan {
  Span id;
  Span model;
  Span created;
  Span usage;     // an object, only where it begins; a null one is not found
  Span metadata;  // of an object or array only where it begins
  UsageScan counts;
  bool is_error = false;       // has an `error` member that is not null
  bool has_choices = false;    // `choices` is there
  bool has_data = false;       // `data`, an array, is there: embeddings
  std::size_t choices = 0;     // how many
  std::size_t text_bytes = 0;  // UTF-8 bytes of the text that a client gets: content, reasoning, tool arguments
  bool finished = false;       // every choice of it has a finish_reason
  std::size_t finished_choices = 0;
  Span content;  // the only choice's text as a JSON string; not found when there are several texts
  std::size_t object_end = 0;
  [[nodiscard]] bool only_usage() const { return has_choices && choices == 0 && usage.found(); }
};

// Loop thread only; keeps its working memory between calls.
class Scanner {
 public:
  Scanner();
  ~Scanner();
  Scanner(const Scanner&) = delete;
  Scanner& operator=(const Scanner&) = delete;

  // The first fault is an invalid_request whose `param` names the member: `messages[2].role`.
  Result<RequestScan> request(RequestKind kind, std::string_view body);

  // The error says what is wrong with the node's JSON. `answer` is overwritten.
  std::expected<void, std::string> answer(std::string_view json, AnswerScan& answer);

 private:
  struct Parsers;
  std::unique_ptr<Parsers> parsers_;
};

// Where the object or array that begins at `begin` of well-formed JSON ends: one past its closing bracket.
[[nodiscard]] std::size_t end_of_container(std::string_view json, std::size_t begin);

// UTF-8 bytes of a JSON string's value, from the text between its quotes: escapes count as what they stand for.
[[nodiscard]] std::size_t unescaped_bytes(std::string_view between_quotes);
// False when a backslash is not followed by what RFC 8259 section 7 allows.
[[nodiscard]] bool escapes_are_valid(std::string_view between_quotes);

}  // namespace turnpike::scan
