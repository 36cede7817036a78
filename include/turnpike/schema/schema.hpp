// Whether JSON fits a schema: JSON Schema, draft 2020-12, with the spellings of drafts 4 to 7. Both may come from
// strangers: nothing is fetched, regular expressions take linear time (RE2), and a check has a bound on its work. What
// is read differently, or not at all, is in docs/decisions/0025-answers-held-to-a-schema.md. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "turnpike/base/error.hpp"

namespace turnpike::schema {

enum class Verdict : std::uint8_t {
  fits,
  misfits,
  undecided,  // the check would have taken more than it may
};

class Schema {
 public:
  // Errors: invalid_request, whose message says where in the schema and why.
  static Result<Schema> read(std::string_view json);

  // `steps`: how many values may be looked at, and the like, at some tens of nanoseconds each; less what it took,
  // behind it. `keyword` becomes the one of the schema that refused first, the innermost of those around it, where the
  // verdict is `misfits`; empty: it is not JSON.
  [[nodiscard]] Verdict check(std::string_view json, std::size_t& steps, std::string& keyword) const;

  ~Schema();
  Schema(Schema&&) noexcept;
  Schema& operator=(Schema&&) noexcept;

  struct Parts;

 private:
  explicit Schema(std::unique_ptr<const Parts> parts);
  std::unique_ptr<const Parts> parts_;
};

}  // namespace turnpike::schema
