// Files that nobody else may read: keys.
#pragma once

#include <expected>
#include <string>
#include <string_view>

namespace turnpike {

// The file's bytes. Otherwise what is wrong with it, as "may be read by others: chmod 600". Blocks.
[[nodiscard]] std::expected<std::string, std::string> read_private_file(const std::string& file);

// Makes the file, with mode 0600, or replaces it: whole or not at all. Otherwise what is wrong. Blocks.
[[nodiscard]] std::expected<void, std::string> write_private_file(const std::string& file, std::string_view text);

}  // namespace turnpike
