# turnpike_embed(ROOM SYMBOL PATTERN): builds the files that match into the room, as `turnpike::ROOM::SYMBOL()`, a span of
# EmbeddedFile in the order of their names (turnpike/base/embedded.hpp).
function(turnpike_embed room symbol pattern)
  file(GLOB files CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/${pattern}")
  list(SORT files)
  set(entries "")
  foreach(path IN LISTS files)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${path}")
    get_filename_component(name "${path}" NAME)
    file(READ "${path}" text)
    string(APPEND entries "    {\"${name}\", R\"embedded(${text})embedded\"},\n")
  endforeach()
  set(output "${PROJECT_BINARY_DIR}/embedded/${room}_${symbol}.cpp")
  file(CONFIGURE OUTPUT "${output}" @ONLY CONTENT [[
#include "turnpike/base/embedded.hpp"

namespace turnpike::@room@ {
std::span<const EmbeddedFile> @symbol@();

namespace {
constexpr EmbeddedFile kFiles[] = {
@entries@};
}  // namespace

std::span<const EmbeddedFile> @symbol@() { return kFiles; }
}  // namespace turnpike::@room@
]])
  target_sources(turnpike_${room} PRIVATE "${output}")
endfunction()
