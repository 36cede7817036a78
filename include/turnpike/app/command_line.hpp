// The command line of `turnpike`.
#pragma once

namespace turnpike::app {

// Runs the command that the arguments name; returns the exit code: 0 done, 1 failed, 2 wrong use.
int run_command_line(int argc, char** argv);

}  // namespace turnpike::app
