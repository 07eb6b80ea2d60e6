#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/block_encoder.h"
#include "data/block_reader.h"
#include "rt/data/prepare.h"

namespace rt::data {

// How far a job is: a place in the inputs, and what had come of them before it. Text, so that a later run can
// read it.
struct JobPosition {
  BlockPlace place;
  std::uint64_t skip = 0;   // tokens behind the place that are done already
  std::uint64_t lines = 0;  // of the file, before the place
  std::uint64_t empty_documents = 0, bad_lines = 0;
  std::vector<BadLine> first_bad_lines;

  std::string to_text() const;
  static JobPosition from_text(const std::string& text);
};

// Where documents go, in order.
class DocumentTarget {
 public:
  virtual ~DocumentTarget() = default;
  virtual void begin_document() = 0;
  // `trained`: for each id 1 or 0 (chat_template.h); empty where the text is no conversation.
  virtual void take_ids(std::span<const std::int32_t> ids, std::span<const std::uint8_t> trained) = 0;
  // Text that is not encoded yet. Returns how much of it was taken, as Tokenizer::encode_some does.
  virtual std::size_t take_text(std::string_view text, bool last, std::uint64_t base) = 0;
  virtual std::uint64_t tokens() const = 0;  // taken so far
};

// Of a pass without a tokenizer, which meets text only.
class TextTarget : public DocumentTarget {
 public:
  void begin_document() final { ++documents_; }
  void take_ids(std::span<const std::int32_t>, std::span<const std::uint8_t>) final {}
  std::uint64_t tokens() const final { return 0; }
  std::uint64_t documents() const { return documents_; }

 private:
  std::uint64_t documents_ = 0;
};

// Hands the documents of blocks, which come in order, to a target and keeps the account: bad lines, and the
// position. Errors get their place in front here, where the number of lines before a block is known.
class DocumentSink {
 public:
  DocumentSink(const InputList& list, const PrepareOptions& options, DocumentTarget& target)
      : list_(list), options_(options), target_(target) {}

  void resume(const JobPosition& from);  // target.tokens() is what it was at that place
  void take(const Block& block, const Encoded& encoded);
  JobPosition position() const;                       // of the token that was taken last
  const JobPosition& totals() const { return now_; }  // the counts

 private:
  void take_documents(const Encoded& encoded);
  void take_part(const Block& block);
  std::size_t take_text(std::string_view text, bool last, std::uint64_t base, bool is_part);
  void add_bad(std::uint64_t line, std::string why);
  void be_at(BlockPlace place);
  std::string where(std::uint64_t line) const;  // line in the block, from 0
  [[noreturn]] void refuse(std::uint64_t line, const Error& error) const;
  const InputList& list_;
  const PrepareOptions& options_;
  DocumentTarget& target_;
  JobPosition at_place_, now_;
  std::uint64_t tokens_at_place_ = 0;
  std::string part_;             // of a document that passes in parts: what the target has left
  std::uint64_t part_base_ = 0;  // its place in the file
};

}  // namespace rt::data
