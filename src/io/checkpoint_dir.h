#pragma once
#include <filesystem>

#include "io/manifest.h"

// Names inside the root of a run's checkpoints, shared by writing, verifying and pruning.
namespace rt::io {

inline constexpr const char* kPartialSuffix = ".tmp";
// Where the file system cannot exchange two names, a checkpoint that is being replaced has this suffix for a
// moment; it is still a checkpoint.
inline constexpr const char* kReplacedSuffix = ".old";
inline constexpr const char* kQuarantine = "quarantine";
inline constexpr const char* kTrash = ".trash";

// `name` in `parent`, or name.1, name.2, ...: the first that is not taken.
std::filesystem::path free_name(const std::filesystem::path& parent, const std::string& name);
// Moves it to .trash and removes it there, so that a kill in between leaves no half of a checkpoint under its
// name.
void discard(const std::filesystem::path& root, const std::filesystem::path& dir);
void empty_trash(const std::filesystem::path& root);

}  // namespace rt::io
