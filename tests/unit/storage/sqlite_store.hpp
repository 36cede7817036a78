#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "turnpike/storage/database.hpp"

namespace turnpike::storage::test {

void make_table(Connection& connection);

struct Put final : Operation {
  Put(std::int64_t row, std::string what) : id(row), text(std::move(what)) {}
  void run(Connection& connection) override;
  std::int64_t id;
  std::string text;
};

struct Count final : Operation {
  void run(Connection& connection) override;
  std::int64_t rows = -1;
};

}  // namespace turnpike::storage::test
