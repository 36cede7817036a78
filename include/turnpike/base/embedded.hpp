// A file that was built into the program (cmake/Embed.cmake).
#pragma once

#include <span>
#include <string_view>

namespace turnpike {

struct EmbeddedFile {
  std::string_view name;  // without its folder
  std::string_view text;
};

}  // namespace turnpike
