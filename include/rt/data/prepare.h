#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "rt/data/token_writer.h"
#include "rt/data/tokenizer.h"

namespace rt::data {

enum class InputFormat {
  Auto,   // .jsonl and .ndjson are JSON lines; the rest is text. In directories only .txt, .text, .md and
          // those two
  Text,   // every file is text
  Jsonl,  // every file is JSON lines
};

struct PrepareProgress {
  std::string file;
  std::uint64_t bytes_done = 0, bytes_total = 0;  // of input, over all passes
  std::uint64_t documents = 0, tokens = 0;
};

struct PrepareOptions {
  InputFormat format = InputFormat::Auto;
  std::string field = "text";  // JSON lines: the key of the text
  bool end_with_newline =
      true;  // JSON lines: a text without a final newline gets one. Files stay as they are
  std::optional<std::string> separator;  // text: a line equal to this ends a document and belongs to none
  bool strict = false;                   // stop at the first bad line instead of counting it
  WriterOptions writer;
  std::function<void(const PrepareProgress&)>
      progress;  // about every 8 MiB of input and at the end; may be empty
};

struct BadLine {
  std::string where;  // path:line
  std::string why;
};

struct PrepareReport {
  std::uint64_t files = 0, skipped_files = 0, bytes = 0, documents = 0, empty_documents = 0, tokens = 0,
                bad_lines = 0;
  std::vector<BadLine> first_bad_lines;  // at most kMaxListed
  std::string tokenizer_json;
  static constexpr std::size_t kMaxListed = 20;
};

// Turns files and directories (walked in byte order of their paths, hidden names left out) into a token
// directory. Tokenizer: `given`, or "bytes", or "chars" with the vocabulary of these inputs, read in a pass
// of its own. The output is a pure function of the inputs' paths order, bytes and the options. Bad input:
// Exit::Data, one line with the file.
PrepareReport prepare(const std::vector<std::filesystem::path>& inputs, const std::filesystem::path& output,
                      const Tokenizer& given, const PrepareOptions& options);
PrepareReport prepare(const std::vector<std::filesystem::path>& inputs, const std::filesystem::path& output,
                      const std::string& tokenizer_type, const PrepareOptions& options);

}  // namespace rt::data
