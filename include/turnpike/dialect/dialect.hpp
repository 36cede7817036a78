// What differs between the networks that Turnpike speaks, as values read from config/dialects/*.json.
//
// Thread: constant after loading.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "turnpike/base/clock.hpp"
#include "turnpike/base/random.hpp"

namespace turnpike::dialect {

enum class IdForm : std::uint8_t { base62, uuid };

// A member that the request gets when the client did not send it.
struct RequestDefault {
  std::string member;  // "temperature"
  std::string json;    // "0.7"
};

struct Dialect {
  std::string id;                         // "dria"
  std::vector<std::string> key_prefixes;  // "dkn_live_"; the first is for new keys
  std::string id_prefix;                  // "gen-", "chatcmpl-", "job_" or empty
  IdForm id_form = IdForm::base62;        // what follows the prefix: 24 characters of base62, or a UUID
  std::string header_prefix;              // "x-turnpike-", lower case, with the hyphen
  bool signed_headers = false;            // answers bear signatures of their hold and charge
  std::vector<RequestDefault> request_defaults;
  std::optional<std::uint64_t> default_max_tokens;  // the "max_tokens" among them
  std::string default_tier;                         // of new keys
  bool queues = false;       // a request that is no stream is queued, where it does not prefer to wait
  bool text_errors = false;  // text/plain errors unless the client accepts application/json by name
  int insufficient_credits_status = 402;
  std::string insufficient_credits_code = "insufficient_credits";
  std::string insufficient_credits_type = "payment_error";
  std::string model_extras;  // the member that a listed model gets: "decentral", or empty: none
};

// Appends an id of the dialect's form. Ids made later sort later, to the millisecond of `now`: an index over them grows
// at its end, which spares the database a page of its own for each (UUIDs are of version 7, RFC 9562).
void append_id(const Dialect& dialect, IdSource& ids, WallTime now, std::string& out);

class Dialects {
 public:
  // Reads every *.json of `directory`, or the built-in ones when it is empty. All faults at once, a line each.
  [[nodiscard]] static std::expected<Dialects, std::vector<std::string>> load(const std::string& directory,
                                                                              std::string_view default_id);

  // The dialect whose key prefix `presented` begins with (it may be any text), or the default one. References are good
  // as long as this is, and moved with it.
  [[nodiscard]] const Dialect& by_key_prefix(std::string_view presented) const;
  [[nodiscard]] const Dialect* by_id(std::string_view id) const;  // nullptr: none
  [[nodiscard]] const Dialect& fallback() const { return all_[default_]; }
  [[nodiscard]] const std::vector<Dialect>& all() const { return all_; }

 private:
  std::vector<Dialect> all_;
  std::size_t default_ = 0;
};

}  // namespace turnpike::dialect
