// Answers of nodes: whole completions, chunks of streams, embeddings.
#include <charconv>

#include "parsers.hpp"
#include "walk.hpp"

namespace turnpike::scan {
namespace {

using std::string_view;

class AnswerWalk {
 public:
  AnswerWalk(string_view json, AnswerScan& scan) : json_(json), scan_(scan) {}

  bool run(od::parser& parser);

 private:
  bool member(string_view key, od::value value);
  bool choices(od::value value);
  bool choice(od::value value);
  bool texts(od::value value);
  bool tool_calls(od::value value, int depth);
  bool usage(od::value value);
  bool text(od::value& value, bool is_content);
  [[nodiscard]] Span span_of(string_view raw) const {
    return {static_cast<std::size_t>(raw.data() - json_.data()), raw.size()};
  }

  string_view json_;
  AnswerScan& scan_;
  std::size_t contents_ = 0;
};

bool AnswerWalk::text(od::value& value, bool is_content) {
  od::json_type type{};
  if (value.type().get(type)) return false;
  if (type == od::json_type::object || type == od::json_type::array) return walk(value, 4);
  const auto token = token_of(value);
  if (!is_scalar(token)) return false;
  if (!token.starts_with('"')) return true;
  scan_.text_bytes += unescaped_bytes(token.substr(1, token.size() - 2));
  if (token.size() > 2 || is_content) {
    ++contents_;
    scan_.content = is_content && contents_ == 1 ? span_of(token) : Span{};
  }
  return true;
}

// Names and arguments of tool calls are text that a client gets and a node generates.
bool AnswerWalk::tool_calls(od::value value, int depth) {
  if (depth > kMostDepth) return false;
  od::json_type type{};
  if (value.type().get(type)) return false;
  if (type == od::json_type::array) {
    od::array array;
    if (value.get_array().get(array)) return false;
    for (auto element : array) {
      od::value item;
      if (std::move(element).get(item) || !tool_calls(item, depth + 1)) return false;
    }
    return true;
  }
  if (type == od::json_type::object) {
    od::object object;
    if (value.get_object().get(object)) return false;
    for (auto item : object) {
      string_view key;
      od::value inner;
      if (!open_member(item, key, inner)) return false;
      const bool generated = key == "name" || key == "arguments" || key == "function";
      if (!(generated ? tool_calls(inner, depth + 1) : walk(inner, depth + 1))) return false;
    }
    return true;
  }
  return text(value, false);
}

// `message` or `delta`.
bool AnswerWalk::texts(od::value value) {
  od::json_type type{};
  if (value.type().get(type)) return false;
  if (type != od::json_type::object) return walk(value, 3);
  od::object object;
  if (value.get_object().get(object)) return false;
  for (auto item : object) {
    string_view key;
    od::value inner;
    if (!open_member(item, key, inner)) return false;
    bool ok = false;
    if (key == "content") {
      ok = text(inner, true);
    } else if (key == "reasoning_content" || key == "reasoning" || key == "refusal") {
      ok = text(inner, false);
    } else if (key == "tool_calls" || key == "function_call") {
      ok = tool_calls(inner, 4);
    } else {
      ok = walk(inner, 4);
    }
    if (!ok) return false;
  }
  return true;
}

bool AnswerWalk::choice(od::value value) {
  od::object object;
  if (value.get_object().get(object)) return false;
  ++scan_.choices;
  for (auto item : object) {
    string_view key;
    od::value inner;
    if (!open_member(item, key, inner)) return false;
    bool ok = false;
    if (key == "message" || key == "delta") {
      ok = texts(inner);
    } else if (key == "text") {
      ok = text(inner, true);
    } else if (key == "finish_reason") {
      ok = walk(inner, 3);
      if (ok && token_of(inner).starts_with('"')) ++scan_.finished_choices;
    } else {
      ok = walk(inner, 3);
    }
    if (!ok) return false;
  }
  return true;
}

bool AnswerWalk::choices(od::value value) {
  scan_.has_choices = true;
  od::array array;
  if (value.get_array().get(array)) return false;
  for (auto element : array) {
    od::value item;
    if (std::move(element).get(item) || !choice(item)) return false;
  }
  return true;
}

bool AnswerWalk::usage(od::value value) {
  od::json_type type{};
  if (value.type().get(type)) return false;
  if (type != od::json_type::object) return walk(value, 2);
  const auto begin = static_cast<std::size_t>(token_of(value).data() - json_.data());
  od::object object;
  if (value.get_object().get(object)) return false;
  for (auto item : object) {
    string_view key;
    od::value inner;
    if (!open_member(item, key, inner)) return false;
    auto* count = key == "prompt_tokens"       ? &scan_.counts.prompt_tokens
                  : key == "completion_tokens" ? &scan_.counts.completion_tokens
                                               : nullptr;
    od::json_type kind{};
    if (inner.type().get(kind)) return false;
    if (count != nullptr && kind == od::json_type::number) {
      const auto token = token_of(inner);
      std::uint64_t tokens = 0;
      const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), tokens);
      // A count that is no count (negative, fractional, too large) is no claim at all.
      if (error == std::errc{} && end == token.data() + token.size()) *count = tokens;
      if (!is_number(token)) return false;
    } else if (!walk(inner, 3)) {
      return false;
    }
  }
  scan_.usage = {begin, 1};
  return true;
}

bool AnswerWalk::member(string_view key, od::value value) {
  if (key == "choices") return choices(value);
  if (key == "usage") return usage(value);
  od::json_type type{};
  if (value.type().get(type)) return false;
  const bool scalar = type != od::json_type::object && type != od::json_type::array;
  auto* const place = key == "id"        ? &scan_.id
                      : key == "model"   ? &scan_.model
                      : key == "created" ? &scan_.created
                                         : nullptr;
  if (place != nullptr) {
    if (!scalar) return walk(value, 1);
    const auto token = token_of(value);
    *place = span_of(token);
    return is_scalar(token);
  }
  if (key == "error") {
    scan_.is_error = type != od::json_type::null;
  } else if (key == "metadata") {
    const auto token = token_of(value);
    const bool ok = walk(value, 1);
    scan_.metadata = {span_of(token).at, scalar ? token.size() : 1};
    return ok;
  } else if (key == "data" && type == od::json_type::array) {
    scan_.has_data = true;
  }
  return walk(value, 1);
}

bool AnswerWalk::run(od::parser& parser) {
  od::document document;
  od::object object;
  if (parser.iterate(json_.data(), json_.size(), json_.size() + kPadding).get(document)) return false;
  if (document.get_object().get(object)) return false;
  for (auto item : object) {
    string_view key;
    od::value inner;
    if (!open_member(item, key, inner)) return false;
    if (!member(key, inner)) return false;
  }
  if (!at_end(document)) return false;
  scan_.object_end = json_.rfind('}');
  scan_.finished = scan_.choices > 0 && scan_.finished_choices == scan_.choices;
  if (scan_.choices != 1) scan_.content = {};
  return true;
}

}  // namespace

Scanner::Scanner() : parsers_(std::make_unique<Parsers>()) {}
Scanner::~Scanner() = default;

std::expected<void, std::string> Scanner::answer(string_view json, AnswerScan& answer) {
  answer = {};
  AnswerWalk walk(json, answer);
  bool ok = false;
  if (json.size() <= kKeptCapacity) {
    ok = walk.run(parsers_->answer);
  } else {
    od::parser own;
    ok = walk.run(own);
  }
  if (!ok) return std::unexpected("the node sent JSON that cannot be read");
  return {};
}

}  // namespace turnpike::scan
