#include "check.hpp"

#include <algorithm>
#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>
#include <utility>

#include "table.hpp"
#include "turnpike/base/decimal.hpp"
#include "turnpike/base/network.hpp"
#include "turnpike/base/text.hpp"

namespace turnpike::config {
namespace {

constexpr std::size_t kLongestShown = 60;
constexpr std::size_t kLongestName = 128;
constexpr int kPriceDecimals = 9;
constexpr int kShareDecimals = 6;
constexpr std::int64_t kWholeShare = 1'000'000;

std::string shown(const Json& value) {
  std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() > kLongestShown) text = text.substr(0, kLongestShown - 1) + "…";
  return text;
}

bool is_name(std::string_view text) {
  const auto fits = [](unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("-_.:/@").find(static_cast<char>(c)) != std::string_view::npos;
  };
  return !text.empty() && text.size() <= kLongestName && std::ranges::all_of(text, fits);
}

bool is_one_of(std::string_view choices, std::string_view text) {
  while (!choices.empty()) {
    const auto one = choices.substr(0, choices.find('|'));
    if (one == text) return true;
    choices.remove_prefix(std::min(one.size() + 1, choices.size()));
  }
  return false;
}

bool is_count(const Row& row, const Json& value) {
  if (value.is_number_unsigned()) {
    const auto count = value.get<std::uint64_t>();
    return count <= static_cast<std::uint64_t>(row.most) && static_cast<std::int64_t>(count) >= row.least;
  }
  return value.is_number_integer() && value.get<std::int64_t>() >= row.least && value.get<std::int64_t>() <= row.most;
}

bool text_fits(const Row& row, const std::string& text) {
  switch (row.kind) {
    case Kind::text:
      return text.size() >= static_cast<std::size_t>(row.least);
    case Kind::name:
      return is_name(text);
    case Kind::choice:
      return is_one_of(row.choices, text);
    case Kind::decimal:
      return parse_decimal(text, kPriceDecimals).value_or(-1) >= 0;
    case Kind::share: {
      const auto share = parse_decimal(text, kShareDecimals).value_or(-1);
      return share >= 0 && share <= kWholeShare;
    }
    case Kind::listen:
      return parse_listen(text).has_value();
    case Kind::url:
      return is_url(text);
    default:
      return false;
  }
}

// Whether a value without members of its own is as its row says.
bool fits(const Row& row, const Json& value) {
  const auto is_text = [&row](const Json& item) {
    return item.is_string() && (row.choices.empty() || is_one_of(row.choices, item.get_ref<const std::string&>()));
  };
  switch (row.kind) {
    case Kind::flag:
      return value.is_boolean();
    case Kind::count:
      return is_count(row, value);
    case Kind::texts:
      return value.is_array() && std::ranges::all_of(value, is_text);
    case Kind::networks:
      return value.is_array() && std::ranges::all_of(value, [](const Json& item) {
               return item.is_string() && turnpike::Network::parse(item.get_ref<const std::string&>());
             });
    case Kind::text_map:
      return value.is_object() && std::ranges::all_of(value, is_text);
    case Kind::object:
    case Kind::optional_object:
    case Kind::map:
      return value.is_object();
    case Kind::list:
      return value.is_array();
    default:
      return value.is_string() && text_fits(row, value.get_ref<const std::string&>());
  }
}

void check_members(Json& object, std::string_view pattern, const std::string& pointer, Report& report);

void check_elements(const Row& row, Json& value, const std::string& pointer, Report& report) {
  const std::string pattern = std::string(row.path) + "/*";
  std::size_t index = 0;
  for (auto item = value.begin(); item != value.end(); ++item, ++index) {
    const std::string part = value.is_array() ? std::to_string(index) : pointer_part(item.key());
    std::string place = pointer;
    place.append("/").append(part);
    if (item->is_object()) {
      check_members(*item, pattern, place, report);
    } else {
      report.add(place, "an object", shown(*item));
    }
  }
}

void check_value(const Row& row, Json& value, const std::string& pointer, Report& report) {
  if (value.is_null() && row.fallback == "null") return;
  if (!fits(row, value)) {
    report.add(pointer, expectation_of(row), shown(value));
  } else if (row.kind == Kind::object || row.kind == Kind::optional_object) {
    check_members(value, row.path, pointer, report);
  } else if (row.kind == Kind::list || row.kind == Kind::map) {
    check_elements(row, value, pointer, report);
  }
}

void check_members(Json& object, std::string_view pattern, const std::string& pointer, Report& report) {
  std::vector<std::string_view> known;
  for (const Row& row : table()) {
    if (parent_of(row) != pattern) continue;
    const std::string name(leaf_of(row));
    known.push_back(leaf_of(row));
    std::string place = pointer;
    place.append("/").append(name);
    if (!object.contains(name)) {
      if (row.fallback.empty()) {
        report.add(place, expectation_of(row), "nothing");
        continue;
      }
      object[name] = Json::parse(row.fallback);
    }
    check_value(row, object[name], place, report);
  }
  for (const auto& [name, value] : object.items()) {
    if (std::ranges::find(known, name) != known.end()) continue;
    std::string expected = "one of the members ";
    for (const auto& each : known) expected.append(each == known.front() ? "" : ", ").append(each);
    std::string place = pointer;
    place.append("/").append(pointer_part(name));
    report.add(place, expected, "an unknown member");
  }
}

}  // namespace

void Report::add(std::string_view pointer, std::string_view expected, std::string_view got) {
  faults_.push_back(file_ + ": " + (pointer.empty() ? "/" : std::string(pointer)) + ": expected " +
                    std::string(expected) + ", got " + std::string(got));
}

void check(Json& document, Report& report) {
  if (document.is_object()) {
    check_members(document, "", "", report);
  } else {
    report.add("", "an object", shown(document));
  }
}

bool is_url(std::string_view text) {
  const auto url = boost::urls::parse_uri(text);
  if (!url || (url->scheme() != "http" && url->scheme() != "https")) return false;
  const bool port = !url->has_port() || url->port_number() > 0;
  return !url->encoded_host().empty() && port && !url->has_userinfo() && !url->has_query() && !url->has_fragment();
}

}  // namespace turnpike::config
