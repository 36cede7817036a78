#include "sample.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace turnpike::simnode {
namespace {

using nlohmann::json;

constexpr int kMostDepth = 16;
constexpr std::size_t kMostValues = 4096;  // that are not null: a schema that refers to itself asks for no end of them
constexpr std::size_t kMostLength = 1024;  // of a string, and items of an array

class Sampler {
 public:
  explicit Sampler(const json& root) : root_(root) {}

  json sample(const json& schema, int depth = 0) {
    if (!schema.is_object() || depth > kMostDepth || left_ == 0) return nullptr;
    --left_;
    if (const auto* to = target(schema)) return sample(*to, depth + 1);
    if (schema.contains("const")) return schema["const"];
    for (const char* name : {"enum", "anyOf", "oneOf", "allOf"}) {
      const auto found = schema.find(name);
      if (found == schema.end() || !found->is_array() || found->empty()) continue;
      return found.key() == "enum" ? found->front() : sample(found->front(), depth + 1);
    }
    const std::string type = type_of(schema);
    if (type == "object") return object(schema, depth);
    if (type == "array") return array(schema, depth);
    if (type == "string") return std::string(std::max<std::size_t>(least(schema, "minLength"), 1), 'a');
    if (type == "integer" || type == "number") return number(schema);
    if (type == "boolean") return true;
    return nullptr;
  }

 private:
  const json* target(const json& schema) const {
    const auto reference = schema.find("$ref");
    if (reference == schema.end() || !reference->is_string()) return nullptr;
    const auto& text = reference->get_ref<const std::string&>();
    if (!text.starts_with('#')) return nullptr;
    try {
      return &root_.at(json::json_pointer(text.substr(1)));
    } catch (const json::exception&) {
      return nullptr;  // leads to nothing
    }
  }

  // The first it may have; without one, what its members suggest.
  static std::string type_of(const json& schema) {
    const auto found = schema.find("type");
    if (found != schema.end() && found->is_string()) return *found;
    if (found != schema.end() && found->is_array() && !found->empty() && found->front().is_string()) {
      return found->front();
    }
    if (schema.contains("properties")) return "object";
    return schema.contains("items") ? "array" : "null";
  }

  static std::size_t least(const json& schema, const char* name) {
    const auto found = schema.find(name);
    if (found == schema.end() || !found->is_number_unsigned()) return 0;
    return std::min(found->get<std::size_t>(), kMostLength);
  }

  json object(const json& schema, int depth) {
    json out = json::object();
    const auto properties = schema.find("properties");
    if (properties == schema.end() || !properties->is_object()) return out;
    for (const auto& [name, inner] : properties->items()) out[name] = sample(inner, depth + 1);
    return out;
  }

  json array(const json& schema, int depth) {
    json out = json::array();
    const auto items = schema.find("items");
    const std::size_t most = schema.value("maxItems", json(1)) == 0 ? 0 : 1;
    const std::size_t size = std::max(least(schema, "minItems"), most);
    for (std::size_t i = 0; i < size; ++i) out.push_back(items == schema.end() ? json() : sample(*items, depth + 1));
    return out;
  }

  // 1, where that is within the bounds; else the bound that it passes, or what is next to one that is not included.
  static json number(const json& schema) {
    const auto bound = [&schema](const char* name, double otherwise) {
      const auto found = schema.find(name);
      return found != schema.end() && found->is_number() ? found->get<double>() : otherwise;
    };
    const double low = std::max(bound("minimum", -1e15), bound("exclusiveMinimum", -1e15 - 1) + 1);
    const double high = std::min(bound("maximum", 1e15), bound("exclusiveMaximum", 1e15 + 1) - 1);
    const double value = std::min(std::max(1.0, low), std::max(high, low));
    if (std::abs(value) > 1e15 || value != std::trunc(value)) return value;
    return static_cast<std::int64_t>(value);
  }

  const json& root_;
  std::size_t left_ = kMostValues;
};

}  // namespace

std::string sample_of(const nlohmann::json& schema) {
  return Sampler(schema).sample(schema).dump();
}

}  // namespace turnpike::simnode
