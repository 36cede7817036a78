// What was used, by whose word. A node's claim is bounded by what was really sent and received. Pure.
#pragma once

#include <cstdint>
#include <optional>

#include "turnpike/scan/scan.hpp"

namespace turnpike::relay {

// What the gateway itself saw of one inference.
struct Seen {
  std::uint64_t prompt_bytes = 0;       // of the request, image data aside
  std::uint64_t prompt_text_bytes = 0;  // of the text of its messages alone
  std::uint64_t messages = 0;
  std::uint64_t images = 0;
  std::uint64_t image_token_allowance = 0;  // tokens an image
  std::uint64_t text_bytes = 0;             // UTF-8 bytes of all text that nodes sent
  std::uint64_t text_events = 0;            // chunks that carried text, of a stream
};

struct Used {
  std::uint64_t prompt_tokens = 0;
  std::uint64_t completion_tokens = 0;
  bool claimed = false;  // by the node; false: counted by the gateway
  bool bounded = false;  // the claim was over the bound, which is what stands here
};

// The most a request can be said to have used: prompt tokens ≤ its bytes + 64 a message + the allowance an image;
// completion tokens ≤ the bytes of all text + 16 (a token is at least a byte, and templates add a few of their own).
[[nodiscard]] std::uint64_t prompt_bound(const Seen& seen);
[[nodiscard]] std::uint64_t completion_bound(const Seen& seen);

// A complete answer with the node's claim; a part of it that is missing is counted.
[[nodiscard]] Used use_of_complete(const Seen& seen, const scan::UsageScan& claim);

// A broken one: what reached the client. A chunk of a stream is a token; text of other answers four bytes a token.
[[nodiscard]] Used use_of_relayed(const Seen& seen);

}  // namespace turnpike::relay
