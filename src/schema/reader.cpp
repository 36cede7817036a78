// Reads a schema: every keyword that a check will meet is well-formed, every reference leads somewhere, and none leads
// back to itself with nothing taken on the way.
#include <algorithm>
#include <array>
#include <ranges>
#include <unordered_set>
#include <utility>
#include <vector>

#include "parts.hpp"
#include "turnpike/base/text.hpp"

namespace turnpike::schema {
namespace {

constexpr std::size_t kMostPatterns = 32;
constexpr std::int64_t kMostPatternMemory = std::int64_t{128} * 1024;  // bytes, of each

// The form of a keyword's value.
enum class Form : std::uint8_t {
  schema,
  schemas,          // an array of them, not empty
  schema_or_array,  // `items` of drafts 4 to 7
  schema_map,       // by name
  pattern_map,      // by regular expression
  schema_or_names,  // by name, either: `dependencies`
  number,
  divisor,
  number_or_flag,  // `exclusiveMaximum` of draft 4
  count,
  flag,
  array,
  names,
  name_map,  // by name, arrays of names
  pattern,
  reference,
  types,
};

struct Keyword {
  std::string_view name;
  Form form;
  bool same_value = false;  // its schemas are asked about the very value that the schema around them is
};

constexpr std::array kKeywords = {
    Keyword{"$defs", Form::schema_map},
    Keyword{"$dynamicRef", Form::reference, true},
    Keyword{"$recursiveRef", Form::reference, true},
    Keyword{"$ref", Form::reference, true},
    Keyword{"additionalItems", Form::schema},
    Keyword{"additionalProperties", Form::schema},
    Keyword{"allOf", Form::schemas, true},
    Keyword{"anyOf", Form::schemas, true},
    Keyword{"contains", Form::schema},
    Keyword{"definitions", Form::schema_map},
    Keyword{"dependencies", Form::schema_or_names, true},
    Keyword{"dependentRequired", Form::name_map},
    Keyword{"dependentSchemas", Form::schema_map, true},
    Keyword{"else", Form::schema, true},
    Keyword{"enum", Form::array},
    Keyword{"exclusiveMaximum", Form::number_or_flag},
    Keyword{"exclusiveMinimum", Form::number_or_flag},
    Keyword{"if", Form::schema, true},
    Keyword{"items", Form::schema_or_array},
    Keyword{"maxContains", Form::count},
    Keyword{"maxItems", Form::count},
    Keyword{"maxLength", Form::count},
    Keyword{"maxProperties", Form::count},
    Keyword{"maximum", Form::number},
    Keyword{"minContains", Form::count},
    Keyword{"minItems", Form::count},
    Keyword{"minLength", Form::count},
    Keyword{"minProperties", Form::count},
    Keyword{"minimum", Form::number},
    Keyword{"multipleOf", Form::divisor},
    Keyword{"not", Form::schema, true},
    Keyword{"oneOf", Form::schemas, true},
    Keyword{"pattern", Form::pattern},
    Keyword{"patternProperties", Form::pattern_map},
    Keyword{"prefixItems", Form::schemas},
    Keyword{"properties", Form::schema_map},
    Keyword{"propertyNames", Form::schema},
    Keyword{"required", Form::names},
    Keyword{"then", Form::schema, true},
    Keyword{"type", Form::types},
    Keyword{"uniqueItems", Form::flag},
};
static_assert(std::ranges::is_sorted(kKeywords, {}, &Keyword::name));

constexpr std::array<std::string_view, 7> kTypes = {"array",  "boolean", "integer", "null",
                                                    "number", "object",  "string"};

bool is_type(const json& value) {
  return value.is_string() && std::ranges::find(kTypes, value.get_ref<const std::string&>()) != kTypes.end();
}

bool are_names(const json& value) {
  return value.is_array() && std::ranges::all_of(value, [](const json& name) { return name.is_string(); });
}

// A whole number of 0 or more; 2.0 is one.
bool is_count(const json& value) {
  if (value.is_number_unsigned()) return true;
  if (!value.is_number_float()) return false;
  const auto number = value.get<double>();
  return number >= 0 && number < 1e15 && number == static_cast<double>(static_cast<std::int64_t>(number));
}

// A place in the schema; it is written only where there is a fault.
struct Place {
  const Place* around = nullptr;
  std::string_view name;  // of a member, or what leads to the first place; null data: an item
  std::size_t index = 0;
};

// As a JSON pointer (RFC 6901). Empty: it would be too long, or is all of the schema.
std::string pointer_to(const Place& place) {
  constexpr std::size_t kMostBytes = 200;
  std::vector<const Place*> way;
  for (const Place* at = &place; at != nullptr; at = at->around) way.push_back(at);
  std::string out;
  for (const Place* at : way | std::views::reverse) {
    if (at->around != nullptr) out += '/';
    if (at->name.data() == nullptr) out += std::to_string(at->index);
    if (out.size() + at->name.size() > kMostBytes) return {};
    out += at->around == nullptr ? std::string(at->name) : pointer_part(at->name);
  }
  return out;
}

class Reader {
 public:
  explicit Reader(Schema::Parts& parts) : parts_(parts) {}

  // Empty: it is a schema.
  std::string run() {
    if (visit(parts_.root, {.around = nullptr, .name = ""}) && resolve()) find_loop();
    return std::move(fault_);
  }

 private:
  struct Reference {
    std::string text;
    const json* from;  // the schema it stands in
  };

  bool fail(const Place& place, std::string_view what) {
    const auto at = pointer_to(place);
    fault_ = "the schema";
    if (!at.empty()) fault_.append(" at ").append(at);
    fault_.append(" ").append(what);
    return false;
  }

  bool visit(const json& schema, const Place& at);
  bool visit_keyword(const json& schema, const Keyword& keyword, const json& value, const Place& at);
  bool visit_inner(const json& schema, const Keyword& keyword, const json& inner, const Place& at);
  bool visit_map(const json& schema, const Keyword& keyword, const json& value, const Place& at);
  bool visit_list(const json& schema, const Keyword& keyword, const json& value, const Place& at);
  bool add_pattern(const std::string& source, const Place& at);
  bool resolve();
  const json* target_of(std::string_view reference) const;
  void find_loop();

  Schema::Parts& parts_;
  std::string fault_;
  std::unordered_set<const json*> visited_;
  std::vector<Reference> references_;
  std::unordered_map<std::string, const json*> anchors_;
  std::unordered_map<const json*, std::vector<const json*>> same_value_;  // what a schema asks about its own value
};

bool Reader::visit(const json& schema, const Place& at) {
  if (!visited_.insert(&schema).second || schema.is_boolean()) return true;
  if (!schema.is_object()) return fail(at, "must be an object, true or false");
  for (const auto& [name, value] : schema.items()) {
    if (name == "$id" && value.is_string() && !value.get_ref<const std::string&>().starts_with('#') &&
        &schema != &parts_.root) {
      return fail(at, "has an $id of its own, which is not supported");
    }
    const bool anchor = name == "$anchor" || name == "$dynamicAnchor" || name == "$id" || name == "id";
    if (anchor && value.is_string()) {
      std::string_view text = value.get_ref<const std::string&>();
      if (text.starts_with('#')) text.remove_prefix(1);
      anchors_.emplace(text, &schema);
    }
    const auto keyword = std::ranges::lower_bound(kKeywords, std::string_view(name), {}, &Keyword::name);
    if (keyword == kKeywords.end() || keyword->name != name) continue;
    if (!visit_keyword(schema, *keyword, value, {.around = &at, .name = name})) return false;
  }
  return true;
}

bool Reader::visit_keyword(const json& schema, const Keyword& keyword, const json& value, const Place& at) {
  const auto must = [&](bool fine, std::string_view what) { return fine || fail(at, what); };
  switch (keyword.form) {
    case Form::schema:
      return visit_inner(schema, keyword, value, at);
    case Form::schema_or_array:
      return value.is_array() ? visit_list(schema, keyword, value, at) : visit_inner(schema, keyword, value, at);
    case Form::schemas:
      return must(value.is_array() && !value.empty(), "must be an array of schemas, and not empty") &&
             visit_list(schema, keyword, value, at);
    case Form::schema_map:
    case Form::pattern_map:
    case Form::schema_or_names:
      return must(value.is_object(), "must be an object") && visit_map(schema, keyword, value, at);
    case Form::number:
      return must(value.is_number(), "must be a number");
    case Form::divisor:
      return must(value.is_number() && value > 0, "must be a number above 0");
    case Form::number_or_flag:
      return must(value.is_number() || value.is_boolean(), "must be a number");
    case Form::count:
      return must(is_count(value), "must be a whole number of 0 or more");
    case Form::flag:
      return must(value.is_boolean(), "must be true or false");
    case Form::array:
      return must(value.is_array(), "must be an array");
    case Form::names:
      return must(are_names(value), "must be an array of strings");
    case Form::name_map:
      return must(value.is_object() && std::ranges::all_of(value, are_names), "must be an object of arrays of strings");
    case Form::pattern:
      return must(value.is_string(), "must be a string") && add_pattern(value.get<std::string>(), at);
    case Form::reference:
      if (!must(value.is_string(), "must be a string")) return false;
      references_.push_back({value.get<std::string>(), &schema});
      return true;
    case Form::types:
      return must(is_type(value) || (value.is_array() && !value.empty() && std::ranges::all_of(value, is_type)),
                  "must name types: array, boolean, integer, null, number, object or string");
  }
  return true;
}

bool Reader::visit_inner(const json& schema, const Keyword& keyword, const json& inner, const Place& at) {
  if (keyword.same_value) same_value_[&schema].push_back(&inner);
  return visit(inner, at);
}

bool Reader::visit_list(const json& schema, const Keyword& keyword, const json& value, const Place& at) {
  std::size_t index = 0;
  for (const json& inner : value) {
    if (!visit_inner(schema, keyword, inner, {.around = &at, .name = {}, .index = index++})) return false;
  }
  return true;
}

bool Reader::visit_map(const json& schema, const Keyword& keyword, const json& value, const Place& at) {
  for (const auto& [name, inner] : value.items()) {
    const Place inner_at{.around = &at, .name = name};
    if (keyword.form == Form::pattern_map && !add_pattern(name, inner_at)) return false;
    if (keyword.form == Form::schema_or_names && inner.is_array()) {
      if (!are_names(inner)) return fail(inner_at, "must be a schema or an array of strings");
      continue;
    }
    if (!visit_inner(schema, keyword, inner, inner_at)) return false;
  }
  return true;
}

bool Reader::add_pattern(const std::string& source, const Place& at) {
  const auto [place, is_new] = parts_.patterns.try_emplace(source);
  if (!is_new) return true;
  if (parts_.patterns.size() > kMostPatterns) return fail(at, "is one regular expression too many");
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(kMostPatternMemory);
  auto pattern = std::make_unique<const re2::RE2>(source, options);
  if (pattern->ok()) place->second = std::move(pattern);
  return true;
}

const json* Reader::target_of(std::string_view reference) const {
  const auto* id = member(parts_.root, "$id");
  if (id != nullptr && id->is_string()) {
    const std::string_view base = id->get_ref<const std::string&>();
    if (!base.empty() && reference.starts_with(base)) reference.remove_prefix(base.size());
  }
  if (reference.empty() || reference == "#") return &parts_.root;
  if (!reference.starts_with('#')) return nullptr;
  const auto fragment = percent_decode(reference.substr(1));
  if (!fragment) return nullptr;
  if (!fragment->starts_with('/')) {
    const auto anchor = anchors_.find(*fragment);
    return anchor == anchors_.end() ? nullptr : anchor->second;
  }
  try {
    const json::json_pointer pointer(*fragment);
    return parts_.root.contains(pointer) ? &parts_.root.at(pointer) : nullptr;
  } catch (const json::exception&) {
    return nullptr;  // no JSON pointer
  }
}

// A target may lie where no keyword has led, and name more.
bool Reader::resolve() {
  for (std::size_t i = 0; i < references_.size(); ++i) {
    const Reference reference = references_[i];
    const json* const target = target_of(reference.text);
    if (target == nullptr) return fail({.around = nullptr, .name = reference.text}, "leads to nothing");
    parts_.targets.emplace(reference.text, target);
    same_value_[reference.from].push_back(target);
    if (!visit(*target, {.around = nullptr, .name = reference.text})) return false;
  }
  return true;
}

// A schema that asks about its own value by way of itself would never be done.
void Reader::find_loop() {
  enum class State : std::uint8_t { open, done };
  std::unordered_map<const json*, State> states;
  struct Frame {
    const json* schema;
    std::size_t next = 0;
  };
  for (const auto& [start, unused] : same_value_) {
    if (states.contains(start)) continue;
    std::vector<Frame> way{{start}};
    states.emplace(start, State::open);
    while (!way.empty()) {
      auto& [schema, next] = way.back();
      const auto asked = same_value_.find(schema);
      if (asked == same_value_.end() || next == asked->second.size()) {
        states[schema] = State::done;
        way.pop_back();
        continue;
      }
      const json* const inner = asked->second[next++];
      const auto [state, is_new] = states.emplace(inner, State::open);
      if (is_new) {
        way.push_back({inner});
      } else if (state->second == State::open) {
        fail({.around = nullptr, .name = ""}, "refers to itself without end");
        return;
      }
    }
  }
}

}  // namespace

std::size_t nesting_of(std::string_view json) {
  std::size_t depth = 0;
  std::size_t deepest = 0;
  for (std::size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (c == '"') {
      for (++i; i < json.size() && json[i] != '"'; ++i) i += json[i] == '\\' ? 1 : 0;
    } else if (c == '{' || c == '[') {
      deepest = std::max(deepest, ++depth);
    } else if ((c == '}' || c == ']') && depth > 0) {
      --depth;
    }
  }
  return deepest;
}

Schema::Schema(std::unique_ptr<const Parts> parts) : parts_(std::move(parts)) {}
Schema::~Schema() = default;
Schema::Schema(Schema&&) noexcept = default;
Schema& Schema::operator=(Schema&&) noexcept = default;

Result<Schema> Schema::read(std::string_view text) {
  if (nesting_of(text) > kMostNesting) return fail(Fault::invalid_request, "the schema is nested too deeply");
  auto parts = std::make_unique<Parts>();
  parts->root = json::parse(text, nullptr, false);
  if (parts->root.is_discarded()) return fail(Fault::invalid_request, "the schema is not JSON");
  if (auto fault = Reader(*parts).run(); !fault.empty()) return fail(Fault::invalid_request, std::move(fault));
  return Schema(std::move(parts));
}

}  // namespace turnpike::schema
