// The JSON bodies of the OpenAI API, as a node writes them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "prompt.hpp"

namespace turnpike::simnode {

struct Usage {
  std::int64_t prompt_tokens = 0;
  std::int64_t completion_tokens = 0;
};

// What the bodies of one answer have in common.
struct AnswerHead {
  bool chat = true;
  std::string id;
  std::int64_t created = 0;  // Unix seconds
  std::string model;
};

struct Choice {
  std::string text;
  std::string_view finish_reason;
  bool tool_call = false;
};

std::string completion_body(const AnswerHead& head, const std::vector<Choice>& choices, std::optional<Usage> usage);

// Stream chunks: the role (chat only), a piece of text, the end of a choice, the usage.
std::string role_chunk(const AnswerHead& head, std::int64_t choice);
std::string text_chunk(const AnswerHead& head, std::int64_t choice, std::string_view text);
std::string tool_chunk(const AnswerHead& head, std::int64_t choice);
std::string finish_chunk(const AnswerHead& head, std::int64_t choice, std::string_view reason);
std::string usage_chunk(const AnswerHead& head, Usage usage);

std::string embedding_body(const EmbeddingPrompt& prompt);
std::string models_body(const std::vector<std::string>& models, std::int64_t created);
std::string error_body(int status, std::string_view message);

}  // namespace turnpike::simnode
