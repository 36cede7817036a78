#include "turnpike/identity/message_signature.hpp"

#include <algorithm>
#include <utility>

#include "turnpike/base/encoding.hpp"

namespace turnpike::identity {
namespace {

constexpr std::size_t kMostNonce = 64;
constexpr std::string_view kInputField = "signature-input";
constexpr std::string_view kSignatureField = "signature";

std::unexpected<Error> refuse(std::string message, std::string_view param) {
  return fail(Fault::invalid_signature, std::move(message), std::string(param));
}

std::string shown(const std::string& component) {
  constexpr std::size_t kMost = 64;
  return component.substr(0, kMost);
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlanks = " \t";
  text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
  return text.substr(0, text.find_last_not_of(kBlanks) + 1);
}

// A form's text decoded, and encoded again in the one way that section 2.2.8 knows.
std::string form_text(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    char c = text.front() == '+' ? ' ' : text.front();
    std::size_t length = 1;
    if (const auto byte = c == '%' && text.size() > 2 ? from_hex(text.substr(1, 2)) : std::nullopt) {
      c = byte->front();
      length = 3;
    }
    text.remove_prefix(length);
    const bool plain =
        (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z') || std::string_view("*-._").contains(c);
    if (plain) {
      out += c;
      continue;
    }
    constexpr std::string_view kHex = "0123456789ABCDEF";
    const auto byte = static_cast<unsigned char>(c);
    out.append("%").append(1, kHex[byte / 16U]).append(1, kHex[byte % 16U]);
  }
  return out;
}

// The value of the one query parameter of this name; nullopt when there is none, or more than one.
std::optional<std::string> query_parameter(std::string_view query, std::string_view name) {
  std::optional<std::string> value;
  while (!query.empty()) {
    const auto part = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(part.size() + 1, query.size()));
    const auto equals = part.find('=');
    if (form_text(part.substr(0, equals)) != name) continue;
    if (value) return std::nullopt;
    value = form_text(equals == std::string_view::npos ? std::string_view() : part.substr(equals + 1));
  }
  return value;
}

// The derived components of requests (section 2.2) but @query-param.
std::optional<std::string> derived_value(const MessageView& message, std::string_view name) {
  const auto path = message.target.substr(0, message.target.find('?'));
  const auto query = message.target.substr(path.size());
  if (name == "@method") return std::string(message.method);
  if (name == "@authority") return std::string(message.authority);
  if (name == "@scheme") return std::string(message.scheme);
  if (name == "@request-target") return std::string(message.target);
  if (name == "@path") return std::string(path.empty() ? "/" : path);
  if (name == "@query") return std::string(query.empty() ? "?" : query);
  if (name == "@target-uri") {
    return std::string(message.scheme).append("://").append(message.authority).append(message.target);
  }
  return std::nullopt;
}

std::optional<std::string> component_value(const MessageView& message, std::string_view name,
                                           const Parameters& parameters) {
  if (name == "@query-param") {
    const auto* wanted = find(parameters, "name");
    const auto* text = wanted == nullptr || parameters.size() > 1 ? nullptr : std::get_if<std::string>(wanted);
    const auto question = message.target.find('?');
    if (text == nullptr || question == std::string_view::npos) return std::nullopt;
    return query_parameter(message.target.substr(question + 1), *text);
  }
  if (!parameters.empty()) return std::nullopt;
  return name.starts_with('@') ? derived_value(message, name) : field_value(message.fields, name);
}

// A line of the base must stay one line, of ASCII.
bool fits_a_line(std::string_view value) {
  return std::ranges::all_of(value, [](char c) { return (c >= ' ' && c <= '~') || c == '\t'; });
}

Result<Dictionary> read_dictionary(std::span<const FieldView> fields, std::string_view name) {
  const auto value = field_value(fields, name);
  if (!value) return refuse("the request must be signed: there is no " + std::string(name) + " field", name);
  auto read = parse_dictionary(*value);
  if (!read) return refuse("the field " + std::string(name) + " is malformed", name);
  return *std::move(read);
}

// The member of Signature-Input that is meant for us.
Result<const Member*> choose(const Dictionary& inputs) {
  const Member* chosen = nullptr;
  bool chosen_by_tag = false;
  bool ambiguous = false;
  for (const Member& input : inputs) {
    const auto* list = std::get_if<InnerList>(&input.value);
    if (list == nullptr) return refuse("a member of signature-input is no list of components", kInputField);
    const auto* tag = find(list->parameters, "tag");
    const bool by_tag = tag != nullptr && *tag == BareItem(std::string(kSignatureTag));
    if (chosen_by_tag && !by_tag) continue;
    ambiguous = chosen != nullptr && by_tag == chosen_by_tag;
    chosen = &input;
    chosen_by_tag = by_tag;
  }
  if (chosen == nullptr) return refuse("signature-input names no signature", kInputField);
  if (ambiguous) {
    return refuse("of several signatures, one alone must have the tag \"turnpike\"", kInputField);
  }
  return chosen;
}

// A parameter of a signature that may be absent.
template <class T>
Result<std::optional<T>> parameter(const InnerList& input, std::string_view name) {
  const auto* found = find(input.parameters, name);
  if (found == nullptr) return std::nullopt;
  if (const auto* value = std::get_if<T>(found)) return *value;
  return refuse("the signature's parameter " + std::string(name) + " has the wrong type", name);
}

Result<MessageSignature> read_parameters(const InnerList& input) {
  const auto created = parameter<std::int64_t>(input, "created");
  if (!created) return std::unexpected(created.error());
  const auto expires = parameter<std::int64_t>(input, "expires");
  if (!expires) return std::unexpected(expires.error());
  const auto nonce = parameter<std::string>(input, "nonce");
  if (!nonce) return std::unexpected(nonce.error());
  const auto alg = parameter<std::string>(input, "alg");
  if (!alg) return std::unexpected(alg.error());
  if (!*created) return refuse("the signature must say when it was created", "created");
  if (!*nonce || (*nonce)->empty() || (*nonce)->size() > kMostNonce) {
    return refuse("the signature must have a nonce of 1 to 64 characters", "nonce");
  }
  return MessageSignature{
      .covered = input, .created = **created, .expires = *expires, .nonce = **nonce, .alg = *alg, .signature = {}};
}

bool digest_is(const std::string& bytes, std::span<const std::uint8_t> digest) {
  return std::ranges::equal(bytes, digest, {}, [](char c) { return static_cast<std::uint8_t>(c); });
}

}  // namespace

std::optional<std::string> field_value(std::span<const FieldView> fields, std::string_view name) {
  std::optional<std::string> joined;
  for (const auto& field : fields) {
    if (!std::ranges::equal(field.name, name, {}, lower)) continue;
    if (joined) {
      joined->append(", ").append(trim(field.value));
    } else {
      joined = trim(field.value);
    }
  }
  return joined;
}

Result<std::string> signature_base(const MessageView& message, const InnerList& covered) {
  std::string base;
  for (auto item = covered.items.begin(); item != covered.items.end(); ++item) {
    const auto* name = std::get_if<std::string>(&item->value);
    if (name == nullptr) return refuse("a covered component is not a string", kInputField);
    if (std::find(covered.items.begin(), item, *item) != item) {
      return refuse("the signature covers " + shown(*name) + " twice", *name);
    }
    const auto value = component_value(message, *name, item->parameters);
    if (!value || !fits_a_line(*value)) {
      return refuse(
          "the signature covers " + shown(*name) + ", which the request has not or this gateway does not know", *name);
    }
    base.append(serialize(*item)).append(": ").append(*value).append("\n");
  }
  return base.append("\"@signature-params\": ").append(serialize(covered));
}

bool MessageSignature::covers(std::string_view component) const {
  return std::ranges::any_of(covered.items, [&](const Item& item) {
    const auto* name = std::get_if<std::string>(&item.value);
    return name != nullptr && *name == component && item.parameters.empty();
  });
}

Result<MessageSignature> read_signature(std::span<const FieldView> fields) {
  const auto inputs = read_dictionary(fields, kInputField);
  if (!inputs) return std::unexpected(inputs.error());
  const auto signatures = read_dictionary(fields, kSignatureField);
  if (!signatures) return std::unexpected(signatures.error());
  const auto input = choose(*inputs);
  if (!input) return std::unexpected(input.error());
  const auto* member = find(*signatures, (*input)->key);
  const auto* item = member == nullptr ? nullptr : std::get_if<Item>(&member->value);
  const auto* bytes = item == nullptr ? nullptr : std::get_if<FieldBytes>(&item->value);
  if (bytes == nullptr)
    return refuse("the field signature has no bytes for that member of signature-input", "signature");
  auto signature = read_parameters(std::get<InnerList>((*input)->value));
  if (signature) signature->signature = bytes->bytes;
  return signature;
}

DigestCheck check_content_digest(std::span<const FieldView> fields, std::string_view body) {
  const auto value = field_value(fields, "content-digest");
  if (!value) return DigestCheck::absent;
  const auto digests = parse_dictionary(*value);
  if (!digests) return DigestCheck::malformed;
  auto outcome = DigestCheck::unknown;
  for (const Member& member : *digests) {
    const auto* item = std::get_if<Item>(&member.value);
    const auto* bytes = item == nullptr ? nullptr : std::get_if<FieldBytes>(&item->value);
    if (bytes == nullptr) return DigestCheck::malformed;
    if (member.key != "sha-256" && member.key != "sha-512") continue;
    const bool right =
        member.key == "sha-256" ? digest_is(bytes->bytes, sha256(body)) : digest_is(bytes->bytes, sha512(body));
    if (!right) return DigestCheck::wrong;
    outcome = DigestCheck::right;
  }
  return outcome;
}

}  // namespace turnpike::identity
