// The two ways to run a gateway. Both return when it has drained, with the exit code of the program.
#pragma once

#include <string>

namespace turnpike::app {

struct ServeOptions {
  std::string config_file;  // empty: the defaults
  std::string listen;       // over the file's, when not empty
  std::string data_dir;     // over the file's, when not empty
};

int serve(const ServeOptions& options);

struct DevOptions {
  std::string listen;
  std::string data_dir;
};

int dev(const DevOptions& options);

}  // namespace turnpike::app
