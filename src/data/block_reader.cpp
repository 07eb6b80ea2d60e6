#include "data/block_reader.h"

#include <string.h>

#include <algorithm>
#include <cstring>

#include "data/json_field.h"
#include "rt/core/error.h"

namespace rt::data {
namespace {

// One past the last '\n' before `end`, or 0.
std::size_t line_begin(std::string_view text, std::size_t end) {
  const void* found = end == 0 ? nullptr : ::memrchr(text.data(), '\n', end);
  return found == nullptr ? 0 : static_cast<std::size_t>(static_cast<const char*>(found) - text.data()) + 1;
}

bool is_separator(std::string_view line, std::string_view separator) {
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  return line == separator;
}

// One past the last whole line equal to `separator`, or 0. `text` begins a line.
std::size_t last_separator_end(std::string_view text, std::string_view separator) {
  for (std::size_t end = line_begin(text, text.size()); end > 0;) {
    const std::size_t begin = line_begin(text, end - 1);
    if (is_separator(text.substr(begin, end - 1 - begin), separator)) return end;
    end = begin;
  }
  return 0;
}

}  // namespace

std::optional<SeparatorLine> find_separator(std::string_view text, std::string_view separator,
                                            bool line_start, bool at_end) {
  const auto next_line = [&](std::size_t at) {
    const std::size_t end = text.find('\n', at);
    return end == text.npos ? text.npos : end + 1;
  };
  for (std::size_t begin = line_start ? 0 : next_line(0); begin < text.size();) {
    const std::size_t next = next_line(begin);
    if (next == text.npos && !at_end) break;
    const std::size_t end = next == text.npos ? text.size() : next - 1;
    if (is_separator(text.substr(begin, end - begin), separator))
      return SeparatorLine{begin, std::min(next, text.size())};
    begin = next;
  }
  return std::nullopt;
}

struct BlockReader::Cut {
  Block::Kind kind;
  std::size_t take = 0, drop = 0;  // bytes of the block, and behind them bytes of no block
  bool begins = false, ends = false;
};

BlockReader::BlockReader(const InputList& list, const PrepareOptions& options, BlockPlace from)
    : list_(list), options_(options), file_(from.file), offset_(from.offset), inside_(from.inside) {}

void BlockReader::open() {
  source_ = open_bytes(list_.files[file_]);
  at_end_ = false;
  line_start_ = true;
  if (offset_ == 0) return;
  char before = '\n';  // a document that passes in parts may be cut in the middle of a line
  source_->skip(offset_ - 1);
  source_->read(&before, 1);
  line_start_ = before == '\n';
}

// Makes the block hold `want` bytes, or all there are.
void BlockReader::fill(Block& block, std::size_t want) {
  if (block.buffer.size() < want + JsonField::kPadding) block.buffer.resize(want + JsonField::kPadding);
  if (at_end_ || block.size >= want) return;
  const std::size_t n = want - block.size, got = source_->read(block.buffer.data() + block.size, n);
  block.size += got;
  at_end_ = got < n;
}

bool BlockReader::next(Block& block) {
  while (source_ || file_ < list_.files.size()) {
    if (!source_) open();
    block.file = file_;
    block.offset = offset_;
    const std::size_t held = rest_.size() + JsonField::kPadding;
    if (block.buffer.size() < held) block.buffer.resize(held);
    std::copy(rest_.begin(), rest_.end(), block.buffer.begin());
    block.size = rest_.size();
    std::optional<Cut> found;
    for (std::size_t want = options_.block_bytes; !found;) {
      fill(block, want);
      found = cut(block.text());
      want *= 2;
      if (found || !list_.files[file_].jsonl) continue;
      if (block.size > options_.longest_line) {
        discard_line(block);
        return true;
      }
      want = static_cast<std::size_t>(std::min<std::uint64_t>(want, options_.longest_line + 1));
    }
    const bool nothing = block.size == 0 && !inside_ && (list_.files[file_].jsonl || offset_ > 0);
    take(block, *found);
    if (!nothing) return true;
  }
  return false;
}

// Hands over the block as cut; the rest is for the next one.
void BlockReader::take(Block& block, const Cut& cut) {
  const std::size_t used = cut.take + cut.drop;
  const auto bytes = block.buffer.begin();
  rest_.assign(bytes + static_cast<std::ptrdiff_t>(used), bytes + static_cast<std::ptrdiff_t>(block.size));
  if (used > 0) line_start_ = block.buffer[used - 1] == '\n';
  block.kind = cut.kind;
  block.begins = cut.begins;
  block.ends = cut.ends;
  block.size = cut.take;
  inside_ = cut.kind == Block::Kind::Part && !cut.ends;
  advance(block, used);
}

void BlockReader::advance(Block& block, std::uint64_t bytes) {
  block.input_done = source_->consumed();
  offset_ += bytes;
  if (!at_end_ || !rest_.empty()) return;
  source_.reset();
  ++file_;
  offset_ = 0;
}

// Nothing: more must be read.
std::optional<BlockReader::Cut> BlockReader::cut(std::string_view text) const {
  if (!list_.files[file_].jsonl) return inside_ ? cut_part(text) : cut_documents(text);
  const std::size_t lines = at_end_ ? text.size() : line_begin(text, text.size());
  if (lines == 0 && !at_end_) return std::nullopt;
  return Cut{Block::Kind::Lines, lines};
}

std::optional<BlockReader::Cut> BlockReader::cut_documents(std::string_view text) const {
  if (at_end_) return Cut{Block::Kind::Documents, text.size()};
  if (options_.separator) {
    if (const std::size_t end = last_separator_end(text, *options_.separator))
      return Cut{Block::Kind::Documents, end};
  }
  if (text.size() < options_.whole_document) return std::nullopt;
  const std::size_t most = certain(text);
  if (most == 0) return std::nullopt;
  return Cut{Block::Kind::Part, most, 0, true, false};
}

std::optional<BlockReader::Cut> BlockReader::cut_part(std::string_view text) const {
  if (options_.separator) {
    if (const auto line = find_separator(text, *options_.separator, line_start_, at_end_))
      return Cut{Block::Kind::Part, line->begin, line->end - line->begin, false, true};
  }
  if (at_end_) return Cut{Block::Kind::Part, text.size(), 0, false, true};
  const std::size_t most = certain(text);
  if (most == 0) return std::nullopt;
  return Cut{Block::Kind::Part, most};
}

// How much of `text`, in which no whole line is the separator, belongs to the document whatever follows.
std::size_t BlockReader::certain(std::string_view text) const {
  if (!options_.separator) return text.size();
  const std::size_t last_line = line_begin(text, text.size());
  if (last_line == 0 && !line_start_) return text.size();
  constexpr std::size_t kReturn = 1;
  return text.size() - last_line <= options_.separator->size() + kReturn ? last_line : text.size();
}

// Skips a line of which the block holds the beginning.
void BlockReader::discard_line(Block& block) {
  std::uint64_t length = block.size;
  const void* end = nullptr;
  rest_.clear();
  while (end == nullptr && !at_end_) {
    block.size = 0;
    fill(block, options_.block_bytes);
    end = std::memchr(block.buffer.data(), '\n', block.size);
    const std::size_t taken =
        end == nullptr ? block.size
                       : static_cast<std::size_t>(static_cast<const char*>(end) - block.buffer.data()) + 1;
    length += taken;
    rest_.assign(block.buffer.data() + taken, block.buffer.data() + block.size);
  }
  block.kind = Block::Kind::LongLine;
  block.size = 0;
  block.length = length - (end != nullptr);
  advance(block, length);
}

}  // namespace rt::data
