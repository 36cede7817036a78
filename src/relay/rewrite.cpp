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

// What is around the data of an event on one line.
constexpr std::string_view kEventBegin = "data: ";
constexpr std::string_view kEventEnd = "\n\n";

std::string_view data_of(std::string_view event) {
  return event.substr(kEventBegin.size(), event.size() - kEventBegin.size() - kEventEnd.size());
}

// True when the closing bracket at `end` follows something: a comma has to go between.
bool has_members(std::string_view json, std::size_t begin, std::size_t end) {
  return json.substr(begin + 1, end - begin - 1).find_first_not_of(" \t\r\n") != std::string_view::npos;
}

// Both return the place behind what they wrote.
char* put(char* to, std::string_view bytes) {
  std::memcpy(to, bytes.data(), bytes.size());
  return to + bytes.size();
}

// A token's text: a few bytes, which are not worth a call.
char* put_text(char* to, std::string_view text) {
  const char* from = text.data();
  const auto size = text.size();
  if (size > 16) return put(to, text);
  if (size >= 8) {
    std::memcpy(to, from, 8);
    std::memcpy(to + size - 8, from + size - 8, 8);
  } else if (size >= 4) {
    std::memcpy(to, from, 4);
    std::memcpy(to + size - 4, from + size - 4, 4);
  } else if (size > 0) {
    to[0] = from[0];
    to[size / 2] = from[size / 2];
    to[size - 1] = from[size - 1];
  }
  return to + size;
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
  const auto from = out.size();
  out.append(kEventBegin);
  append_answer(out, data, scan_, id_json_, model_json_, hide_usage_, {});
  out.append(kEventEnd);
  // Not find_first_of, which looks at each byte by itself.
  if (data.find('\n') != std::string_view::npos || data.find('\r') != std::string_view::npos) {
    // White space between members; in an event it would end a line of data.
    std::replace_if(
        out.begin() + static_cast<std::ptrdiff_t>(from), out.end() - kEventEnd.size(),
        [](char c) { return c == '\r' || c == '\n'; }, ' ');
  } else {
    if (shapes_ != nullptr && is_worth_keeping()) shapes_->learn(data, scan_, model_json_);
    if (!text_.empty() && !scan_.usage.found() && scan_.finished_choices == 0) {
      learn(data, data_of(std::string_view(out).substr(from)));
    }
  }
  begun_ = true;
  return Kind::chunk;
}

// The chunks that every stream has one of: the first, the first with text, the last.
bool ChunkRewriter::is_worth_keeping() const {
  return !begun_ || (!text_.empty() && theirs_.bytes.empty()) || scan_.finished_choices > 0;
}

void ChunkRewriter::Seam::assign(std::string_view before_text, std::string_view behind_text) {
  bytes.reserve(behind_text.size() + kEventEnd.size() + kEventBegin.size() + before_text.size());
  bytes.assign(behind_text).append(kEventEnd);
  tail_size = bytes.size();
  bytes.append(kEventBegin).append(before_text);
}

// `written`: the data as it was written.
void ChunkRewriter::learn(std::string_view data, std::string_view written) {
  // The text is the one thing both have whole; what is before and after it differs by id and model.
  const auto text_at = scan_.content.at + 1;
  const bool edits_before =
      scan_.id.at < text_at && scan_.model.at < text_at && scan_.id.found() && scan_.model.found();
  if (!edits_before) return;
  const auto behind_text = data.substr(text_at + text_.size());
  // White space behind the object was not written.
  const auto written_behind = written.size() - (behind_text.size() - (data.size() - scan_.object_end - 1));
  theirs_.assign(data.substr(0, text_at), behind_text);
  ours_.assign(written.substr(0, written_behind - text_.size()), written.substr(written_behind));
}

ChunkRewriter::Alike ChunkRewriter::append_alike(std::string& out, std::string_view& stream,
                                                 std::size_t max_event_bytes, std::string* said) {
  Alike alike;
  const auto head = theirs_.head();
  if (head.empty()) return alike;
  while (stream.starts_with(head)) {
    Passage passage{.rest = stream.substr(head.size())};
    // Memory for the most there is to write, so that none is asked for between: one of our seams for each of theirs,
    // and what is before the first text and behind the last.
    const auto seams = stream.size() / theirs_.bytes.size() + 1;
    const auto longer = std::max(ours_.bytes.size(), theirs_.bytes.size()) - theirs_.bytes.size();
    out.reserve(out.size() + stream.size() + seams * longer + ours_.bytes.size());
    const auto write = [&]() noexcept {
      const auto from = out.size();
      out.resize_and_overwrite(out.capacity(), [&](char* begin, std::size_t) noexcept {
        passage.out = begin + from;
        take_alike(passage, max_event_bytes, alike);
        return static_cast<std::size_t>(passage.out - begin);
      });
    };
    if (said == nullptr) {
      write();
    } else {
      const auto from = said->size();
      said->resize_and_overwrite(said->capacity(), [&](char* begin, std::size_t room) noexcept {
        passage.said = begin + from;
        passage.said_end = begin + room;
        write();
        return static_cast<std::size_t>(passage.said - begin);
      });
    }
    stream = passage.rest;
    if (passage.too_long == 0) break;
    // Texts are a small part of a stream: what is kept for long grows with them, and not with what was read.
    said->reserve(said->size() + passage.too_long);
  }
  return alike;
}

// From behind an event's head on.
void ChunkRewriter::take_alike(Passage& passage, std::size_t max_event_bytes, Alike& alike) noexcept {
  const std::string_view seam = theirs_.bytes;
  const auto tail = theirs_.tail();
  const auto head_size = theirs_.head().size();
  auto& rest = passage.rest;
  char* to = put(passage.out, ours_.head());
  while (true) {
    std::size_t size = 0;
    while (size < rest.size() && is_plain(rest[size])) ++size;
    const auto behind = rest.substr(size);
    if (size == 0 || head_size + size + tail.size() > max_event_bytes) break;
    const bool goes_on = behind.starts_with(seam);
    if (!goes_on && !behind.starts_with(tail)) break;
    if (passage.said != nullptr && size > static_cast<std::size_t>(passage.said_end - passage.said)) {
      passage.too_long = size;
      break;
    }
    text_ = rest.substr(0, size);
    ++alike.events;
    alike.text_bytes += size;
    if (passage.said != nullptr) passage.said = put_text(passage.said, text_);
    to = put(put_text(to, text_), goes_on ? std::string_view(ours_.bytes) : ours_.tail());
    rest = behind.substr(goes_on ? seam.size() : tail.size());
    if (goes_on) continue;
    passage.out = to;
    return;
  }
  // That head is another event's, or its event has not all come, or waits for room.
  passage.out = to - ours_.head().size();
  rest = {rest.data() - head_size, rest.size() + head_size};
}

std::optional<ChunkRewriter::Kind> ChunkRewriter::append_known(std::string& out, std::string_view& stream,
                                                               std::size_t max_event_bytes) {
  // What append_alike() refused for its text is not known either.
  if (shapes_ == nullptr || (!theirs_.bytes.empty() && stream.starts_with(theirs_.head()))) return std::nullopt;
  const auto from = out.size();
  const auto match =
      shapes_->append(out, stream, max_event_bytes, {.id_json = id_json_, .model_json = model_json_}, expected_, scan_);
  if (!match) return std::nullopt;
  const auto event = stream.substr(0, match->bytes);
  stream.remove_prefix(match->bytes);
  text_ = event.substr(match->text_at, match->text_size);
  if (scan_.only_usage()) return Kind::usage_only;
  begun_ = true;
  if (!text_.empty() && scan_.finished_choices == 0) {
    const auto theirs = data_of(event);
    const auto ours = data_of(std::string_view(out).substr(from));
    const auto text_at = match->text_at - kEventBegin.size();
    const auto written_text_at = match->written_text_at - kEventBegin.size();
    theirs_.assign(theirs.substr(0, text_at), theirs.substr(text_at + text_.size()));
    ours_.assign(ours.substr(0, written_text_at), ours.substr(written_text_at + text_.size()));
  }
  return Kind::chunk;
}

}  // namespace turnpike::relay
