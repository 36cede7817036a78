#include "memory.hpp"

#include <link.h>
#include <spdlog/spdlog.h>
#include <sys/mman.h>
#include <unistd.h>
#ifdef TURNPIKE_MIMALLOC
#include <mimalloc.h>
#endif

#include <bit>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

namespace turnpike::app {
namespace {

// The pages of one loaded object's code. They are the file's, unchanged: what is run again is mapped again.
int forget_code(dl_phdr_info* object, std::size_t /*size*/, void* /*data*/) {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  for (const auto& segment : std::span(object->dlpi_phdr, object->dlpi_phnum)) {
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_X) == 0 || (segment.p_flags & PF_W) != 0) continue;
    const auto begin = (object->dlpi_addr + segment.p_vaddr) / page * page;
    const auto end = object->dlpi_addr + segment.p_vaddr + segment.p_memsz;
    // Refused for the kernel's own page of code, which is no file's.
    ::madvise(std::bit_cast<void*>(begin), end - begin, MADV_DONTNEED);
  }
  return 0;
}

#ifdef TURNPIKE_MIMALLOC
constexpr int kCollapse = 25;  // MADV_COLLAPSE, of Linux 6.1; glibc 2.36 has no name for it

struct Area {
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;
};

// The area that a line of /proc/self/maps is about, if the allocator has its blocks there (proc(5)).
Area heap_area(const std::string& line) {
  Area area;
  const char* const end = line.data() + line.size();
  const auto [dash, bad] = std::from_chars(line.data(), end, area.begin, 16);
  if (bad != std::errc{} || dash == end) return {};
  const auto [rest, worse] = std::from_chars(dash + 1, end, area.end, 16);
  if (worse != std::errc{} || !std::string_view(rest, end).starts_with(" rw-p ")) return {};
  // Not by its first byte, which mimalloc 2.0 takes for the end of what is before it.
  return mi_is_in_heap_region(std::bit_cast<void*>(area.begin + 1)) ? area : Area{};
}
#endif

}  // namespace

void give_back_start_memory() {
#ifdef TURNPIKE_MIMALLOC
  mi_collect(true);
#endif
  ::dl_iterate_phdr(forget_code, nullptr);
}

void hold_heap_in_huge_pages([[maybe_unused]] bool now) {
#ifdef TURNPIKE_MIMALLOC
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    const auto area = heap_area(line);
    if (area.end == 0) continue;
    void* const at = std::bit_cast<void*>(area.begin);
    const auto size = area.end - area.begin;
    // The kernel may be one without huge pages, or refuse some: the heap is as good without.
    if (::madvise(at, size, MADV_HUGEPAGE) != 0) {
      spdlog::debug("no huge pages for the heap: {}", std::generic_category().message(errno));
      return;
    }
    // An error says that some of it was empty; the rest is done.
    if (now) ::madvise(at, size, kCollapse);
  }
#endif
}

}  // namespace turnpike::app
