#include "render.hpp"

#include <cstring>
#include <nlohmann/json.hpp>

#include "speech.hpp"
#include "turnpike/base/encoding.hpp"

namespace turnpike::simnode {
namespace {

using json = nlohmann::ordered_json;

std::string dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

json usage_object(Usage usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens}};
}

json head_object(const AnswerHead& head, std::string_view chat_object) {
  return {{"id", head.id},
          {"object", head.chat ? std::string(chat_object) : "text_completion"},
          {"created", head.created},
          {"model", head.model}};
}

json tool_calls() {
  return json::array({{{"index", 0},
                       {"id", "call_sim"},
                       {"type", "function"},
                       {"function", {{"name", "get_weather"}, {"arguments", "{\"city\":\"Oslo\"}"}}}}});
}

std::string chunk(const AnswerHead& head, std::int64_t choice, json delta, std::string_view text, json reason) {
  json root = head_object(head, "chat.completion.chunk");
  json one = {{"index", choice}};
  if (head.chat) {
    one["delta"] = std::move(delta);
  } else {
    one["text"] = text;
  }
  one["logprobs"] = nullptr;
  one["finish_reason"] = std::move(reason);
  root["choices"] = json::array({std::move(one)});
  return dump(root);
}

}  // namespace

std::string completion_body(const AnswerHead& head, const std::vector<Choice>& choices, std::optional<Usage> usage) {
  json root = head_object(head, "chat.completion");
  root["choices"] = json::array();
  for (std::size_t i = 0; i < choices.size(); ++i) {
    json one = {{"index", i}};
    if (head.chat) {
      one["message"] = {{"role", "assistant"}, {"content", choices[i].text}};
      if (choices[i].tool_call)
        one["message"] = {{"role", "assistant"}, {"content", nullptr}, {"tool_calls", tool_calls()}};
    } else {
      one["text"] = choices[i].text;
    }
    one["logprobs"] = nullptr;
    one["finish_reason"] = choices[i].finish_reason;
    root["choices"].push_back(std::move(one));
  }
  if (usage) root["usage"] = usage_object(*usage);
  return dump(root);
}

std::string role_chunk(const AnswerHead& head, std::int64_t choice) {
  return chunk(head, choice, {{"role", "assistant"}, {"content", ""}}, "", nullptr);
}

std::string text_chunk(const AnswerHead& head, std::int64_t choice, std::string_view text) {
  return chunk(head, choice, {{"content", text}}, text, nullptr);
}

std::string tool_chunk(const AnswerHead& head, std::int64_t choice) {
  return chunk(head, choice, {{"tool_calls", tool_calls()}}, "", nullptr);
}

std::string finish_chunk(const AnswerHead& head, std::int64_t choice, std::string_view reason) {
  return chunk(head, choice, json::object(), "", reason);
}

std::string usage_chunk(const AnswerHead& head, Usage usage) {
  json root = head_object(head, "chat.completion.chunk");
  root["choices"] = json::array();
  root["usage"] = usage_object(usage);
  return dump(root);
}

std::string embedding_body(const EmbeddingPrompt& prompt) {
  json data = json::array();
  for (const std::string& input : prompt.inputs) {
    const std::vector<float> vector = embedding(input, prompt.dimensions);
    json one = {{"object", "embedding"}, {"index", data.size()}};
    if (prompt.base64) {
      std::string bytes(vector.size() * sizeof(float), '\0');
      std::memcpy(bytes.data(), vector.data(), bytes.size());
      one["embedding"] = to_base64(bytes);
    } else {
      one["embedding"] = vector;
    }
    data.push_back(std::move(one));
  }
  return dump({{"object", "list"},
               {"data", std::move(data)},
               {"model", prompt.model},
               {"usage", {{"prompt_tokens", prompt.prompt_tokens}, {"total_tokens", prompt.prompt_tokens}}}});
}

std::string models_body(const std::vector<std::string>& models, std::int64_t created) {
  json data = json::array();
  for (const std::string& model : models) {
    data.push_back({{"id", model}, {"object", "model"}, {"created", created}, {"owned_by", "simnode"}});
  }
  return dump({{"object", "list"}, {"data", std::move(data)}});
}

std::string error_body(int status, std::string_view message) {
  const char* type = status < 500 ? "invalid_request_error" : "server_error";
  return dump({{"error", {{"message", message}, {"type", type}, {"param", nullptr}, {"code", status}}}});
}

}  // namespace turnpike::simnode
