#include "behaviour.hpp"

#include <charconv>
#include <variant>

namespace turnpike::simnode {
namespace {

using Number = std::int64_t Behaviour::*;
using Text = std::string Behaviour::*;

struct Key {
  std::string_view name;
  std::variant<Number, Text> member;
  std::string_view meaning;
};

using B = Behaviour;
const Key keys[] = {
    {"tokens", &B::tokens, "length of the answer in tokens; max_tokens bounds it (finish_reason length)"},
    {"delay_ms", &B::delay_ms, "wait before the first byte of the answer"},
    {"tokens_per_second", &B::tokens_per_second, "speed; 0: as fast as it goes"},
    {"interval_ms", &B::interval_ms, "wait between tokens; goes before tokens_per_second"},
    {"endless", &B::endless, "1: never finishes by itself (max_tokens still ends it)"},
    {"flood", &B::flood, "1: endless, without waits and in large writes, whatever max_tokens says"},
    {"ignore_max_tokens", &B::ignore_max_tokens, "1: max_tokens does not bound the answer"},
    {"text", &B::text, "answers this, percent-encoded, instead of words; a token ends before each space"},
    {"die_before", &B::die_before, "1: closes without answering"},
    {"die_after", &B::die_after, "closes after N tokens (no stream: after half of the body, when N <= tokens)"},
    {"die", &B::die, "how it closes: rst or fin"},
    {"stall_before", &B::stall_before, "1: never answers, keeps the connection"},
    {"stall_after", &B::stall_after, "goes silent after N tokens (no stream: after half of the body)"},
    {"error_event", &B::error_event, "sends an error event after N tokens and ends the body cleanly"},
    {"bad_json_event", &B::bad_json_event, "sends an event that is not JSON after N tokens, then goes on"},
    {"bad_chunk", &B::bad_chunk, "breaks the chunked framing after N tokens and keeps the connection"},
    {"no_done", &B::no_done, "1: the stream ends cleanly without [DONE]"},
    {"truncate", &B::truncate, "1: closes cleanly in the middle of a body whose length it announced"},
    {"status", &B::status, "answers this status with an OpenAI error body"},
    {"retry_after", &B::retry_after, "Retry-After of such an answer, in seconds"},
    {"garbage", &B::garbage, "1: a 200 whose body is not JSON (a stream: not SSE either)"},
    {"wrong_object", &B::wrong_object, "1: valid JSON of another shape"},
    {"oversize_line", &B::oversize_line,
     "an SSE line of N bytes after the first token (no stream: N bytes of content)"},
    {"endless_head", &B::endless_head, "1: header fields for ever, about 1 MB/s, until closed"},
    {"content_type", &B::content_type, "Content-Type of the answer"},
    {"usage", &B::usage, "exact, none, or lie:N to claim N completion tokens"},
    {"lie_prompt", &B::lie_prompt, "claims N prompt tokens"},
    {"tool_call", &B::tool_call, "1: answers a tool call instead of text"},
    {"continuation", &B::continuation, "native: goes on from a final assistant message; restart: ignores it"},
    {"strict_models", &B::strict_models, "1: 404 for a model it does not list"},
    {"health", &B::health, "status of /health and /v1/models"},
    {"framing", &B::framing, "of streams: chunked, or close (the connection's end is the body's)"},
    {"split", &B::split, "writes in pieces of N bytes"},
    {"split_delay_us", &B::split_delay_us, "wait between such pieces"},
    {"one_write", &B::one_write, "1: the whole stream in one write"},
    {"merge", &B::merge, "events a write and HTTP chunk"},
    {"comments", &B::comments, "1: a comment line before each event"},
    {"crlf", &B::crlf, "1: SSE lines end in CR LF"},
    {"hangup", &B::hangup, "1: closes the connection after a whole answer without announcing it"},
};

}  // namespace

std::optional<std::string> Behaviour::set(std::string_view key, std::string_view value) {
  for (const Key& known : keys) {
    if (known.name != key) continue;
    if (const auto* text_member = std::get_if<Text>(&known.member)) {
      this->** text_member = value;
      return std::nullopt;
    }
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (error != std::errc{} || end != value.data() + value.size()) {
      return "simulation key " + std::string(key) + " needs a whole number";
    }
    this->*std::get<Number>(known.member) = number;
    return std::nullopt;
  }
  return "unknown simulation key " + std::string(key);
}

std::optional<std::string> Behaviour::apply_directives(std::string_view in) {
  constexpr std::string_view open = "[[sim ";
  for (std::size_t at = in.find(open); at != std::string_view::npos; at = in.find(open, at)) {
    at += open.size();
    const std::size_t end = in.find("]]", at);
    if (end == std::string_view::npos) return "a [[sim directive has no ]]";
    std::string_view rest = in.substr(at, end - at);
    while (!rest.empty()) {
      const std::string_view pair = rest.substr(0, rest.find(' '));
      rest.remove_prefix(std::min(rest.size(), pair.size() + 1));
      if (pair.empty()) continue;
      const std::size_t equals = pair.find('=');
      const std::string_view value = equals == std::string_view::npos ? "1" : pair.substr(equals + 1);
      if (auto fault = set(pair.substr(0, equals), value)) return fault;
    }
    at = end;
  }
  return std::nullopt;
}

std::string behaviour_reference() {
  std::string out;
  for (const Key& key : keys) {
    out += "  ";
    out += key.name;
    out.append(key.name.size() < 20 ? 20 - key.name.size() : 1, ' ');
    out += key.meaning;
    out += '\n';
  }
  return out;
}

}  // namespace turnpike::simnode
