// Requests: what API.md checks, and nothing of what it passes on but its grammar.
#include <algorithm>
#include <array>
#include <charconv>
#include <functional>
#include <utility>

#include "parsers.hpp"
#include "walk.hpp"

namespace turnpike::scan {
namespace {

using std::string_view;

class RequestWalk {
 public:
  RequestWalk(RequestKind kind, string_view body) : kind_(kind), body_(body) {}

  Result<RequestScan> run(od::parser& parser);

 private:
  // Each returns false after noting a fault.
  bool member(string_view key, od::value value);
  bool known_member(string_view key, od::value& value);
  bool messages(od::value value);
  bool message(od::value value, std::size_t index);
  bool content(od::value value, std::size_t message);
  bool part(od::value value, const std::string& where);
  bool image(od::value value, const std::string& where);
  bool inputs(string_view key, od::value value);
  bool input_item(od::value value, const std::string& where, int depth);
  bool stream_options(od::value value);
  bool response_format(od::value value);
  bool json_schema(od::value value);
  bool stop(od::value value);
  bool boolean(string_view key, od::value& value, bool& out);
  bool count(string_view key, od::value& value, std::uint64_t least, std::uint64_t most,
             std::optional<std::uint64_t>& out);
  bool number(string_view key, od::value& value, double least, double most, std::optional<double>* out = nullptr);
  bool finish();
  bool bad(std::string message, std::string param);
  bool malformed() { return bad("the body is not valid JSON", ""); }
  bool pass(od::value value) { return walk(value, 1) || malformed(); }
  [[nodiscard]] Span span_of(string_view raw) const {
    return {static_cast<std::size_t>(raw.data() - body_.data()), raw.size()};
  }

  RequestKind kind_;
  string_view body_;
  RequestScan scan_;
  std::optional<Error> fault_;
  std::size_t image_bytes_ = 0;
  bool tools_ = false;
  bool logprobs_ = false;
  bool has_subject_ = false;  // messages, prompt or input
  bool bare_token_ids_ = false;
};

bool is_null(od::value& value) {
  return token_of(value) == "null";
}

od::json_type type_of(od::value& value, bool& ok) {
  od::json_type type{};
  ok = value.type().get(type) == simdjson::SUCCESS;
  return type;
}

bool RequestWalk::bad(std::string message, std::string param) {
  if (!fault_)
    fault_ = Error{.fault = Fault::invalid_request, .message = std::move(message), .param = std::move(param)};
  return false;
}

bool RequestWalk::boolean(string_view key, od::value& value, bool& out) {
  const auto token = token_of(value);
  if (token == "null") return true;
  if (token != "true" && token != "false") return bad(std::string(key) + " must be true or false", std::string(key));
  out = token == "true";
  return true;
}

bool RequestWalk::count(string_view key, od::value& value, std::uint64_t least, std::uint64_t most,
                        std::optional<std::uint64_t>& out) {
  const auto token = token_of(value);
  if (token == "null") return true;
  std::uint64_t read = 0;
  const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), read);
  if (error != std::errc{} || end != token.data() + token.size() || !is_number(token) || read < least || read > most) {
    return bad(
        std::string(key) + " must be a whole number from " + std::to_string(least) + " to " + std::to_string(most),
        std::string(key));
  }
  out = read;
  return true;
}

bool RequestWalk::number(string_view key, od::value& value, double least, double most, std::optional<double>* out) {
  const auto token = token_of(value);
  if (token == "null") return true;
  double read = 0;
  const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), read);
  const bool whole = error == std::errc{} && end == token.data() + token.size() && is_number(token);
  const bool right = whole && read >= least && read <= most;
  if (!right) {
    const auto text = [](double bound) {
      std::array<char, 32> digits{};
      const auto written = std::to_chars(digits.data(), digits.data() + digits.size(), bound);
      return std::string(digits.data(), written.ptr);
    };
    return bad(std::string(key) + " must be a number from " + text(least) + " to " + text(most), std::string(key));
  }
  if (out != nullptr) *out = read;
  return true;
}

bool RequestWalk::image(od::value value, const std::string& where) {
  od::object object;
  if (value.get_object().get(object)) return bad("image_url must be an object with a url", where);
  bool has_url = false;
  for (auto item : object) {
    string_view key;
    od::value inner;
    if (!open_member(item, key, inner)) return malformed();
    if (key != "url") {
      if (!walk(inner, 5)) return malformed();
      continue;
    }
    const auto token = token_of(inner);
    if (!is_string(token)) return bad("url must be a string", where + ".url");
    if (!token.starts_with("\"data:") && !token.starts_with("\"https:")) {
      return bad("url must be a data: or https: URL", where + ".url");
    }
    image_bytes_ += token.size();
    has_url = true;
  }
  if (!has_url) return bad("url is missing", where + ".url");
  ++scan_.images;
  return true;
}

bool RequestWalk::part(od::value value, const std::string& where) {
  od::object object;
  if (value.get_object().get(object)) return bad("a content part must be an object", where);
  std::string type;
  bool has_text = false;
  bool has_image = false;
  for (auto item : object) {
    string_view key;
    od::value inner;
    if (!open_member(item, key, inner)) return malformed();
    if (key == "type") {
      const auto token = token_of(inner);
      if (!is_string(token)) return bad("type must be a string", where + ".type");
      type = token.substr(1, token.size() - 2);
    } else if (key == "text" || key == "refusal") {
      const auto token = token_of(inner);
      if (!is_string(token)) return bad(std::string(key) + " must be a string", where + "." + std::string(key));
      scan_.text_bytes += token.size() - 2;
      has_text = true;
    } else if (key == "image_url") {
      if (!image(inner, where + ".image_url")) return false;
      has_image = true;
    } else if (!walk(inner, 4)) {
      return malformed();
    }
  }
  if (type == "text" || type == "refusal") return has_text || bad(type + " is missing", where + "." + type);
  if (type == "image_url") return has_image || bad("image_url is missing", where + ".image_url");
  if (type.empty()) return bad("type is missing", where + ".type");
  return bad("type must be text or image_url", where + ".type");
}

bool RequestWalk::content(od::value value, std::size_t message) {
  const auto where = [message] { return "messages[" + std::to_string(message) + "].content"; };
  bool ok = false;
  const auto type = type_of(value, ok);
  if (!ok) return malformed();
  if (type == od::json_type::array) {
    od::array array;
    if (value.get_array().get(array)) return malformed();
    std::size_t index = 0;
    for (auto element : array) {
      od::value item;
      if (std::move(element).get(item)) return malformed();
      if (!part(item, where() + "[" + std::to_string(index++) + "]")) return false;
    }
    return true;
  }
  if (type == od::json_type::object) return bad("content must be a string or an array of parts", where());
  const auto token = token_of(value);
  if (token == "null") return true;  // an assistant's that only calls tools
  if (!is_scalar(token)) return malformed();
  if (!is_string(token)) return bad("content must be a string or an array of parts", where());
  scan_.text_bytes += token.size() - 2;
  return true;
}

bool RequestWalk::message(od::value value, std::size_t index) {
  // The path is written only when a fault needs it: most messages have none.
  const auto where = [index](string_view member) {
    return "messages[" + std::to_string(index) + "]" + (member.empty() ? "" : "." + std::string(member));
  };
  od::object object;
  if (value.get_object().get(object)) return bad("a message must be an object", where(""));
  bool has_role = false;
  bool has_content = false;
  bool has_calls = false;
  bool assistant = false;
  for (auto item : object) {
    string_view key;
    od::value inner;
    if (!open_member(item, key, inner)) return malformed();
    if (key == "role") {
      if (has_role) return bad("role is there twice", where("role"));
      has_role = true;
      const auto token = token_of(inner);
      static constexpr std::array<string_view, 6> kRoles{"\"user\"", "\"assistant\"", "\"system\"",
                                                         "\"tool\"", "\"developer\"", "\"function\""};
      if (std::ranges::find(kRoles, token) == kRoles.end()) {
        return bad("role must be system, developer, user, assistant or tool", where("role"));
      }
      assistant = token == "\"assistant\"";
    } else if (key == "content") {
      if (has_content) return bad("content is there twice", where("content"));
      has_content = !is_null(inner);
      if (!content(inner, index)) return false;
    } else {
      if (key == "tool_calls" || key == "function_call") has_calls = tools_ = true;
      if (!walk(inner, 3)) return malformed();
    }
  }
  if (!has_role) return bad("role is missing", where("role"));
  if (!has_content && !has_calls && !assistant) return bad("content is missing", where("content"));
  return true;
}

bool RequestWalk::messages(od::value value) {
  od::array array;
  if (value.get_array().get(array)) return bad("messages must be an array", "messages");
  for (auto element : array) {
    od::value item;
    if (std::move(element).get(item)) return malformed();
    if (!message(item, scan_.messages)) return false;
    ++scan_.messages;
  }
  if (scan_.messages == 0) return bad("messages must not be empty", "messages");
  has_subject_ = true;
  return true;
}

bool RequestWalk::input_item(od::value value, const std::string& where, int depth) {
  bool ok = false;
  const auto type = type_of(value, ok);
  if (!ok) return malformed();
  if (type == od::json_type::array && depth < 2) {
    od::array array;
    if (value.get_array().get(array)) return malformed();
    std::size_t index = 0;
    for (auto element : array) {
      od::value item;
      if (std::move(element).get(item)) return malformed();
      if (!input_item(item, where, depth + 1)) return false;
      ++index;
    }
    // A bare array of token ids is one text.
    if (depth == 0 && !bare_token_ids_) scan_.inputs = index;
    return index > 0 || bad("it must not be empty", where);
  }
  if (type == od::json_type::object || type == od::json_type::array) {
    return bad("it must be a string, or an array of strings or of token ids", where);
  }
  const auto token = token_of(value);
  if (!is_scalar(token)) return malformed();
  const bool token_id = is_number(token) && token.find_first_not_of("0123456789") == string_view::npos;
  if (!is_string(token) && (depth == 0 || !token_id)) {
    return bad("it must be a string, or an array of strings or of token ids", where);
  }
  bare_token_ids_ = bare_token_ids_ || (depth == 1 && token_id);
  scan_.text_bytes += token.size();
  ++scan_.messages;
  return true;
}

bool RequestWalk::inputs(string_view key, od::value value) {
  has_subject_ = true;
  return input_item(value, std::string(key), 0);
}

bool RequestWalk::stream_options(od::value value) {
  if (is_null(value)) {
    scan_.stream_options_null = span_of(token_of(value));
    return true;
  }
  od::object object;
  if (value.get_object().get(object)) return bad("stream_options must be an object", "stream_options");
  for (auto item : object) {
    string_view key;
    od::value inner;
    if (!open_member(item, key, inner)) return malformed();
    if (key == "include_usage") {
      if (scan_.stream_options_usage.found())
        return bad("include_usage is there twice", "stream_options.include_usage");
      const auto token = token_of(inner);
      if (token != "true" && token != "false" && token != "null") {
        return bad("include_usage must be true or false", "stream_options.include_usage");
      }
      scan_.include_usage = token == "true";
      scan_.stream_options_usage = span_of(token);
    } else if (!walk(inner, 2)) {
      return malformed();
    }
  }
  return true;
}

bool RequestWalk::response_format(od::value value) {
  if (is_null(value)) return true;
  od::object object;
  if (value.get_object().get(object)) return bad("response_format must be an object", "response_format");
  std::string type;
  for (auto item : object) {
    string_view key;
    od::value inner;
    if (!open_member(item, key, inner)) return malformed();
    if (key == "type") {
      const auto token = token_of(inner);
      if (!is_string(token)) return bad("type must be a string", "response_format.type");
      type = token.substr(1, token.size() - 2);
    } else if (key == "json_schema" && !is_null(inner)) {
      if (!json_schema(inner)) return false;
    } else if (!walk(inner, 2)) {
      return malformed();
    }
  }
  if (type == "json_object") {
    scan_.response_format = ResponseFormat::json_object;
  } else if (type == "json_schema") {
    scan_.response_format = ResponseFormat::json_schema;
  } else if (type != "text") {
    return bad("type must be text, json_object or json_schema", "response_format.type");
  }
  return true;
}

bool RequestWalk::json_schema(od::value value) {
  od::object object;
  if (value.get_object().get(object)) {
    return bad("json_schema must be an object", "response_format.json_schema");
  }
  for (auto item : object) {
    string_view key;
    od::value inner;
    if (!open_member(item, key, inner)) return malformed();
    if (key == "schema") {
      const auto raw = token_of(inner);
      if (scan_.schema_span.found()) return bad("schema is there twice", "response_format.json_schema.schema");
      if (!raw.starts_with('{')) return bad("schema must be an object", "response_format.json_schema.schema");
      scan_.schema_span = {span_of(raw).at, 1};
    }
    if (!walk(inner, 3)) return malformed();
  }
  return true;
}

bool RequestWalk::stop(od::value value) {
  bool ok = false;
  const auto type = type_of(value, ok);
  if (!ok) return malformed();
  if (type != od::json_type::array) {
    const auto token = type == od::json_type::object ? string_view{} : token_of(value);
    return is_string(token) || token == "null" || bad("stop must be a string or an array of strings", "stop");
  }
  od::array array;
  if (value.get_array().get(array)) return malformed();
  for (auto element : array) {
    od::value item;
    if (std::move(element).get(item)) return malformed();
    od::json_type inner{};
    if (item.type().get(inner)) return malformed();
    if (inner != od::json_type::string || !is_string(token_of(item))) {
      return bad("stop must be a string or an array of strings", "stop");
    }
  }
  return true;
}

bool RequestWalk::known_member(string_view key, od::value& value) {
  if (key == "model") {
    const auto token = token_of(value);
    if (!is_string(token)) return bad("model must be a string", "model");
    string_view text;
    if (value.get_string().get(text)) return bad("model must be a string", "model");
    if (text.empty()) return bad("model must not be empty", "model");
    scan_.model = text;
    scan_.model_span = span_of(token);
    return true;
  }
  if (key == "stream") return boolean(key, value, scan_.stream);
  if (key == "max_tokens" || key == "max_completion_tokens") {
    std::optional<std::uint64_t> tokens;
    (key == "max_tokens" ? scan_.max_tokens_span : scan_.max_completion_tokens_span) = span_of(token_of(value));
    if (!count(key, value, 1, 1U << 30U, tokens)) return false;
    if (tokens) scan_.max_tokens = std::max(scan_.max_tokens.value_or(0), *tokens);
    return true;
  }
  if (key == "n") {
    std::optional<std::uint64_t> n;
    if (!count(key, value, 1, 128, n)) return false;
    scan_.choices = n.value_or(1);
    return true;
  }
  if (key == "best_of" && kind_ == RequestKind::completion) {
    std::optional<std::uint64_t> candidates;
    if (!count(key, value, 1, 128, candidates)) return false;
    scan_.candidates = candidates.value_or(1);
    return true;
  }
  if (key == "timeout_secs") return number(key, value, 0.001, 86'400, &scan_.timeout_secs);
  if (key == "temperature") return number(key, value, 0, 2);
  if (key == "top_p") return number(key, value, 0, 1);
  if (key == "frequency_penalty" || key == "presence_penalty") return number(key, value, -2, 2);
  if (key == "stream_options") return stream_options(value);
  if (key == "response_format") return response_format(value);
  if (key == "stop") return stop(value);
  if (key == "messages") return messages(value);
  if (key == "prompt" || key == "input") return inputs(key, value);
  return pass(value);
}

// The members of which the gateway reads a value: two of the same name would let it read one and the node the other.
bool is_read(RequestKind kind, string_view key) {
  static constexpr std::array<string_view, 15> kRead{"model",
                                                     "stream",
                                                     "max_tokens",
                                                     "max_completion_tokens",
                                                     "n",
                                                     "best_of",
                                                     "timeout_secs",
                                                     "temperature",
                                                     "top_p",
                                                     "frequency_penalty",
                                                     "presence_penalty",
                                                     "stream_options",
                                                     "response_format",
                                                     "stop",
                                                     "tools"};
  if (key == "messages") return kind == RequestKind::chat;
  if (key == "prompt") return kind == RequestKind::completion;
  if (key == "input") return kind == RequestKind::embedding;
  return std::ranges::find(kRead, key) != kRead.end();
}

bool RequestWalk::member(string_view key, od::value value) {
  const std::string name(key);  // the parser's buffer is used again by the value
  const bool read = is_read(kind_, name);
  if (read && scan_.has(name)) return bad(name + " is there twice", name);
  scan_.members.push_back(name);
  if (!read) {
    if (name == "logprobs" || name == "top_logprobs" || name == "functions" || name == "logit_bias" ||
        name == "audio") {
      logprobs_ = true;
    }
    return pass(value);
  }
  od::json_type type{};
  if (value.type().get(type)) return malformed();
  const bool container = type == od::json_type::object || type == od::json_type::array;
  if (!container && !is_scalar(token_of(value))) return malformed();
  if (name == "stream_options" || name == "messages" || name == "tools") {
    if (name == "tools") tools_ = tools_ || container;
    string_view raw = token_of(value);
    const auto begin = static_cast<std::size_t>(raw.data() - body_.data());
    if (!known_member(name, value)) return false;
    if (name == "tools" || !container) return true;
    (name == "messages" ? scan_.messages_span : scan_.stream_options) = {begin, 1};
    return true;
  }
  if (container && name != "response_format" && name != "stop" && name != "prompt" && name != "input") {
    return bad(name + " must not be an object or an array", name);
  }
  return known_member(name, value);
}

bool RequestWalk::finish() {
  if (scan_.model.empty()) return bad("model is missing", "model");
  if (!has_subject_) {
    const auto* name = kind_ == RequestKind::chat ? "messages" : kind_ == RequestKind::completion ? "prompt" : "input";
    return bad(std::string(name) + " is missing", name);
  }
  if (kind_ == RequestKind::embedding && scan_.stream) return bad("embeddings are not streamed", "stream");
  scan_.prompt_bytes = body_.size() - image_bytes_;
  scan_.continuable = kind_ == RequestKind::chat && scan_.choices == 1 && !tools_ && !logprobs_ && scan_.images == 0 &&
                      scan_.response_format == ResponseFormat::text;
  scan_.object_end = body_.rfind('}');
  // What requests of one conversation have in common is their beginning.
  const auto from = scan_.messages_span.at;
  scan_.prefix_hash = std::hash<string_view>{}(body_.substr(from, std::min<std::size_t>(256, body_.size() - from)));
  return true;
}

Result<RequestScan> RequestWalk::run(od::parser& parser) {
  scan_.members.reserve(8);
  od::document document;
  od::object object;
  const auto refuse = [this] {
    malformed();
    return std::unexpected(*std::move(fault_));
  };
  if (const auto error = parser.iterate(body_.data(), body_.size(), body_.size() + kPadding).get(document); error) {
    if (error == simdjson::UTF8_ERROR) bad("the body is not valid UTF-8", "");
    return refuse();
  }
  od::json_type type{};
  if (document.type().get(type)) return refuse();
  if (type != od::json_type::object) {
    bad("the body must be a JSON object", "");
    return refuse();
  }
  if (document.get_object().get(object)) return refuse();
  for (auto item : object) {
    string_view key;
    od::value inner;
    if (!open_member(item, key, inner)) return refuse();
    if (!member(key, inner)) return refuse();
  }
  if (!at_end(document)) return refuse();
  if (!finish()) return refuse();
  return std::move(scan_);
}

}  // namespace

bool RequestScan::has(string_view member) const {
  return std::ranges::find(members, member) != members.end();
}

Result<RequestScan> Scanner::request(RequestKind kind, string_view body) {
  if (body.empty()) return fail(Fault::invalid_request, "the body is empty");
  RequestWalk walk(kind, body);
  if (body.size() <= kKeptCapacity) return walk.run(parsers_->request);
  od::parser own;
  return walk.run(own);
}

}  // namespace turnpike::scan
