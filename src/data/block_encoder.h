#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "data/block_reader.h"
#include "data/json_field.h"
#include "rt/core/error.h"
#include "rt/data/prepare.h"
#include "rt/data/tokenizer.h"

namespace rt::data {

// What became of the documents of a block, in order.
struct Encoded {
  // Ids or text, the other one empty: [end of the document before, this end).
  struct Document {
    std::size_t ids_end = 0, text_end = 0;
    std::uint64_t line = 0;  // in the block, from 0
    std::uint64_t base = 0;  // byte offset of the text in the file; 0 for JSON lines
  };
  struct BadLine {
    std::uint64_t line;  // in the block, from 0
    std::string why;
  };
  std::vector<Document> documents;
  std::vector<std::int32_t> ids;
  std::vector<std::uint8_t> trained;  // of conversations: for each id, as encode_pieces has it
  std::string text;
  std::vector<BadLine> bad;
  std::uint64_t lines = 0;
  // What ended the block early. Documents and bad lines before it are there.
  std::optional<Error> failure;
  std::uint64_t failure_line = 0;

  void clear();
};

// Turns blocks into ids. One per thread.
class BlockEncoder {
 public:
  // Without a tokenizer all documents come out as text. So do those longer than options.whole_document, which
  // need four times their size as ids.
  BlockEncoder(const PrepareOptions& options, const Tokenizer* tokenizer);
  void encode(const Block& block, Encoded& out);  // of a Part, nothing

 private:
  void lines(const Block& block, Encoded& out);
  void documents(const Block& block, Encoded& out);
  bool add_conversation(std::string_view line, Encoded& out);
  bool add(std::string_view text, std::uint64_t line, std::uint64_t base, bool newline, Encoded& out);
  bool refuse_line(std::string why, Encoded& out) const;
  std::string too_long_line(std::uint64_t length) const;
  const PrepareOptions& options_;
  const Tokenizer* tokenizer_;
  JsonField field_;
  std::string with_newline_;
};

}  // namespace rt::data
