// Stands in front of a program's resolver (LD_PRELOAD), so that a test decides what names mean: by TURNPIKE_TEST_NAMES,
// as "turns.example=25.0.0.1,127.0.0.1;both.example=25.0.0.1+127.0.0.1": one answer after the other (the last one from
// then on), each of one or more addresses. An answer that is a path, as in "slow.example=/a/fifo", comes when somebody
// has opened that FIFO for writing and closed it, and is that there is none. Other names go to the system.
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Resolve = int (*)(const char*, const char*, const addrinfo*, addrinfo**);

std::vector<std::string> split(std::string_view text, char at) {
  std::vector<std::string> parts;
  for (auto end = text.find(at); end != std::string_view::npos; end = text.find(at)) {
    parts.emplace_back(text.substr(0, end));
    text.remove_prefix(end + 1);
  }
  parts.emplace_back(text);
  return parts;
}

// The addresses that the name has this time; none: it is the system's.
std::vector<std::string> addresses_of(std::string_view name) {
  static std::mutex mutex;
  static std::map<std::string, std::size_t, std::less<>> asked;
  const char* names = std::getenv("TURNPIKE_TEST_NAMES");  // NOLINT(concurrency-mt-unsafe)
  for (const auto& entry : split(names == nullptr ? "" : names, ';')) {
    const auto equals = entry.find('=');
    if (entry.substr(0, equals) != name || equals == std::string::npos) continue;
    const auto answers = split(std::string_view(entry).substr(equals + 1), ',');
    const std::lock_guard lock(mutex);
    const auto turn = asked[std::string(name)]++;
    return split(answers.at(turn < answers.size() ? turn : answers.size() - 1), '+');
  }
  return {};
}

}  // namespace

extern "C" int getaddrinfo(const char* node, const char* service, const addrinfo* hints, addrinfo** found) {
  static const auto system = reinterpret_cast<Resolve>(::dlsym(RTLD_NEXT, "getaddrinfo"));
  const auto addresses = addresses_of(node == nullptr ? "" : node);
  if (addresses.empty()) return system(node, service, hints, found);
  if (addresses.front().starts_with('/')) {
    const int fifo = ::open(addresses.front().c_str(), O_RDONLY | O_CLOEXEC);  // NOLINT(*-vararg)
    char unused = 0;
    while (::read(fifo, &unused, 1) > 0) continue;
    ::close(fifo);
    return EAI_NONAME;
  }
  addrinfo** tail = found;
  for (const auto& address : addresses) {
    if (const int failed = system(address.c_str(), service, nullptr, tail); failed != 0) return failed;
    while (*tail != nullptr) {
      // Once for each kind of socket: the first is TCP's.
      if ((*tail)->ai_next != nullptr) {
        ::freeaddrinfo((*tail)->ai_next);
        (*tail)->ai_next = nullptr;
      }
      tail = &(*tail)->ai_next;
    }
  }
  return 0;
}
