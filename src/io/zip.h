#pragma once
#include <cstddef>
#include <filesystem>
#include <map>
#include <span>
#include <string>

namespace rt::io {

// The entries of a zip archive, found through the central directory (PKWARE APPNOTE 6.3; ZIP64 included).
// Only stored entries: torch.save compresses nothing. Of a repeated name the last counts, and must be as long
// as the others. CRC-32 is not checked, since PyTorch can be told to write files without it.
std::map<std::string, std::span<const std::byte>> read_stored_zip(std::span<const std::byte> bytes,
                                                                  const std::filesystem::path& path);

}  // namespace rt::io
