// What the simulated node says, so that a test can compute it.
//
// The rule. h = FNV-1a (32 bits) of the bytes of the last user message's text (of /v1/completions: of the prompt), plus
// --seed, plus 7 times the choice's index. Token i is the word number (h + i) mod 64 of the vocabulary in speech.cpp,
// with a space before it unless i is 0. The answer is the first `tokens` tokens (16 unless a behaviour says otherwise).
// Text parts of a message are concatenated; directives are part of the text that is hashed.
//
// A request whose last message is the assistant's goes on from that text: what it says is the answer minus that prefix,
// cut anywhere. A prefix that is not the answer's beginning is followed by a space and the whole answer. As llama.cpp
// does, the prefix is repeated at the head of what it sends unless the request has "continue_final_message":true and
// "add_generation_prompt":false. Usage counts new tokens only.
//
// A request with a schema in its response_format is answered with a value of it (sample.hpp) in place of words.
//
// Usage: prompt_tokens = 4 a message + (bytes of all text + 3) / 4 + 85 an image. Embeddings: component j of a text is
// (FNV-1a of text + ":" + j, mod 2001, - 1000) / 1000; 8 components unless `dimensions` says otherwise.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace turnpike::simnode {

[[nodiscard]] std::uint32_t fnv1a(std::string_view bytes);

// %XX decoded; what is malformed stands for itself.
[[nodiscard]] std::string percent_decoded(std::string_view text);

class Speech {
 public:
  static constexpr std::size_t endless = std::numeric_limits<std::size_t>::max();

  // Words from `start`, `total` of them, with `prefix` already said.
  Speech(std::uint32_t start, std::size_t total, std::string_view prefix);
  // A literal; a token ends before each space.
  Speech(std::string_view literal, std::string_view prefix);

  [[nodiscard]] std::size_t size() const { return size_; }  // tokens still to say
  [[nodiscard]] std::string token(std::size_t index) const;

 private:
  void skip(std::string_view prefix);
  [[nodiscard]] std::string whole_token(std::size_t index) const;

  std::uint32_t start_ = 0;
  std::vector<std::string> literal_;
  std::size_t size_ = 0;
  std::size_t first_ = 0;  // index of the first token to say, among all
  std::string head_;       // what is said for it when the prefix ended inside it
};

[[nodiscard]] std::vector<float> embedding(std::string_view text, std::size_t dimensions);

}  // namespace turnpike::simnode
