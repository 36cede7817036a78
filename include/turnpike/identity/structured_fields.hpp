// Dictionaries of structured field values (RFC 9651, and RFC 8941 before it), as far as signatures and digests need
// them: decimals, dates and display strings are refused, and so is a key that stands there twice, which the RFC lets
// win. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace turnpike::identity {

struct FieldToken {
  std::string text;
  bool operator==(const FieldToken&) const = default;
};
struct FieldBytes {
  std::string bytes;
  bool operator==(const FieldBytes&) const = default;
};
// The std::string is a String of the RFC.
using BareItem = std::variant<std::int64_t, std::string, FieldToken, FieldBytes, bool>;

struct Parameter {
  std::string key;
  BareItem value;
  bool operator==(const Parameter&) const = default;
};
using Parameters = std::vector<Parameter>;

struct Item {
  BareItem value;
  Parameters parameters;
  bool operator==(const Item&) const = default;
};
struct InnerList {
  std::vector<Item> items;
  Parameters parameters;
  bool operator==(const InnerList&) const = default;
};
struct Member {
  std::string key;
  std::variant<Item, InnerList> value;
  bool operator==(const Member&) const = default;
};
using Dictionary = std::vector<Member>;

// What a text may have; one with more is malformed.
inline constexpr std::size_t kMostFieldBytes = 8192;
inline constexpr std::size_t kMostMembers = 16;
inline constexpr std::size_t kMostItems = 64;
inline constexpr std::size_t kMostParameters = 16;

// A field's value, its lines joined by commas; nullopt when malformed.
[[nodiscard]] std::optional<Dictionary> parse_dictionary(std::string_view text);

// The one form that RFC 9651, section 4.1, gives each.
[[nodiscard]] std::string serialize(const Item& item);
[[nodiscard]] std::string serialize(const InnerList& list);

// The value under a key; nullptr when there is none.
[[nodiscard]] const BareItem* find(const Parameters& parameters, std::string_view key);
[[nodiscard]] const Member* find(const Dictionary& dictionary, std::string_view key);

}  // namespace turnpike::identity
