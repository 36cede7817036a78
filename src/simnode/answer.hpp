// Plays one answer to the client, with everything its behaviour asks for.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "behaviour.hpp"
#include "connection.hpp"
#include "prompt.hpp"
#include "render.hpp"

namespace turnpike::simnode {

// What an answer tells the node while it runs.
struct Progress {
  std::int64_t tokens_sent = 0;
  bool complete = false;  // ended as it was meant to, a deliberate death included
};

struct AnswerContext {
  Connection& connection;
  const Behaviour& behaviour;
  Progress& progress;
  std::int64_t number;  // of the request
  std::uint32_t seed;
  bool keep_alive;
};

// Each leaves the connection closed when it must not serve another request.
asio::awaitable<void> play_prompt(AnswerContext context, const Prompt& prompt);
asio::awaitable<void> play_embedding(AnswerContext context, const EmbeddingPrompt& prompt);

// Writes a whole answer with a Content-Length.
asio::awaitable<void> send_whole(AnswerContext context, int status, std::string_view content_type, std::string body);

}  // namespace turnpike::simnode
