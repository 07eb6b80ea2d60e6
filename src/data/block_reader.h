#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/byte_source.h"
#include "data/input_files.h"
#include "rt/data/prepare.h"

namespace rt::data {

// A piece of one input file, cut so that pieces can be worked on apart.
struct Block {
  enum class Kind : std::uint8_t {
    Lines,      // of JSON, whole ones
    Documents,  // text: whole documents, each with the separator line behind it
    Part,       // text: of one document, longer than options.whole_document
    LongLine,   // of JSON, longer than allowed: no bytes
  };
  Kind kind = Kind::Lines;
  std::size_t file = 0;               // in the list
  std::uint64_t offset = 0;           // of the bytes in the unpacked file
  std::uint64_t input_done = 0;       // bytes of the file on disk, when this block is done
  std::uint64_t length = 0;           // LongLine: of the line, without its end
  bool begins = false, ends = false;  // Part: the document
  std::vector<char> buffer;           // the bytes, and JsonField::kPadding more
  std::size_t size = 0;

  std::string_view text() const { return {buffer.data(), size}; }
};

// Where reading begins: at a border between blocks, or inside a document that passes in parts.
struct BlockPlace {
  std::size_t file = 0;
  std::uint64_t offset = 0;
  bool inside = false;
};

// Cuts the inputs into blocks, in order. Where they are cut has no influence on the documents. Memory is one
// block: at most options.whole_document of text, or a JSON line of options.longest_line.
class BlockReader {
 public:
  BlockReader(const InputList& list, const PrepareOptions& options, BlockPlace from = {});
  bool next(Block& block);  // false at the end of all. Reuses the block's buffer.

 private:
  struct Cut;
  void open();
  void fill(Block& block, std::size_t want);
  void take(Block& block, const Cut& cut);
  void advance(Block& block, std::uint64_t bytes);
  std::optional<Cut> cut(std::string_view text) const;
  std::optional<Cut> cut_documents(std::string_view text) const;
  std::optional<Cut> cut_part(std::string_view text) const;
  std::size_t certain(std::string_view text) const;
  void discard_line(Block& block);
  const InputList& list_;
  const PrepareOptions& options_;
  std::size_t file_;
  std::unique_ptr<ByteSource> source_;
  std::uint64_t offset_;    // of what comes next
  std::vector<char> rest_;  // read from the source, not yet in a block
  bool inside_;             // a document that passes in parts
  bool line_start_ = true;  // what comes next begins a line
  bool at_end_ = false;     // the source has no more
};

// The first line equal to `separator` that begins in `text`: where it begins and where the next one does.
// Unless `at_end`, a last line without its end is not looked at. `line_start`: text begins a line.
struct SeparatorLine {
  std::size_t begin, end;
};
std::optional<SeparatorLine> find_separator(std::string_view text, std::string_view separator,
                                            bool line_start, bool at_end);

}  // namespace rt::data
