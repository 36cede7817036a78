// Walks a value by its schema.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <ranges>
#include <set>
#include <utility>

#include "parts.hpp"
#include "turnpike/base/text.hpp"

namespace turnpike::schema {
namespace {

// Of a text that is looked at, by a regular expression at the slowest.
constexpr std::size_t kBytesAStep = 16;

// Schemas within one another on the way to a value: a recursive schema adds some for each container of the value.
constexpr std::size_t kMostDepth = 512;

std::uint64_t count_of(const json& value) {
  return value.is_number_float() ? static_cast<std::uint64_t>(value.get<double>()) : value.get<std::uint64_t>();
}

bool is_whole(const json& value) {
  if (value.is_number_integer()) return true;
  return value.is_number_float() && std::trunc(value.get<double>()) == value.get<double>();
}

bool has_type(const json& value, std::string_view type) {
  if (type == "object") return value.is_object();
  if (type == "array") return value.is_array();
  if (type == "string") return value.is_string();
  if (type == "integer") return is_whole(value);
  if (type == "number") return value.is_number();
  if (type == "boolean") return value.is_boolean();
  return value.is_null();
}

std::uint64_t magnitude_of(const json& whole) {
  if (whole.is_number_unsigned()) return whole.get<std::uint64_t>();
  const auto number = whole.get<std::int64_t>();
  return number < 0 ? 0 - static_cast<std::uint64_t>(number) : static_cast<std::uint64_t>(number);
}

bool is_multiple(const json& value, const json& of) {
  if (value.is_number_integer() && of.is_number_integer()) return magnitude_of(value) % magnitude_of(of) == 0;
  const double times = value.get<double>() / of.get<double>();
  // Tenths have no exact binary form: 0.0075 is 75 times 0.0001 but for the last bits.
  return std::isfinite(times) && std::abs(times - std::round(times)) <= 1e-9 * std::max(1.0, std::abs(times));
}

// What it takes to compare a value, in steps.
std::size_t cost_of(const json& value) {
  if (value.is_string()) return 1 + value.get_ref<const std::string&>().size() / kBytesAStep;
  std::size_t cost = 1;
  if (value.is_structured()) {
    for (const json& inner : value) cost += cost_of(inner);
  }
  return cost;
}

class Check {
 public:
  Check(const Schema::Parts& parts, std::size_t& steps, std::string& keyword)
      : parts_(parts), left_(steps), keyword_(keyword) {}

  Verdict run(const json& value) {
    const bool fits = this->fits(parts_.root, value);
    if (gave_up_) return Verdict::undecided;
    return fits ? Verdict::fits : Verdict::misfits;
  }

 private:
  bool fits(const json& schema, const json& value);
  // Whether it fits, where either is as good: nothing is noted.
  bool would_fit(const json& schema, const json& value) {
    ++quiet_;
    const bool ok = fits(schema, value);
    --quiet_;
    return ok;
  }
  // False: no more may be done, and whatever is said of the value from now on means nothing.
  bool spend(std::size_t steps) {
    if (steps > left_) gave_up_ = true;
    left_ -= std::min(steps, left_);
    return !gave_up_;
  }
  // Whether `pattern` is found in `text`; `unknown` where RE2 does not know the pattern.
  bool matches(const std::string& pattern, const std::string& text, bool unknown);
  bool equal(const json& left, const json& right);
  std::size_t length_of(const json& text);
  void note(std::string_view keyword);

  // What the keywords say of a value. `keyword` is what stands by it in `schema`.
  using Rule = bool (Check::*)(const json& keyword, const json& schema, const json& value);
  struct Named {
    std::string_view name;
    Rule rule;
  };
  static const Rule* rule_of(std::string_view name);

  bool reference(const json& keyword, const json& schema, const json& value);
  bool type(const json& keyword, const json& schema, const json& value);
  bool enumeration(const json& keyword, const json& schema, const json& value);
  bool constant(const json& keyword, const json& schema, const json& value);
  bool all_of(const json& keyword, const json& schema, const json& value);
  bool any_of(const json& keyword, const json& schema, const json& value);
  bool one_of(const json& keyword, const json& schema, const json& value);
  bool negation(const json& keyword, const json& schema, const json& value);
  bool condition(const json& keyword, const json& schema, const json& value);
  bool multiple_of(const json& keyword, const json& schema, const json& value);
  bool maximum(const json& keyword, const json& schema, const json& value);
  bool minimum(const json& keyword, const json& schema, const json& value);
  bool exclusive_maximum(const json& keyword, const json& schema, const json& value);
  bool exclusive_minimum(const json& keyword, const json& schema, const json& value);
  bool max_length(const json& keyword, const json& schema, const json& value);
  bool min_length(const json& keyword, const json& schema, const json& value);
  bool pattern(const json& keyword, const json& schema, const json& value);
  bool prefix_items(const json& keyword, const json& schema, const json& value);
  bool items(const json& keyword, const json& schema, const json& value);
  bool contains(const json& keyword, const json& schema, const json& value);
  bool max_items(const json& keyword, const json& schema, const json& value);
  bool min_items(const json& keyword, const json& schema, const json& value);
  bool unique_items(const json& keyword, const json& schema, const json& value);
  bool properties(const json& keyword, const json& schema, const json& value);
  bool pattern_properties(const json& keyword, const json& schema, const json& value);
  bool additional_properties(const json& keyword, const json& schema, const json& value);
  bool property_names(const json& keyword, const json& schema, const json& value);
  bool required(const json& keyword, const json& schema, const json& value);
  bool dependent(const json& keyword, const json& schema, const json& value);
  bool max_properties(const json& keyword, const json& schema, const json& value);
  bool min_properties(const json& keyword, const json& schema, const json& value);

  const Schema::Parts& parts_;
  std::size_t& left_;  // steps
  std::string& keyword_;
  std::size_t depth_ = 0;
  std::size_t quiet_ = 0;
  bool noted_ = false;
  bool gave_up_ = false;
};

const Check::Rule* Check::rule_of(std::string_view name) {
  static constexpr std::array kRules = {
      Named{"$dynamicRef", &Check::reference},
      Named{"$recursiveRef", &Check::reference},
      Named{"$ref", &Check::reference},
      Named{"additionalProperties", &Check::additional_properties},
      Named{"allOf", &Check::all_of},
      Named{"anyOf", &Check::any_of},
      Named{"const", &Check::constant},
      Named{"contains", &Check::contains},
      Named{"dependencies", &Check::dependent},
      Named{"dependentRequired", &Check::dependent},
      Named{"dependentSchemas", &Check::dependent},
      Named{"enum", &Check::enumeration},
      Named{"exclusiveMaximum", &Check::exclusive_maximum},
      Named{"exclusiveMinimum", &Check::exclusive_minimum},
      Named{"if", &Check::condition},
      Named{"items", &Check::items},
      Named{"maxItems", &Check::max_items},
      Named{"maxLength", &Check::max_length},
      Named{"maxProperties", &Check::max_properties},
      Named{"maximum", &Check::maximum},
      Named{"minItems", &Check::min_items},
      Named{"minLength", &Check::min_length},
      Named{"minProperties", &Check::min_properties},
      Named{"minimum", &Check::minimum},
      Named{"multipleOf", &Check::multiple_of},
      Named{"not", &Check::negation},
      Named{"oneOf", &Check::one_of},
      Named{"pattern", &Check::pattern},
      Named{"patternProperties", &Check::pattern_properties},
      Named{"prefixItems", &Check::prefix_items},
      Named{"properties", &Check::properties},
      Named{"propertyNames", &Check::property_names},
      Named{"required", &Check::required},
      Named{"type", &Check::type},
      Named{"uniqueItems", &Check::unique_items},
  };
  static_assert(std::ranges::is_sorted(kRules, {}, &Named::name));
  const auto found = std::ranges::lower_bound(kRules, name, {}, &Named::name);
  return found == kRules.end() || found->name != name ? nullptr : &found->rule;
}

bool Check::fits(const json& schema, const json& value) {
  if (depth_ == kMostDepth) gave_up_ = true;
  if (!spend(1)) return true;
  if (schema.is_boolean()) return schema.get<bool>();
  ++depth_;
  bool ok = true;
  for (auto keyword = schema.begin(); ok && keyword != schema.end(); ++keyword) {
    const Rule* const rule = rule_of(keyword.key());
    if (rule == nullptr || (this->**rule)(*keyword, schema, value)) continue;
    note(keyword.key());
    ok = false;
  }
  --depth_;
  return ok;
}

void Check::note(std::string_view keyword) {
  if (quiet_ == 0 && !std::exchange(noted_, true)) keyword_ = keyword;
}

bool Check::matches(const std::string& pattern, const std::string& text, bool unknown) {
  if (!spend(1 + text.size() / kBytesAStep)) return unknown;
  const auto& known = parts_.patterns.at(pattern);
  return known == nullptr ? unknown : re2::RE2::PartialMatch(text, *known);
}

bool Check::reference(const json& keyword, const json& /*schema*/, const json& value) {
  return fits(*parts_.targets.at(keyword.get_ref<const std::string&>()), value);
}

// ---- any value ----

bool Check::type(const json& keyword, const json& /*schema*/, const json& value) {
  const auto is = [&value](const json& type) { return has_type(value, type.get_ref<const std::string&>()); };
  return keyword.is_array() ? std::ranges::any_of(keyword, is) : is(keyword);
}

bool Check::enumeration(const json& keyword, const json& /*schema*/, const json& value) {
  return std::ranges::any_of(keyword, [&](const json& each) { return equal(each, value); });
}

bool Check::constant(const json& keyword, const json& /*schema*/, const json& value) {
  return equal(keyword, value);
}

// As json's own, but that it is paid for.
bool Check::equal(const json& left, const json& right) {
  if (!spend(1)) return true;
  if (left.is_string() && right.is_string()) {
    const auto& text = left.get_ref<const std::string&>();
    const auto& other = right.get_ref<const std::string&>();
    return text.size() == other.size() && (!spend(text.size() / kBytesAStep) || text == other);
  }
  if (!left.is_structured() || left.type() != right.type()) return left == right;
  if (left.size() != right.size()) return false;
  // Both objects have their members in the order of their names.
  for (auto one = left.begin(), other = right.begin(); one != left.end(); ++one, ++other) {
    if ((left.is_object() && one.key() != other.key()) || !equal(*one, *other)) return false;
  }
  return true;
}

bool Check::all_of(const json& keyword, const json& /*schema*/, const json& value) {
  return std::ranges::all_of(keyword, [&](const json& inner) { return fits(inner, value); });
}

bool Check::any_of(const json& keyword, const json& /*schema*/, const json& value) {
  return std::ranges::any_of(keyword, [&](const json& inner) { return would_fit(inner, value); });
}

bool Check::one_of(const json& keyword, const json& /*schema*/, const json& value) {
  return std::ranges::count_if(keyword, [&](const json& inner) { return would_fit(inner, value); }) == 1;
}

bool Check::negation(const json& keyword, const json& /*schema*/, const json& value) {
  return !would_fit(keyword, value);
}

bool Check::condition(const json& keyword, const json& schema, const json& value) {
  const json* const then = member(schema, would_fit(keyword, value) ? "then" : "else");
  return then == nullptr || fits(*then, value);
}

// ---- numbers ----

bool Check::multiple_of(const json& keyword, const json& /*schema*/, const json& value) {
  return !value.is_number() || is_multiple(value, keyword);
}

bool Check::maximum(const json& keyword, const json& schema, const json& value) {
  const json* const exclusive = member(schema, "exclusiveMaximum");
  if (!value.is_number()) return true;
  return exclusive != nullptr && *exclusive == true ? value < keyword : value <= keyword;
}

bool Check::minimum(const json& keyword, const json& schema, const json& value) {
  const json* const exclusive = member(schema, "exclusiveMinimum");
  if (!value.is_number()) return true;
  return exclusive != nullptr && *exclusive == true ? value > keyword : value >= keyword;
}

bool Check::exclusive_maximum(const json& keyword, const json& /*schema*/, const json& value) {
  return !value.is_number() || !keyword.is_number() || value < keyword;
}

bool Check::exclusive_minimum(const json& keyword, const json& /*schema*/, const json& value) {
  return !value.is_number() || !keyword.is_number() || value > keyword;
}

// ---- strings ----

bool Check::max_length(const json& keyword, const json& /*schema*/, const json& value) {
  return !value.is_string() || length_of(value) <= count_of(keyword);
}

bool Check::min_length(const json& keyword, const json& /*schema*/, const json& value) {
  return !value.is_string() || length_of(value) >= count_of(keyword);
}

std::size_t Check::length_of(const json& text) {
  const auto& bytes = text.get_ref<const std::string&>();
  spend(bytes.size() / kBytesAStep);
  return characters_of(bytes);
}

bool Check::pattern(const json& keyword, const json& /*schema*/, const json& value) {
  if (!value.is_string()) return true;
  return matches(keyword.get_ref<const std::string&>(), value.get_ref<const std::string&>(), true);
}

// ---- arrays ----

bool Check::prefix_items(const json& keyword, const json& /*schema*/, const json& value) {
  if (!value.is_array()) return true;
  for (std::size_t i = 0; i < std::min(keyword.size(), value.size()); ++i) {
    if (!fits(keyword[i], value[i])) return false;
  }
  return true;
}

bool Check::items(const json& keyword, const json& schema, const json& value) {
  if (!value.is_array()) return true;
  // An array in drafts 4 to 7 was what prefixItems is now, and additionalItems what items is.
  if (keyword.is_array() && !prefix_items(keyword, schema, value)) return false;
  const json* const prefix = keyword.is_array() ? &keyword : member(schema, "prefixItems");
  const json* const rest = keyword.is_array() ? member(schema, "additionalItems") : &keyword;
  if (rest == nullptr) return true;
  for (std::size_t i = prefix == nullptr ? 0 : prefix->size(); i < value.size(); ++i) {
    if (!fits(*rest, value[i])) return false;
  }
  return true;
}

bool Check::contains(const json& keyword, const json& schema, const json& value) {
  if (!value.is_array()) return true;
  const json* const least = member(schema, "minContains");
  const json* const most = member(schema, "maxContains");
  const auto count = static_cast<std::uint64_t>(
      std::ranges::count_if(value, [&](const json& item) { return would_fit(keyword, item); }));
  return count >= (least == nullptr ? 1 : count_of(*least)) && (most == nullptr || count <= count_of(*most));
}

bool Check::max_items(const json& keyword, const json& /*schema*/, const json& value) {
  return !value.is_array() || value.size() <= count_of(keyword);
}

bool Check::min_items(const json& keyword, const json& /*schema*/, const json& value) {
  return !value.is_array() || value.size() >= count_of(keyword);
}

bool Check::unique_items(const json& keyword, const json& /*schema*/, const json& value) {
  if (keyword == false || !value.is_array()) return true;
  if (!spend(cost_of(value) * std::bit_width(value.size()))) return true;
  const auto less = [](const json* left, const json* right) { return *left < *right; };
  std::set<const json*, decltype(less)> seen;
  return std::ranges::all_of(value, [&seen](const json& item) { return seen.insert(&item).second; });
}

// ---- objects ----

bool Check::properties(const json& keyword, const json& /*schema*/, const json& value) {
  if (!value.is_object() || !spend(keyword.size())) return true;
  for (const auto& [name, inner] : keyword.items()) {
    const json* const property = member(value, name);
    if (property != nullptr && !fits(inner, *property)) return false;
  }
  return true;
}

bool Check::pattern_properties(const json& keyword, const json& /*schema*/, const json& value) {
  if (!value.is_object()) return true;
  for (const auto& [pattern, inner] : keyword.items()) {
    for (const auto& [name, property] : value.items()) {
      if (matches(pattern, name, false) && !fits(inner, property)) return false;
    }
  }
  return true;
}

bool Check::additional_properties(const json& keyword, const json& schema, const json& value) {
  if (!value.is_object()) return true;
  const json* const properties = member(schema, "properties");
  const json* const patterns = member(schema, "patternProperties");
  const auto is_named = [&](const std::string& name) {
    if (properties != nullptr && properties->contains(name)) return true;
    if (patterns == nullptr) return false;
    return std::ranges::any_of(patterns->items(), [&](const auto& item) { return matches(item.key(), name, true); });
  };
  for (const auto& [name, property] : value.items()) {
    if (!is_named(name) && !fits(keyword, property)) return false;
  }
  return true;
}

bool Check::property_names(const json& keyword, const json& /*schema*/, const json& value) {
  if (!value.is_object()) return true;
  return std::ranges::all_of(value.items(), [&](const auto& item) { return would_fit(keyword, json(item.key())); });
}

bool Check::required(const json& keyword, const json& /*schema*/, const json& value) {
  if (!value.is_object() || !spend(keyword.size())) return true;
  return std::ranges::all_of(keyword,
                             [&](const json& name) { return value.contains(name.get_ref<const std::string&>()); });
}

bool Check::dependent(const json& keyword, const json& schema, const json& value) {
  if (!value.is_object() || !spend(keyword.size())) return true;
  for (const auto& [name, inner] : keyword.items()) {
    if (!value.contains(name)) continue;
    if (inner.is_array() ? !required(inner, schema, value) : !fits(inner, value)) return false;
  }
  return true;
}

bool Check::max_properties(const json& keyword, const json& /*schema*/, const json& value) {
  return !value.is_object() || value.size() <= count_of(keyword);
}

bool Check::min_properties(const json& keyword, const json& /*schema*/, const json& value) {
  return !value.is_object() || value.size() >= count_of(keyword);
}

}  // namespace

Verdict Schema::check(std::string_view text, std::size_t& steps, std::string& keyword) const {
  keyword.clear();
  if (nesting_of(text) > kMostNesting) return Verdict::undecided;
  const json value = json::parse(text, nullptr, false);
  if (value.is_discarded()) return Verdict::misfits;
  return Check(*parts_, steps, keyword).run(value);
}

}  // namespace turnpike::schema
