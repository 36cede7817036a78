// Whether a request is signed as its key demands: by the public key that the API key carries, over enough of the
// request, lately, and with a nonce that was not used before (RFC 9421, RFC 9530).
//
// Thread: the loop's. Nothing blocks but RequestSignatures::open.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "turnpike/base/clock.hpp"
#include "turnpike/base/error.hpp"
#include "turnpike/identity/key_ring.hpp"
#include "turnpike/identity/message_signature.hpp"

namespace turnpike::storage {
class Database;
}

namespace turnpike::identity {

struct SignatureTerms {
  std::string public_url = {};     // network.public_url: where clients see the gateway
  std::string_view scheme = {};    // "http" or "https": what the listener speaks
  std::chrono::seconds window{0};  // how far `created` may be from now, either way
  std::size_t max_nonces = 0;      // of all keys, remembered for as long as their signature is good
  std::size_t max_nonces_per_key = 0;
};

struct SignedRequest {
  std::string_view method = {};
  std::string_view host = {};    // the Host field
  std::string_view target = {};  // as sent
  std::span<const FieldView> fields = {};
  std::string_view body = {};       // as it arrived
  std::string_view key_field = {};  // the field that bore the key or its token, in lower case; empty: the body
};

class RequestSignatures {
 public:
  // Loads the nonces that are still good; blocks, so call it at start only. Errors: internal_error when the database
  // cannot be read, invalid_request when the public URL is none.
  [[nodiscard]] static Result<std::unique_ptr<RequestSignatures>> open(storage::Database& database, const Clock& clock,
                                                                       SignatureTerms terms);
  ~RequestSignatures();
  RequestSignatures(const RequestSignatures&) = delete;
  RequestSignatures& operator=(const RequestSignatures&) = delete;

  // Whether the request is good for its key: signed by the public key that it carries, or not signed at all where it
  // does not demand that. What signs a request of a key without a public key is nobody's business here. A good
  // signature's nonce is used by the call, and that is durable with the next write that is waited for. Covered must be
  // `@method`, `@target-uri`, the field that bore the key, and `content-digest` where there is a body; `@target-uri` is
  // of the public URL, or of what Host and listener say. Errors: invalid_signature, with the component, parameter or
  // field as its param; invalid_request where Content-Digest is wrong and nothing is signed; rate_limit_exceeded when
  // the key has used as many nonces as it may, service_unavailable when all have.
  [[nodiscard]] Result<void> check(const KeyInfo& key, const SignedRequest& request);

 private:
  struct State;
  explicit RequestSignatures(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace turnpike::identity
