#include "prompt.hpp"

#include <nlohmann/json.hpp>

#include "sample.hpp"

namespace turnpike::simnode {
namespace {

using nlohmann::json;

struct Content {
  std::string text;
  std::int64_t images = 0;
};

Content content_of(const json& message) {
  Content out;
  const auto content = message.find("content");
  if (content == message.end()) return out;
  if (content->is_string()) out.text = content->get<std::string>();
  if (!content->is_array()) return out;
  for (const json& part : *content) {
    if (!part.is_object()) continue;
    if (part.contains("text") && part["text"].is_string()) out.text += part["text"].get<std::string>();
    if (part.contains("image_url")) ++out.images;
  }
  return out;
}

std::int64_t tokens_of(std::size_t bytes) {
  return static_cast<std::int64_t>((bytes + 3) / 4);
}

std::expected<json, std::string> object_of(std::string_view body) {
  json root = json::parse(body, nullptr, false);
  if (!root.is_object()) return std::unexpected("the body is not a JSON object");
  if (!root.contains("model") || !root["model"].is_string()) return std::unexpected("model is required");
  return root;
}

bool flag(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_boolean() && found->get<bool>();
}

Prompt common(const json& root) {
  Prompt out;
  out.model = root["model"].get<std::string>();
  out.stream = flag(root, "stream");
  if (root.contains("stream_options") && root["stream_options"].is_object()) {
    out.include_usage = flag(root["stream_options"], "include_usage");
  }
  for (const char* name : {"max_tokens", "max_completion_tokens"}) {
    if (root.contains(name) && root[name].is_number_integer()) out.max_tokens = root[name].get<std::int64_t>();
  }
  if (root.contains("n") && root["n"].is_number_integer()) out.choices = root["n"].get<std::int64_t>();
  return out;
}

}  // namespace

std::expected<Prompt, std::string> scan_chat(std::string_view body) {
  const auto root = object_of(body);
  if (!root) return std::unexpected(root.error());
  if (!root->contains("messages") || !(*root)["messages"].is_array() || (*root)["messages"].empty()) {
    return std::unexpected("messages is required");
  }
  Prompt out = common(*root);
  std::size_t bytes = 0;
  for (const json& message : (*root)["messages"]) {
    if (!message.is_object()) return std::unexpected("a message is not an object");
    const Content content = content_of(message);
    bytes += content.text.size();
    out.prompt_tokens += 4 + 85 * content.images;
    const std::string role = message.value("role", "");
    if (role == "user") out.said = content.text;
    out.prefix = role == "assistant" ? content.text : "";
  }
  out.prompt_tokens += tokens_of(bytes);
  const bool generation_prompt = !root->contains("add_generation_prompt") || flag(*root, "add_generation_prompt");
  const json::json_pointer schema("/response_format/json_schema/schema");
  if (root->contains(schema)) out.sample = sample_of(root->at(schema));
  out.repeat_prefix = !out.prefix.empty() && (!flag(*root, "continue_final_message") || generation_prompt);
  return out;
}

std::expected<Prompt, std::string> scan_completion(std::string_view body) {
  const auto root = object_of(body);
  if (!root) return std::unexpected(root.error());
  Prompt out = common(*root);
  out.chat = false;
  const json prompt = root->value("prompt", json());
  if (prompt.is_string()) {
    out.said = prompt.get<std::string>();
  } else if (prompt.is_array() && !prompt.empty() && prompt[0].is_string()) {
    out.said = prompt[0].get<std::string>();
  } else {
    return std::unexpected("prompt is required");
  }
  out.prompt_tokens = tokens_of(out.said.size());
  return out;
}

std::expected<EmbeddingPrompt, std::string> scan_embedding(std::string_view body) {
  const auto root = object_of(body);
  if (!root) return std::unexpected(root.error());
  EmbeddingPrompt out;
  out.model = (*root)["model"].get<std::string>();
  out.base64 = root->contains("encoding_format") && (*root)["encoding_format"] == "base64";
  if (root->contains("dimensions") && (*root)["dimensions"].is_number_unsigned()) {
    out.dimensions = std::min<std::size_t>((*root)["dimensions"].get<std::size_t>(), 4096);
  }
  const json input = root->value("input", json());
  const auto take = [&out](const json& one) {
    if (one.is_string()) {
      out.inputs.push_back(one.get<std::string>());
      out.prompt_tokens += tokens_of(out.inputs.back().size());
    } else if (one.is_array()) {
      std::string ids;
      for (const json& id : one) ids += (ids.empty() ? "" : ",") + id.dump();
      out.inputs.push_back(ids);
      out.prompt_tokens += static_cast<std::int64_t>(one.size());
    }
  };
  const bool many = input.is_array() && !input.empty() && !input[0].is_number();
  if (many) {
    for (const json& one : input) take(one);
  } else {
    take(input);
  }
  if (out.inputs.empty()) return std::unexpected("input is required");
  return out;
}

}  // namespace turnpike::simnode
