#include "turnpike/relay/chunk_shapes.hpp"

#include <algorithm>
#include <utility>

namespace turnpike::relay {
namespace {

constexpr std::size_t kMostShapes = 16;      // four of each of four models
constexpr std::uint64_t kMostUnproved = 48;  // learned, beyond what was recognised
constexpr std::size_t kMostDigits = 18;
constexpr std::size_t kMostShapeBytes = 1024;

std::string_view plain_at(std::string_view bytes) {
  std::size_t end = 0;
  while (end < bytes.size() && is_plain(bytes[end])) ++end;
  return bytes.substr(0, end);
}

// A whole number as JSON writes it; empty: there is none.
std::string_view number_at(std::string_view bytes) {
  std::size_t end = 0;
  while (end < bytes.size() && end <= kMostDigits && bytes[end] >= '0' && bytes[end] <= '9') ++end;
  const bool whole = end == 1 || (end > 1 && end <= kMostDigits && bytes[0] != '0');
  return bytes.substr(0, whole ? end : 0);
}

// The value of what number_at() found.
std::uint64_t count_of(std::string_view number) {
  std::uint64_t count = 0;
  for (const char digit : number) count = count * 10 + static_cast<std::uint64_t>(digit - '0');
  return count;
}

}  // namespace

// The bytes of the event, if it has this shape.
std::optional<std::size_t> ChunkShapes::fit(const Shape& shape, std::string_view stream, Found& found) {
  std::string_view rest = stream;
  std::string_view theirs = shape.theirs;
  found.clear();
  for (const Part& part : shape.parts) {
    if (!rest.starts_with(theirs.substr(0, part.theirs))) return std::nullopt;
    theirs.remove_prefix(part.theirs);
    rest.remove_prefix(part.theirs);
    if (part.hole == Hole::none) continue;
    const bool quoted = part.hole == Hole::id || part.hole == Hole::text;
    const auto value = quoted ? plain_at(rest) : number_at(rest);
    if (value.empty()) return std::nullopt;
    found.push_back(value);
    rest.remove_prefix(value.size());
  }
  return stream.size() - rest.size();
}

ChunkShapes::Match ChunkShapes::write(const Shape& shape, std::string_view stream, const Found& found,
                                      std::string_view id_json, std::string& out, scan::AnswerScan& scan) {
  Match match;
  scan = shape.scan;
  const auto from = out.size();
  std::string_view ours = shape.ours;
  auto value = found.begin();
  for (const Part& part : shape.parts) {
    out.append(ours.substr(0, part.ours));
    ours.remove_prefix(part.ours);
    if (part.hole == Hole::none) continue;
    if (part.hole == Hole::text) {
      match.text_at = static_cast<std::size_t>(value->data() - stream.data());
      match.text_size = scan.text_bytes = value->size();
      match.written_text_at = out.size() - from;
    }
    if (part.hole == Hole::prompt_tokens) scan.counts.prompt_tokens = count_of(*value);
    if (part.hole == Hole::completion_tokens) scan.counts.completion_tokens = count_of(*value);
    out.append(part.hole == Hole::id ? id_json : *value);
    ++value;
  }
  return match;
}

std::optional<ChunkShapes::Match> ChunkShapes::append(std::string& out, std::string_view stream,
                                                      std::size_t max_event_bytes, Names names, std::size_t& expected,
                                                      scan::AnswerScan& scan) {
  Found found;
  for (std::size_t i = 0; i < shapes_.size(); ++i) {
    const std::size_t at = (expected + i) % shapes_.size();
    const Shape& shape = shapes_[at];
    if (shape.model_json != names.model_json) continue;
    const auto bytes = fit(shape, stream, found);
    if (!bytes || *bytes > max_event_bytes) continue;
    expected = at + 1;
    ++recognised_;
    Match match = write(shape, stream, found, names.id_json, out, scan);
    match.bytes = *bytes;
    return match;
  }
  return std::nullopt;
}

// Where the counts of a flat usage object stand. False: it is not so simple.
bool ChunkShapes::add_counts(std::string_view data, const scan::AnswerScan& scan, Places& places) {
  const auto usage = data.substr(scan.usage.at, scan::end_of_container(data, scan.usage.at) - scan.usage.at);
  if (usage.find_first_of("{[\\", 1) != std::string_view::npos) return false;
  const auto add = [&](std::string_view name, Hole hole) -> std::optional<std::uint64_t> {
    const auto at = usage.find(name);
    if (at == std::string_view::npos || usage.find(name, at + 1) != std::string_view::npos) return std::nullopt;
    const auto number = number_at(usage.substr(at + name.size()));
    if (number.empty()) return std::nullopt;
    places.push_back({.span = {scan.usage.at + at + name.size(), number.size()}, .hole = hole});
    return count_of(number);
  };
  const auto prompt = add("\"prompt_tokens\":", Hole::prompt_tokens);
  const auto completion = add("\"completion_tokens\":", Hole::completion_tokens);
  // A member's name in the value of another is no count: full reading knows.
  return prompt && prompt == scan.counts.prompt_tokens && completion && completion == scan.counts.completion_tokens &&
         add("\"total_tokens\":", Hole::all_tokens);
}

ChunkShapes::Shape ChunkShapes::shape_of(std::string_view data, const Places& places, std::string_view model_json,
                                         bool only_usage) {
  Shape shape;
  shape.model_json = model_json;
  Part part;
  const auto add = [&](std::string_view theirs, std::string_view ours) {
    shape.theirs.append(theirs);
    shape.ours.append(ours);
    part.theirs += theirs.size();
    part.ours += ours.size();
  };
  const auto add_same = [&](std::string_view bytes) { add(bytes, bytes); };
  add("data: ", only_usage ? "" : "data: ");
  std::size_t copied = 0;
  for (const auto& [span, hole, quotes] : places) {
    add_same(data.substr(copied, span.at - copied));
    copied = span.end();
    if (hole == Hole::none) {
      add(data.substr(span.at, span.size), model_json);
      continue;
    }
    const std::string_view quote = quotes > 0 ? "\"" : "";
    add(quote, "");
    part.hole = hole;
    shape.parts.push_back(std::exchange(part, {}));
    add(quote, "");
  }
  add_same(data.substr(copied));
  add("\n\n", only_usage ? "" : "\n\n");
  shape.parts.push_back(part);
  return shape;
}

void ChunkShapes::learn(std::string_view data, const scan::AnswerScan& scan, std::string_view model_json) {
  if (learned_ > recognised_ + kMostUnproved || data.size() > kMostShapeBytes || scan.object_end + 1 != data.size()) {
    return;
  }
  const bool only_usage = scan.only_usage();
  const bool known = scan.id.size > 2 && data[scan.id.at] == '"' && scan.model.found() && scan.created.found() &&
                     scan.usage.found() == only_usage;
  const std::size_t text = scan.content.size > 2 ? scan.content.size - 2 : 0;
  // Other text (of a tool call, of reasoning) is said once and not again.
  const bool one_text =
      scan.text_bytes == (text > 0 ? scan::unescaped_bytes(data.substr(scan.content.at + 1, text)) : 0);
  if (!known || !one_text || scan.choices != (only_usage ? 0 : 1)) return;

  Places places{{scan.id, Hole::id, 1}, {scan.created, Hole::time, 0}, {scan.model, Hole::none, 0}};
  if (text > 0) places.push_back({{scan.content.at + 1, text}, Hole::text, 0});
  if (only_usage && !add_counts(data, scan, places)) return;
  std::ranges::sort(places, {}, [](const Place& place) { return place.span.at; });
  Shape shape = shape_of(data, places, model_json, only_usage);
  auto& kept = shape.scan = scan;
  kept.id = kept.model = kept.created = kept.metadata = kept.content = {};
  kept.object_end = kept.text_bytes = 0;

  ++learned_;
  if (shapes_.size() < kMostShapes) {
    shapes_.push_back(std::move(shape));
  } else {
    shapes_[std::exchange(oldest_, (oldest_ + 1) % kMostShapes)] = std::move(shape);
  }
}

}  // namespace turnpike::relay
