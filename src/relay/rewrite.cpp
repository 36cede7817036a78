#include "turnpike/relay/rewrite.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <utility>

namespace turnpike::relay {
namespace {

struct Edit {
  std::size_t at = 0;
  std::size_t remove = 0;
  std::size_t insert_at = 0;  // in the inserted text
  std::size_t insert_size = 0;
};

// True when the closing bracket at `end` follows something: a comma has to go between.
bool has_members(std::string_view json, std::size_t begin, std::size_t end) {
  return json.substr(begin + 1, end - begin - 1).find_first_not_of(" \t\r\n") != std::string_view::npos;
}

}  // namespace

scan::Span whole(std::string_view json, scan::Span container) {
  return {container.at, scan::end_of_container(json, container.at) - container.at};
}

EditedBody::EditedBody(std::string_view body, const scan::RequestScan& scan, const RequestEdits& edits,
                       const Continuation* continuation) {
  boost::container::static_vector<Edit, 6> list;
  inserts_.reserve(128);
  const auto edit = [&](std::size_t at, std::size_t remove, auto... texts) {
    const auto from = inserts_.size();
    (inserts_.append(texts), ...);
    list.push_back({at, remove, from, inserts_.size() - from});
  };
  const auto left = [&](std::uint64_t limit) {
    const auto used = continuation != nullptr ? continuation->tokens : 0;
    return std::to_string(limit > used ? limit - used : 1);
  };
  bool adds_stream_options = false;
  if (!edits.node_model.empty()) edit(scan.model_span.at, scan.model_span.size, edits.node_model);
  if (edits.ask_for_usage && !scan.include_usage) {
    if (scan.stream_options_usage.found()) {
      edit(scan.stream_options_usage.at, scan.stream_options_usage.size, "true");
    } else if (scan.stream_options.found()) {
      const auto options = whole(body, scan.stream_options);
      edit(options.end() - 1, 0, has_members(body, options.at, options.end() - 1) ? "," : "", "\"include_usage\":true");
    } else if (scan.stream_options_null.found()) {
      edit(scan.stream_options_null.at, scan.stream_options_null.size, "{\"include_usage\":true}");
    } else {
      adds_stream_options = !scan.has("stream_options");
    }
  }
  if (continuation != nullptr) {
    const auto messages = whole(body, scan.messages_span);
    edit(messages.end() - 1, 0, R"(,{"role":"assistant","content":")", continuation->said, "\"}");
    for (const auto& span : {scan.max_tokens_span, scan.max_completion_tokens_span}) {
      if (span.found() && scan.max_tokens) edit(span.at, span.size, left(*scan.max_tokens));
    }
  }
  // New members, before the closing brace.
  const auto added_at = inserts_.size();
  const auto add = [&](auto... texts) {
    inserts_ += ',';
    (inserts_.append(texts), ...);
  };
  if (!edits.defaults.empty()) add(edits.defaults);
  if (edits.max_tokens) add("\"max_tokens\":", left(*edits.max_tokens));
  if (adds_stream_options) add("\"stream_options\":{\"include_usage\":true}");
  if (continuation != nullptr && continuation->engine_flags) {
    add(R"("continue_final_message":true,"add_generation_prompt":false)");
  }
  if (inserts_.size() > added_at) list.push_back({scan.object_end, 0, added_at, inserts_.size() - added_at});

  std::ranges::sort(list, {}, &Edit::at);
  std::size_t copied = 0;
  const std::string_view inserts = inserts_;
  for (const auto& one : list) {
    if (one.at > copied) pieces_.push_back(body.substr(copied, one.at - copied));
    if (one.insert_size > 0) pieces_.push_back(inserts.substr(one.insert_at, one.insert_size));
    copied = one.at + one.remove;
  }
  if (copied < body.size()) pieces_.push_back(body.substr(copied));
}

std::size_t EditedBody::size() const {
  std::size_t bytes = 0;
  for (const auto piece : pieces_) bytes += piece.size();
  return bytes;
}

void append_answer(std::string& out, std::string_view json, const scan::AnswerScan& scan, std::string_view id_json,
                   std::string_view model_json, bool hide_usage, std::string_view metadata) {
  struct Replace {
    scan::Span span;
    std::string_view text;
  };
  std::array<Replace, 4> edits{};
  std::size_t count = 0;
  if (scan.id.found()) edits[count++] = {scan.id, id_json};
  if (scan.model.found()) edits[count++] = {scan.model, model_json};
  if (scan.usage.found() && hide_usage) edits[count++] = {whole(json, scan.usage), "null"};
  const bool replaces_metadata = scan.metadata.found() && !metadata.empty();
  if (replaces_metadata) {
    const char first = json[scan.metadata.at];
    edits[count++] = {first == '{' || first == '[' ? whole(json, scan.metadata) : scan.metadata, metadata};
  }
  std::ranges::sort(std::span(edits).first(count), {}, [](const Replace& edit) { return edit.span.at; });
  std::size_t copied = 0;
  for (const auto& edit : std::span(edits).first(count)) {
    out.append(json.substr(copied, edit.span.at - copied)).append(edit.text);
    copied = edit.span.end();
  }
  out.append(json.substr(copied, scan.object_end - copied));
  bool comma = has_members(json, json.find('{'), scan.object_end);
  const auto add = [&](std::string_view name, std::string_view text) {
    out.append(comma ? "," : "").append(name).append(text);
    comma = true;
  };
  if (!scan.id.found()) add("\"id\":", id_json);
  if (!scan.model.found()) add("\"model\":", model_json);
  if (!metadata.empty() && !replaces_metadata) add("\"metadata\":", metadata);
  out.append("}");
}

ChunkRewriter::ChunkRewriter(scan::Scanner& scanner, std::string_view id_json, std::string_view model_json,
                             bool hide_usage)
    : scanner_(scanner), id_json_(id_json), model_json_(model_json), hide_usage_(hide_usage) {}

ChunkRewriter::Kind ChunkRewriter::append(std::string& out, std::string_view data) {
  text_ = {};
  if (!scanner_.answer(data, scan_)) return Kind::bad;
  if (scan_.is_error) return Kind::error;
  if (scan_.content.found()) text_ = data.substr(scan_.content.at + 1, scan_.content.size - 2);
  if (scan_.only_usage()) {
    append_answer(out, data, scan_, id_json_, model_json_, false, {});
    const bool one_line = data.find('\n') == std::string_view::npos && data.find('\r') == std::string_view::npos;
    if (shapes_ != nullptr && one_line) shapes_->learn(data, scan_, model_json_);
    return Kind::usage_only;
  }
  if (!scan_.has_choices) return Kind::bad;
  out.append("data: ");
  const auto from = out.size();
  append_answer(out, data, scan_, id_json_, model_json_, hide_usage_, {});
  // Not find_first_of, which looks at each byte by itself.
  if (data.find('\n') != std::string_view::npos || data.find('\r') != std::string_view::npos) {
    // White space between members; in an event it would end a line of data.
    std::replace_if(
        out.begin() + static_cast<std::ptrdiff_t>(from), out.end(), [](char c) { return c == '\r' || c == '\n'; }, ' ');
  } else {
    if (shapes_ != nullptr && is_worth_keeping()) shapes_->learn(data, scan_, model_json_);
    if (!text_.empty() && !scan_.usage.found() && scan_.finished_choices == 0) {
      learn(data, std::string_view(out).substr(from));
    }
  }
  begun_ = true;
  out.append("\n\n");
  return Kind::chunk;
}

// The chunks that every stream has one of: the first, the first with text, the last.
bool ChunkRewriter::is_worth_keeping() const {
  return !begun_ || (!text_.empty() && head_.empty()) || scan_.finished_choices > 0;
}

void ChunkRewriter::learn(std::string_view data, std::string_view written) {
  // The text is the one thing both have whole; what is before and after it differs by id and model.
  const auto text_at = scan_.content.at + 1;
  const auto tail_size = data.size() - (text_at + text_.size());
  const bool edits_before =
      scan_.id.at < text_at && scan_.model.at < text_at && scan_.id.found() && scan_.model.found();
  if (!edits_before) return;
  head_.assign("data: ").append(data.substr(0, text_at));
  tail_.assign(data.substr(data.size() - tail_size)).append("\n\n");
  // White space behind the object was not written.
  const auto new_tail_at = written.size() - (tail_size - (data.size() - scan_.object_end - 1));
  new_head_.assign("data: ").append(written.substr(0, new_tail_at - text_.size()));
  new_tail_.assign(written.substr(new_tail_at)).append("\n\n");
  join();
}

void ChunkRewriter::join() {
  next_.assign(tail_).append(head_);
  new_next_.assign(new_tail_).append(new_head_);
}

ChunkRewriter::Alike ChunkRewriter::append_alike(std::string& out, std::string_view& stream,
                                                 std::size_t max_event_bytes, std::string* said) {
  Alike alike;
  if (head_.empty() || !stream.starts_with(head_)) return alike;
  out.append(new_head_);
  // Behind a head that was taken and written.
  std::string_view rest = stream.substr(head_.size());
  while (true) {
    std::size_t size = 0;
    while (size < rest.size() && is_plain(rest[size])) ++size;
    const auto behind = rest.substr(size);
    if (size == 0 || head_.size() + size + tail_.size() > max_event_bytes) break;
    const bool goes_on = behind.starts_with(next_);
    if (!goes_on && !behind.starts_with(tail_)) break;
    text_ = rest.substr(0, size);
    ++alike.events;
    alike.text_bytes += size;
    if (said != nullptr) said->append(text_);
    out.append(text_).append(goes_on ? new_next_ : new_tail_);
    rest = behind.substr(goes_on ? next_.size() : tail_.size());
    if (goes_on) continue;
    stream = rest;
    return alike;
  }
  // That head is another event's, or its event has not all come.
  out.resize(out.size() - new_head_.size());
  stream.remove_prefix(static_cast<std::size_t>(rest.data() - stream.data()) - head_.size());
  return alike;
}

std::optional<ChunkRewriter::Kind> ChunkRewriter::append_known(std::string& out, std::string_view& stream,
                                                               std::size_t max_event_bytes) {
  // What append_alike() refused for its text is not known either.
  if (shapes_ == nullptr || (!head_.empty() && stream.starts_with(head_))) return std::nullopt;
  const auto from = out.size();
  const auto match =
      shapes_->append(out, stream, max_event_bytes, {.id_json = id_json_, .model_json = model_json_}, expected_);
  if (!match) return std::nullopt;
  scan_ = match->scan;
  const auto event = stream.substr(0, match->bytes);
  stream.remove_prefix(match->bytes);
  text_ = event.substr(match->text_at, match->text_size);
  if (scan_.only_usage()) return Kind::usage_only;
  begun_ = true;
  if (!text_.empty() && scan_.finished_choices == 0) {
    const auto written = std::string_view(out).substr(from);
    head_.assign(event.substr(0, match->text_at));
    tail_.assign(event.substr(match->text_at + text_.size()));
    new_head_.assign(written.substr(0, match->written_text_at));
    new_tail_.assign(written.substr(match->written_text_at + text_.size()));
    join();
  }
  return Kind::chunk;
}

}  // namespace turnpike::relay
