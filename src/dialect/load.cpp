// Reads dialects from JSON, and says everything that is wrong with them at once.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <span>
#include <utility>

#include "turnpike/base/embedded.hpp"
#include "turnpike/dialect/dialect.hpp"

namespace turnpike::dialect {

// config/dialects/*.json as they were when the program was built.
std::span<const EmbeddedFile> built_in_dialects();

namespace {

using Json = nlohmann::ordered_json;

// One JSON object of a dialect's file, with its place in the file for faults. Members are taken out by name; what is
// left in the end is unknown.
class Members {
 public:
  Members(const Json& json, std::string where, std::vector<std::string>& faults)
      : json_(json), where_(std::move(where)), faults_(faults) {
    if (!json_.is_object()) fault("", "an object", json_);
  }
  ~Members() {
    if (!json_.is_object()) return;
    for (const auto& [name, value] : json_.items()) {
      if (std::ranges::find(known_, name) == known_.end()) faults_.push_back(place(name) + ": unknown member");
    }
  }
  Members(const Members&) = delete;
  Members& operator=(const Members&) = delete;

  const Json* find(std::string_view name) {
    known_.emplace_back(name);
    if (!json_.is_object()) return nullptr;
    const auto found = json_.find(name);
    return found == json_.end() ? nullptr : &*found;
  }
  // `text` becomes the member, when it is there; its absence is a fault when `required`.
  void text(std::string_view name, std::string& text, bool required = false) {
    const Json* value = find(name);
    if (value != nullptr && value->is_string()) {
      text = value->get<std::string>();
    } else if (value != nullptr || required) {
      fault(name, "a string", value == nullptr ? Json() : *value);
    }
  }
  void flag(std::string_view name, bool& flag) {
    const Json* value = find(name);
    if (value == nullptr) return;
    if (value->is_boolean()) {
      flag = value->get<bool>();
    } else {
      fault(name, "true or false", *value);
    }
  }
  void fault(std::string_view name, std::string_view expected, const Json& got) {
    const std::string shown = got.is_null() ? "nothing" : got.dump(-1, ' ', false, Json::error_handler_t::replace);
    faults_.push_back(place(name) + ": expected " + std::string(expected) + ", got " + shown);
  }
  [[nodiscard]] std::string place(std::string_view name) const {
    return name.empty() ? where_ : where_ + "/" + std::string(name);
  }
  std::vector<std::string>& faults() { return faults_; }

 private:
  const Json& json_;
  std::string where_;
  std::vector<std::string>& faults_;
  std::vector<std::string> known_;
};

void read_prefixes(Members& members, Dialect& dialect) {
  const Json* prefixes = members.find("key_prefixes");
  const auto is_text = [](const Json& item) { return item.is_string() && !item.get_ref<const std::string&>().empty(); };
  if (prefixes == nullptr || !prefixes->is_array() || prefixes->empty() || !std::ranges::all_of(*prefixes, is_text)) {
    members.fault("key_prefixes", "an array of strings, at least one", prefixes == nullptr ? Json() : *prefixes);
    return;
  }
  dialect.key_prefixes = prefixes->get<std::vector<std::string>>();
}

void read_answer_id(Members& members, Dialect& dialect) {
  const Json* answer_id = members.find("answer_id");
  if (answer_id == nullptr) return;
  Members id(*answer_id, members.place("answer_id"), members.faults());
  id.text("prefix", dialect.id_prefix);
  std::string form = "base62";
  id.text("form", form);
  if (form != "base62" && form != "uuid") id.fault("form", "\"base62\" or \"uuid\"", form);
  dialect.id_form = form == "uuid" ? IdForm::uuid : IdForm::base62;
}

void read_request_defaults(Members& members, Dialect& dialect) {
  const Json* defaults = members.find("request_defaults");
  if (defaults == nullptr) return;
  Members some(*defaults, members.place("request_defaults"), members.faults());
  for (const std::string_view name : {"temperature", "top_p", "max_tokens", "frequency_penalty", "presence_penalty"}) {
    const Json* value = some.find(name);
    if (value == nullptr) continue;
    const bool is_count = name == "max_tokens";
    if (is_count ? !value->is_number_unsigned() : !value->is_number()) {
      some.fault(name, is_count ? "a whole number" : "a number", *value);
      continue;
    }
    dialect.request_defaults.push_back({.member = std::string(name), .json = value->dump()});
    if (is_count) dialect.default_max_tokens = value->get<std::uint64_t>();
  }
}

void read_errors(Members& members, Dialect& dialect) {
  const Json* errors = members.find("errors");
  if (errors == nullptr) return;
  Members some(*errors, members.place("errors"), members.faults());
  some.flag("text_unless_json_accepted", dialect.text_errors);
  const Json* insufficient = some.find("insufficient_credits");
  if (insufficient == nullptr) return;
  Members answer(*insufficient, some.place("insufficient_credits"), members.faults());
  answer.text("code", dialect.insufficient_credits_code);
  answer.text("type", dialect.insufficient_credits_type);
  const Json* status = answer.find("status");
  if (status == nullptr) return;
  const bool is_status =
      status->is_number_unsigned() && status->get<std::uint64_t>() >= 400 && status->get<std::uint64_t>() < 500;
  if (is_status) {
    dialect.insufficient_credits_status = status->get<int>();
  } else {
    answer.fault("status", "a status from 400 to 499", *status);
  }
}

Dialect read_dialect(const Json& json, const std::string& file, std::vector<std::string>& faults) {
  Dialect dialect;
  Members members(json, file + ": ", faults);
  members.text("id", dialect.id, true);
  read_prefixes(members, dialect);
  read_answer_id(members, dialect);
  members.text("header_prefix", dialect.header_prefix, true);
  members.flag("signed_headers", dialect.signed_headers);
  read_request_defaults(members, dialect);
  members.text("default_tier", dialect.default_tier, true);
  members.flag("queues", dialect.queues);
  read_errors(members, dialect);
  members.text("model_extras", dialect.model_extras);
  return dialect;
}

struct File {
  std::string name;
  std::string text;
};

std::vector<File> read_folder(const std::string& directory, std::vector<std::string>& faults) {
  std::vector<File> files;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
    if (entry.path().extension() != ".json") continue;
    std::ifstream stream(entry.path());
    files.push_back({.name = entry.path().string(),
                     .text = std::string(std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>())});
  }
  if (error) faults.push_back(directory + ": cannot be read: " + error.message());
  std::ranges::sort(files, {}, &File::name);
  return files;
}

std::vector<File> built_in_files() {
  std::vector<File> files;
  for (const EmbeddedFile& file : built_in_dialects()) {
    files.push_back({.name = "built-in " + std::string(file.name), .text = std::string(file.text)});
  }
  return files;
}

// A key must say which dialect it is of: no prefix may begin another.
void check_together(const std::vector<Dialect>& all, std::vector<std::string>& faults) {
  for (auto one = all.begin(); one != all.end(); ++one) {
    for (auto other = one + 1; other != all.end(); ++other) {
      if (one->id == other->id) faults.push_back("dialects: the id " + one->id + " is used twice");
      for (const auto& a : one->key_prefixes) {
        for (const auto& b : other->key_prefixes) {
          if (!a.starts_with(b) && !b.starts_with(a)) continue;
          std::string fault = "dialects: these key prefixes cannot be told apart: ";
          fault.append(a).append(" of ").append(one->id).append(" and ").append(b).append(" of ").append(other->id);
          faults.push_back(std::move(fault));
        }
      }
    }
  }
}

}  // namespace

std::expected<Dialects, std::vector<std::string>> Dialects::load(const std::string& directory,
                                                                 std::string_view default_id) {
  std::vector<std::string> faults;
  Dialects dialects;
  for (const File& file : directory.empty() ? built_in_files() : read_folder(directory, faults)) {
    try {
      dialects.all_.push_back(read_dialect(Json::parse(file.text, nullptr, true, true), file.name, faults));
    } catch (const Json::parse_error& error) {
      faults.push_back(file.name + ": not JSON: " + error.what());
    }
  }
  check_together(dialects.all_, faults);
  const auto chosen = std::ranges::find(dialects.all_, default_id, &Dialect::id);
  if (faults.empty() && chosen == dialects.all_.end()) {
    faults.push_back("network.default_dialect: there is no dialect \"" + std::string(default_id) + "\"");
  }
  if (!faults.empty()) return std::unexpected(std::move(faults));
  dialects.default_ = static_cast<std::size_t>(chosen - dialects.all_.begin());
  return dialects;
}

}  // namespace turnpike::dialect
