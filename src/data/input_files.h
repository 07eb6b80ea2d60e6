#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "rt/data/prepare.h"

namespace rt::data {

enum class Compression : std::uint8_t { None, Gzip, Zstd };

struct InputFile {
  std::filesystem::path path;
  bool jsonl = false;
  Compression compression = Compression::None;
  std::uint64_t bytes = 0;  // as it lies on disk
};

struct InputList {
  std::vector<InputFile> files;
  std::uint64_t skipped = 0, bytes = 0;
  // Of the files' absolute paths, kinds, sizes and times of change.
  std::uint64_t fingerprint() const;
};

InputList list_inputs(const std::vector<std::filesystem::path>& inputs, InputFormat format);

}  // namespace rt::data
