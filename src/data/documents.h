#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "rt/data/prepare.h"

namespace rt::data {

struct InputFile {
  std::filesystem::path path;
  bool jsonl = false;
  std::uint64_t bytes = 0;
};

struct InputList {
  std::vector<InputFile> files;
  std::uint64_t skipped = 0, bytes = 0;
};

InputList list_inputs(const std::vector<std::filesystem::path>& inputs, InputFormat format);

struct Document {
  std::string_view text;
  std::string where;             // "path" or "path:line"
  std::uint64_t base = 0;        // byte offset of the text in the file; 0 for JSON lines
  std::uint64_t bytes_done = 0;  // of the file, when this document is done
};
using OnDocument = std::function<void(const Document&)>;
using OnBadLine = std::function<void(std::string where, std::string why)>;

// Calls for every document of one file in order, empty ones included.
void for_each_document(const InputFile& file, const PrepareOptions& options, const OnDocument& on_document,
                       const OnBadLine& on_bad_line);

}  // namespace rt::data
