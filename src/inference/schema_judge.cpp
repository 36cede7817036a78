#include "schema_judge.hpp"

#include <spdlog/spdlog.h>

#include <nlohmann/json.hpp>

namespace turnpike::inference {

using nlohmann::json;

namespace {

const json* member(const json& value, const char* name) {
  if (!value.is_object()) return nullptr;
  const auto found = value.find(name);
  return found == value.end() ? nullptr : &*found;
}

}  // namespace

std::string SchemaJudge::misfit_of(const relay::WholeAnswer& answer) const {
  if (answer.json.size() > limits_.schema_max_bytes) {
    spdlog::info("{} the answer is too large to be held to its schema", job_.request.request_id);
    return {};
  }
  const auto schema = schema::Schema::read(job_.schema);
  if (!schema) return {};  // it was read before
  const json whole = json::parse(answer.json, nullptr, false);
  const json* const choices = member(whole, "choices");
  if (choices == nullptr || !choices->is_array()) return {};
  std::size_t steps = limits_.schema_max_steps;
  for (const json& choice : *choices) {
    if (auto misfit = misfit_of_choice(*schema, choice, steps); !misfit.empty()) return misfit;
  }
  return {};
}

// Only what is complete, and text: not what ran out of tokens, a refusal or the call of a tool.
std::string SchemaJudge::misfit_of_choice(const schema::Schema& schema, const json& choice, std::size_t& steps) const {
  const json* const reason = member(choice, "finish_reason");
  const json* const message = member(choice, "message");
  const json* const content = message == nullptr ? nullptr : member(*message, "content");
  if (reason == nullptr || *reason != "stop" || content == nullptr || !content->is_string()) return {};
  std::string keyword;
  switch (schema.check(content->get_ref<const std::string&>(), steps, keyword)) {
    case schema::Verdict::fits:
      return {};
    case schema::Verdict::undecided:
      spdlog::info("{} the answer takes too long to be held to its schema", job_.request.request_id);
      return {};
    case schema::Verdict::misfits:
      break;
  }
  // Not where: names in the answer are the answer's.
  return "the answer does not fit the schema of response_format: " +
         (keyword.empty() ? "it is not JSON" : "`" + keyword + "` refuses it");
}

}  // namespace turnpike::inference
