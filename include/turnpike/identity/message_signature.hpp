// HTTP Message Signatures (RFC 9421) of requests, and the digests of their bodies (RFC 9530). Pure: what is signed, and
// by what terms; not whether the terms are good enough, nor by whose key.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "turnpike/base/error.hpp"
#include "turnpike/identity/structured_fields.hpp"

namespace turnpike::identity {

struct FieldView {
  std::string_view name;  // in any case
  std::string_view value;
};

// A request as its signer saw it.
struct MessageView {
  std::string_view method;
  std::string_view scheme;                 // lower case
  std::string_view authority;              // lower case, without the scheme's default port (RFC 9110, section 4.2.3)
  std::string_view target;                 // path and query as sent
  std::span<const FieldView> fields = {};  // in order; none has folded lines, which the session refuses
};

// The values of a field, trimmed and joined by ", "; nullopt when there is none.
[[nodiscard]] std::optional<std::string> field_value(std::span<const FieldView> fields, std::string_view name);

// The signature base (RFC 9421, section 2.5). `covered` is the member of Signature-Input. Known are all derived
// components of requests and plain fields; of parameters, `name` of @query-param alone. Error: invalid_signature,
// with the component at fault as its param.
[[nodiscard]] Result<std::string> signature_base(const MessageView& message, const InnerList& covered);

// One signature of a request, as it stands in Signature-Input and Signature.
struct MessageSignature {
  InnerList covered;
  std::int64_t created = 0;  // Unix time
  std::optional<std::int64_t> expires = std::nullopt;
  std::string nonce;                                            // 1 to 64 characters
  std::optional<std::string> alg = std::nullopt;                // as in the registry of section 6.2.2
  std::string signature;                                        // bytes
  [[nodiscard]] bool covers(std::string_view component) const;  // without parameters
};

// The signature that is meant for this gateway: of several, the one with the `tag` that is kSignatureTag; else there
// must be one alone. Its `created` and `nonce` must be there; `keyid` may be anything, for the API key that the
// signature covers says by which key it is made. Error: invalid_signature with the field, or the parameter, as its
// param.
inline constexpr std::string_view kSignatureTag = "turnpike";
[[nodiscard]] Result<MessageSignature> read_signature(std::span<const FieldView> fields);

enum class DigestCheck : std::uint8_t {
  right,
  absent,     // there is no Content-Digest
  malformed,  // no dictionary of byte sequences
  unknown,    // neither sha-256 nor sha-512 is in it
  wrong,
};
// Whether Content-Digest (RFC 9530, section 2) is of these bytes: every digest in it that is known.
[[nodiscard]] DigestCheck check_content_digest(std::span<const FieldView> fields, std::string_view body);

}  // namespace turnpike::identity
