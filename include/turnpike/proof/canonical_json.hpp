// JSON in its one canonical form (RFC 8785), so that a signature over a document is a signature over its bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace turnpike::proof {

// The document as RFC 8785 writes it: members in the order of their names' UTF-16 code units, numbers as ECMAScript
// prints them, no white space. Otherwise what has no canonical form: text that is not UTF-8, a whole number that no
// double is. Pure.
[[nodiscard]] std::expected<std::string, std::string> canonical_json(const nlohmann::json& document);

// Reads JSON of which only one reading is possible: a name that stands twice in an object is refused, as RFC 8785 asks
// (section 3.1, by RFC 7493). Otherwise what is wrong.
[[nodiscard]] std::expected<nlohmann::json, std::string> parse_strictly(std::string_view text);

// A number as ECMAScript's Number::toString writes it. It must be finite.
void append_number(std::string& out, double number);
// The same for a whole one, which must lie within 2^53 either way.
void append_number(std::string& out, std::int64_t number);

// A string with its quotes; `text` must be UTF-8.
void append_string(std::string& out, std::string_view text);
// The same where there is room for most_string_bytes(); where it ends.
char* put_string(char* at, std::string_view text);
[[nodiscard]] constexpr std::size_t most_string_bytes(std::string_view text) {
  return 6 * text.size() + 2;
}

}  // namespace turnpike::proof
