#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "rt/data/chat_template.h"
#include "rt/data/token_writer.h"
#include "rt/data/tokenizer.h"

namespace rt::data {

// Files that end in .gz or .zst are unpacked as they are read; what they hold goes by the name without it.
enum class InputFormat {
  Auto,   // .jsonl and .ndjson are JSON lines; the rest is text. In directories only .txt, .text, .md and
          // those two
  Text,   // every file is text
  Jsonl,  // every file is JSON lines
};

struct PrepareProgress {
  std::string file;
  std::uint64_t bytes_done = 0, bytes_total = 0;  // of the files on disk, over all passes
  std::uint64_t bytes_skipped = 0;                // of bytes_done: what an earlier run had done
  std::uint64_t text_bytes = 0;                   // unpacked, in this run
  std::uint64_t documents = 0, tokens = 0;
};

struct PrepareOptions {
  InputFormat format = InputFormat::Auto;
  std::string field = "text";  // JSON lines: the key of the text
  bool end_with_newline =
      true;  // JSON lines: a text without a final newline gets one. Files stay as they are
  std::optional<ChatTemplate> chat;      // JSON lines are conversations (parse_chat); a loss mask is written
  std::optional<std::string> separator;  // text: a line equal to this ends a document and belongs to none
  // JSON lines: a longer line is a bad one. Reading one takes about three times its size in memory.
  std::uint64_t longest_line = std::uint64_t{64} << 20;
  bool strict = false;  // stop at the first bad line instead of counting it
  // How the work is cut, which the output does not depend on: bytes of input that go to a thread at once,
  // where lines and documents allow it, and up to which a text document does. A longer one is encoded in
  // order, by the caller's thread.
  std::size_t block_bytes = std::size_t{1} << 20;
  std::size_t whole_document = std::size_t{8} << 20;
  int threads = 0;  // that encode, besides one that reads and the caller's, which writes; 0: num_threads()
  WriterOptions writer;
  std::function<void(const PrepareProgress&)>
      progress;  // about every 8 MiB of input and at the end; may be empty
  std::function<void(const std::string&)>
      note;                    // one line about a run that was left unfinished; may be empty
  std::function<bool()> stop;  // asked several times a second; true: end with Exit::Interrupted; may be empty
};

struct BadLine {
  std::string where;  // path:line
  std::string why;
};

struct PrepareReport {
  std::uint64_t files = 0, skipped_files = 0, bytes = 0, documents = 0, empty_documents = 0, tokens = 0,
                bad_lines = 0;
  std::uint64_t resumed_tokens = 0;      // of `tokens`: found in the shards of a run that was killed
  std::vector<BadLine> first_bad_lines;  // at most kMaxListed
  std::string tokenizer_json;
  static constexpr std::size_t kMaxListed = 20;
};

// Turns files and directories (walked in byte order of their paths, hidden names left out) into a token
// directory. Tokenizer: `given`, or "bytes", or "chars" with the vocabulary of these inputs, read in a pass
// of its own. The output is a pure function of the inputs' paths order, bytes and the options, whatever the
// number of threads.
//
// Bytes are kept as they are: invalid UTF-8, NUL, a byte order mark and the line ends of text. JSON lines may
// begin with a byte order mark and end in "\r\n", neither of which is text; blank ones count for nothing. See
// src/data/json_field.h for what makes a line of JSON a bad one.
//
// Memory does not depend on the inputs' size: about 5 MiB for each of 3 blocks per thread, a block table and
// the document starts of one shard. A text document may have any size, but for tokenizers that must see all
// of it: SentencePiece, and patterns that look behind or come in sequence.
//
// When it fails, is stopped or killed, finished shards stay in `<output>.partial`, and the same call goes on
// behind them: the inputs (paths, sizes, times of change), the options that matter for the output and the
// tokenizer must be what they were, else it starts over with a note. Bad input: Exit::Data, one line with the
// file.
PrepareReport prepare(const std::vector<std::filesystem::path>& inputs, const std::filesystem::path& output,
                      const Tokenizer& given, const PrepareOptions& options);
PrepareReport prepare(const std::vector<std::filesystem::path>& inputs, const std::filesystem::path& output,
                      const std::string& tokenizer_type, const PrepareOptions& options);

}  // namespace rt::data
