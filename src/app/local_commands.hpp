// config, ledger, version: commands that need no gateway. Each returns the exit code.
#pragma once

#include <string>

#include "admin_client.hpp"
#include "print.hpp"

namespace turnpike::app {

int check_config(const std::string& file);
int print_config_docs();
int print_config_schema();

// Proves the books of the data folder right. No gateway may run on it.
int check_ledger(const GatewayPlace& place, Output output);

int print_version();

}  // namespace turnpike::app
