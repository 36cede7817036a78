// A child process of a test: started, watched, ended by its id.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

namespace turnpike::test {

struct ChildOptions {
  std::vector<std::pair<std::string, std::string>> environment = {};  // on top of the test's
  std::size_t max_file_bytes = 0;                                     // RLIMIT_FSIZE; 0: none
};

class Child {
 public:
  // Standard output goes to `log`. Throws when it cannot be started.
  Child(std::vector<std::string> command, std::string log, ChildOptions options = {});
  ~Child();  // kills it when it still runs
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  [[nodiscard]] pid_t id() const { return id_; }
  void signal(int number) const;
  // The exit code, or 128 + the signal that ended it. Throws when it has not ended in time.
  int wait(std::chrono::milliseconds most = std::chrono::seconds(20));
  [[nodiscard]] bool running();
  [[nodiscard]] std::string output() const;
  // Waits until the output holds `text`; throws when the process ends, or time passes, without.
  void wait_for_output(const std::string& text, std::chrono::milliseconds most = std::chrono::seconds(20));
  [[nodiscard]] std::size_t resident_bytes() const;

 private:
  pid_t id_ = -1;
  int status_ = 0;
  std::string log_;
};

// Runs a command to its end; its exit code and what it printed on standard output.
struct Finished {
  int code = 0;
  std::string output;
};
Finished run(std::vector<std::string> command, const std::string& log);

// Looks again and again, a few milliseconds apart, until `condition` holds; false when it did not within `most`.
template <class Condition>
bool eventually(Condition condition, std::chrono::milliseconds most = std::chrono::seconds(10));

void short_wait();

template <class Condition>
bool eventually(Condition condition, std::chrono::milliseconds most) {
  const auto until = std::chrono::steady_clock::now() + most;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) return false;
    short_wait();
  }
  return true;
}

}  // namespace turnpike::test
