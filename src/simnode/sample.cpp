#include "sample.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace turnpike::simnode {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kMostDepth = 16;
constexpr std::size_t kMostLength = 1024;  // of a string, and items of an array

class Sampler {
 public:
  explicit Sampler(const Json& root) : root_(root) {}

  Json sample(const Json& schema, int depth = 0) const {
    if (!schema.is_object() || depth > kMostDepth) return nullptr;
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
  const Json* target(const Json& schema) const {
    const auto reference = schema.find("$ref");
    if (reference == schema.end() || !reference->is_string()) return nullptr;
    const auto& text = reference->get_ref<const std::string&>();
    if (!text.starts_with('#')) return nullptr;
    try {
      return &root_.at(Json::json_pointer(text.substr(1)));
    } catch (const Json::exception&) {
      return nullptr;  // leads to nothing
    }
  }

  // The first it may have; without one, what its members suggest.
  static std::string type_of(const Json& schema) {
    const auto found = schema.find("type");
    if (found != schema.end() && found->is_string()) return *found;
    if (found != schema.end() && found->is_array() && !found->empty() && found->front().is_string()) {
      return found->front();
    }
    if (schema.contains("properties")) return "object";
    return schema.contains("items") ? "array" : "null";
  }

  static std::size_t least(const Json& schema, const char* name) {
    const auto found = schema.find(name);
    if (found == schema.end() || !found->is_number_unsigned()) return 0;
    return std::min(found->get<std::size_t>(), kMostLength);
  }

  Json object(const Json& schema, int depth) const {
    Json out = Json::object();
    const auto properties = schema.find("properties");
    if (properties == schema.end() || !properties->is_object()) return out;
    for (const auto& [name, inner] : properties->items()) out[name] = sample(inner, depth + 1);
    return out;
  }

  Json array(const Json& schema, int depth) const {
    Json out = Json::array();
    const auto items = schema.find("items");
    const std::size_t most = schema.value("maxItems", Json(1)) == 0 ? 0 : 1;
    const std::size_t size = std::max(least(schema, "minItems"), most);
    for (std::size_t i = 0; i < size; ++i) out.push_back(items == schema.end() ? Json() : sample(*items, depth + 1));
    return out;
  }

  // 1, where that is within the bounds; else the bound that it passes, or what is next to one that is not included.
  static Json number(const Json& schema) {
    const auto bound = [&schema](const char* name, double otherwise) {
      const auto found = schema.find(name);
      return found != schema.end() && found->is_number() ? found->get<double>() : otherwise;
    };
    const double low = std::max(bound("minimum", -1e15), bound("exclusiveMinimum", -1e15 - 1) + 1);
    const double high = std::min(bound("maximum", 1e15), bound("exclusiveMaximum", 1e15 + 1) - 1);
    const double value = std::min(std::max(1.0, low), std::max(high, low));
    if (value == static_cast<double>(static_cast<std::int64_t>(value))) return static_cast<std::int64_t>(value);
    return value;
  }

  const Json& root_;
};

}  // namespace

std::string sample_of(const nlohmann::json& schema) {
  const Json root = schema;
  return Sampler(root).sample(root).dump();
}

}  // namespace turnpike::simnode
