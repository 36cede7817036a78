// An inference request as the simulated node understands it.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace turnpike::simnode {

struct Prompt {
  bool chat = true;  // else /v1/completions
  std::string model;
  std::string said;    // what the answer follows from (see speech.hpp)
  std::string prefix;  // text of a final assistant message
  bool repeat_prefix = false;
  std::int64_t prompt_tokens = 0;
  std::optional<std::int64_t> max_tokens;
  std::int64_t choices = 1;
  bool stream = false;
  bool include_usage = false;
  std::string sample;  // JSON of the schema that it asks for; empty: it asks for none
};

struct EmbeddingPrompt {
  std::string model;
  std::vector<std::string> inputs;  // token ids are written in decimal, with commas between
  std::int64_t prompt_tokens = 0;
  std::size_t dimensions = 8;
  bool base64 = false;
};

// The fault is a sentence for the client.
std::expected<Prompt, std::string> scan_chat(std::string_view body);
std::expected<Prompt, std::string> scan_completion(std::string_view body);
std::expected<EmbeddingPrompt, std::string> scan_embedding(std::string_view body);

}  // namespace turnpike::simnode
