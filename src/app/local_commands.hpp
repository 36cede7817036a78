// config, ledger, version: commands that need no gateway. Each returns the exit code.
#pragma once

#include <string>
#include <vector>

#include "admin_client.hpp"
#include "print.hpp"

namespace turnpike::app {

int check_config(const std::string& file);
int print_config_docs();
int print_config_schema();

// Proves the books of the data folder right. No gateway may run on it.
int check_ledger(const GatewayPlace& place, Output output);

// What a check of receipts believes in: public keys in hex, and a file with the answer of /.well-known/turnpike.
struct ReceiptTrust {
  std::vector<std::string> keys;
  std::string keys_file;
};

// Checks what the receipts' routes answered, offline. 0: all of it holds; 1: a line for each fault; 2: it cannot be
// read.
int verify_receipts(const std::string& file, const ReceiptTrust& trust, Output output);

int print_version();

}  // namespace turnpike::app
