#include "process.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <utility>

namespace turnpike::test {

void short_wait() {
  std::this_thread::sleep_for(std::chrono::milliseconds(2));
}

Child::Child(std::vector<std::string> command, std::string log, ChildOptions options) : log_(std::move(log)) {
  std::vector<char*> arguments;
  for (auto& word : command) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const int out = ::open(log_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  const auto parent = ::getpid();
  id_ = ::fork();
  if (id_ < 0) throw std::runtime_error("fork failed");
  if (id_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(1);
    ::dup2(out, STDOUT_FILENO);
    ::dup2(out, STDERR_FILENO);
    for (const auto& [name, value] : options.environment) ::setenv(name.c_str(), value.c_str(), 1);
    if (options.max_file_bytes > 0) {
      const rlimit limit{options.max_file_bytes, options.max_file_bytes};
      ::setrlimit(RLIMIT_FSIZE, &limit);
      ::signal(SIGXFSZ, SIG_IGN);  // a write past the limit fails, as on a full disk
    }
    ::execv(arguments[0], arguments.data());
    ::_exit(127);
  }
  ::close(out);
}

Child::~Child() {
  if (id_ <= 0) return;
  ::kill(id_, SIGKILL);
  ::waitpid(id_, nullptr, 0);
}

void Child::signal(int number) const {
  ::kill(id_, number);
}

bool Child::running() {
  if (id_ <= 0) return false;
  if (::waitpid(id_, &status_, WNOHANG) != id_) return true;
  id_ = -1;
  return false;
}

int Child::wait(std::chrono::milliseconds most) {
  if (!eventually([this] { return !running(); }, most))
    throw std::runtime_error("the process has not ended:\n" + output());
  return WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_);
}

std::string Child::output() const {
  std::ostringstream text;
  text << std::ifstream(log_).rdbuf();
  return text.str();
}

void Child::wait_for_output(const std::string& text, std::chrono::milliseconds most) {
  bool ended = false;
  const bool found = eventually(
      [&] {
        ended = !running();
        return output().find(text) != std::string::npos || ended;
      },
      most);
  if (!found || output().find(text) == std::string::npos) {
    throw std::runtime_error("\"" + text + "\" was not printed:\n" + output());
  }
}

std::size_t Child::resident_bytes() const {
  std::ifstream statm("/proc/" + std::to_string(id_) + "/statm");
  std::size_t total = 0;
  std::size_t resident = 0;
  statm >> total >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

Finished run(std::vector<std::string> command, const std::string& log) {
  Child child(std::move(command), log);
  const int code = child.wait(std::chrono::seconds(30));
  return {code, child.output()};
}

}  // namespace turnpike::test
