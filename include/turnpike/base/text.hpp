// Small readers and writers of text that several rooms need. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace turnpike {

// %XX decoded (RFC 3986, section 2.1); nullopt when malformed. '+' stays a plus.
[[nodiscard]] std::optional<std::string> percent_decode(std::string_view text);

// A name as a JSON pointer has it between its slashes (RFC 6901, section 3).
[[nodiscard]] std::string pointer_part(std::string_view name);

// Unicode code points of valid UTF-8.
[[nodiscard]] std::size_t characters_of(std::string_view text);

}  // namespace turnpike
