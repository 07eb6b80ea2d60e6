#pragma once
#include <filesystem>
#include <map>
#include <string>

#include "rt/io/file.h"

namespace rt::io {

inline constexpr const char* kManifestName = "manifest.json";

struct Manifest {
  std::uint64_t step = 0;
  std::map<std::string, FileDigest> files;
};

// JSON text with a checksum of itself: every changed bit of it is noticed when it is parsed.
std::string to_text(const Manifest& manifest);
// Throws Exit::Checkpoint with the reason only; the caller knows the directory.
Manifest parse_manifest(const std::string& text);

}  // namespace rt::io
