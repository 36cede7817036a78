// Nodes out of a book: what the tests of inference are linked with in place of src/relay/relay.cpp, so that no test
// needs a socket.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "turnpike/base/error.hpp"
#include "turnpike/relay/relay.hpp"

namespace turnpike::relay::test {

// One request's way through the nodes, and what was asked of them.
struct Script {
  std::string node = "node-1";
  scheduler::Payee payee;                      // of a whole answer's node
  Result<std::string> answer = std::string();  // a whole answer as a node writes it
  std::vector<std::string> events;             // a stream: what is written, one after the other …
  StreamEnd end;                               // … and how it ends

  int calls = 0;
  std::string path;
  std::string defaults;
  std::optional<std::uint64_t> max_tokens;
  bool asked_for_usage = false;
  Instant deadline{};
};

// The script that every Relay plays. A test sets it before it runs an inference.
inline Script* playing = nullptr;

}  // namespace turnpike::relay::test
