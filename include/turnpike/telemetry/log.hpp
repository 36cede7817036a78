// The program's log: lines of text, or JSON lines for machines. Never a key, a prompt or an answer.
#pragma once

#include <string>

namespace turnpike::telemetry {

// Sets up spdlog's default logger on standard output. `level` is one that spdlog knows.
void start_log(const std::string& level, bool json);
void set_log_level(const std::string& level);

}  // namespace turnpike::telemetry
