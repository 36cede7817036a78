// What the simulated node does with a request: how long, how fast, and how badly. One table of keys serves the command
// line (--set key=value), POST /sim/behaviour, and a directive inside the prompt: [[sim key=value key=value]].
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace turnpike::simnode {

struct Behaviour {
  static constexpr std::int64_t never = -1;

  std::int64_t tokens = 16;
  std::int64_t delay_ms = 0;
  std::int64_t tokens_per_second = 0;
  std::int64_t interval_ms = 0;
  std::int64_t endless = 0;
  std::int64_t flood = 0;
  std::int64_t ignore_max_tokens = 0;
  std::string text;

  std::int64_t die_before = 0;
  std::int64_t die_after = never;
  std::string die = "rst";
  std::int64_t stall_before = 0;
  std::int64_t stall_after = never;
  std::int64_t error_event = never;
  std::int64_t bad_json_event = never;
  std::int64_t bad_chunk = never;
  std::int64_t no_done = 0;
  std::int64_t truncate = 0;

  std::int64_t status = 0;
  std::int64_t retry_after = never;
  std::int64_t garbage = 0;
  std::int64_t wrong_object = 0;
  std::int64_t oversize_line = 0;
  std::int64_t endless_head = 0;
  std::string content_type;
  std::string usage = "exact";
  std::int64_t lie_prompt = never;
  std::int64_t tool_call = 0;
  std::string continuation = "native";
  std::int64_t strict_models = 0;
  std::int64_t health = 200;

  std::string framing = "chunked";
  std::int64_t split = 0;
  std::int64_t split_delay_us = 0;
  std::int64_t one_write = 0;
  std::int64_t merge = 1;
  std::int64_t comments = 0;
  std::int64_t crlf = 0;
  std::int64_t hangup = 0;

  // Sets one key. Returns nullopt, or a sentence that says what is wrong with it.
  std::optional<std::string> set(std::string_view key, std::string_view value);

  // Applies every [[sim ...]] directive in `text`, in order. Unknown keys are a fault, as in set().
  std::optional<std::string> apply_directives(std::string_view text);
};

// The keys with their meaning, a line each: the program's --help prints it.
std::string behaviour_reference();

}  // namespace turnpike::simnode
