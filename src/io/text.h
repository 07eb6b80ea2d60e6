#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace rt::io {

// A name from a file, fit for one line of an error: quoted, shortened, control characters replaced.
std::string shown(std::string_view name);
std::string hex64(std::uint64_t value);  // 16 lower-case digits
std::optional<std::uint64_t> parse_hex64(std::string_view text);
// A file name without a directory: what may be joined to a checkpoint's directory.
bool is_plain_basename(std::string_view name);

}  // namespace rt::io
