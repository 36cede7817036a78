// A head that came before. Who talks over a kept connection sends the same head again but for its Content-Length: equal
// bytes are parsed once (docs/decisions/0019-known-heads.md).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "turnpike/http/message.hpp"

namespace turnpike::http {

class KnownHead {
 public:
  struct Match {
    std::size_t bytes = 0;                        // of the head, its empty line included
    std::optional<std::uint64_t> content_length;  // of this one; absent where the head has none
    std::size_t digits = 0;                       // that it is written in
  };

  // Whether `bytes` begin with the head that was learned, any Content-Length of at most nine digits in it.
  [[nodiscard]] std::optional<Match> match(std::string_view bytes);

  // Takes note of a head that was parsed, in place of the last. Not of one that is large or names its length more than
  // once, and no longer where heads do not come again.
  void learn(std::string_view head, const Fields& fields);
  void forget();

 private:
  std::string before_;  // up to the number; the whole head where there is none
  std::string behind_;
  bool has_length_ = false;
  std::uint64_t matched_ = 0;
  std::uint64_t learned_ = 0;
};

}  // namespace turnpike::http
