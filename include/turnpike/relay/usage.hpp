// What was used, by whose word, and which node's share of it is how large. A node's claim is bounded by what was really
// sent and received. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "turnpike/scan/scan.hpp"
#include "turnpike/scheduler/node.hpp"

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

// One node's part in an answer. Several nodes have one where each went on from where another broke.
struct Part {
  std::string node_id;
  scheduler::Payee payee = {};      // as it was when the node took the request
  std::uint64_t text_events = 0;    // chunks with text that it brought, of a stream
  std::uint64_t prompt_tokens = 0;  // these two by attribute()
  std::uint64_t completion_tokens = 0;
};

// Divides what was used among the nodes, in the order they served; the sums are `used`'s. A node that broke gets a
// completion token for each chunk of text that it brought. The prompt and all else are the last one's: it read the
// prompt too, and its claim is what counts.
void attribute(const Used& used, std::span<Part> parts);

}  // namespace turnpike::relay
