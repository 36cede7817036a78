#include "mapping.hpp"

#include <sys/mman.h>
#include <sys/types.h>

#include <cerrno>

namespace turnpike::storage {

Mapping::Mapping(int file, std::size_t begin, std::size_t size, For use) {
  if (size == 0) return;
  const bool writes = use == For::writing;
  void* memory =
      ::mmap(nullptr, size, writes ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, file, static_cast<off_t>(begin));
  if (memory == MAP_FAILED) {
    error_ = errno;
    return;
  }
  bytes_ = {static_cast<char*>(memory), size};
  if (::madvise(memory, size, writes ? MADV_POPULATE_WRITE : MADV_POPULATE_READ) == 0) return;
  // Linux before 5.14 does not know how: to read, its pages come when they are touched.
  if (writes || errno != EINVAL) error_ = errno;
}

Mapping::~Mapping() {
  if (!bytes_.empty()) ::munmap(bytes_.data(), bytes_.size());
}

}  // namespace turnpike::storage
