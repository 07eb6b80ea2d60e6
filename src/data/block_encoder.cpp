#include "data/block_encoder.h"

namespace rt::data {
namespace {

constexpr std::string_view kBom = "\xEF\xBB\xBF";

}  // namespace

void Encoded::clear() {
  documents.clear();
  ids.clear();
  trained.clear();
  text.clear();
  bad.clear();
  lines = failure_line = 0;
  failure.reset();
}

BlockEncoder::BlockEncoder(const PrepareOptions& options, const Tokenizer* tokenizer)
    : options_(options), tokenizer_(tokenizer), field_(options.field) {}

void BlockEncoder::encode(const Block& block, Encoded& out) {
  out.clear();
  if (tokenizer_ != nullptr) out.ids.reserve(block.size);  // once; only what is used becomes memory
  if (block.kind == Block::Kind::Lines) lines(block, out);
  if (block.kind == Block::Kind::Documents) documents(block, out);
  if (block.kind == Block::Kind::LongLine) {
    refuse_line(too_long_line(block.length), out);
    out.lines = 1;
  }
}

// False: this is the end.
bool BlockEncoder::refuse_line(std::string why, Encoded& out) const {
  if (!options_.strict) {
    out.bad.push_back({out.lines, std::move(why)});
    return true;
  }
  out.failure.emplace(Exit::Data, why + "; correct it or leave out strict mode");
  out.failure_line = out.lines;
  return false;
}

std::string BlockEncoder::too_long_line(std::uint64_t length) const {
  return format("a line of {} bytes, longer than the {} allowed; divide the document, or allow more", length,
                options_.longest_line);
}

void BlockEncoder::lines(const Block& block, Encoded& out) {
  const std::string_view all = block.text();
  std::size_t at = block.offset == 0 && all.substr(0, kBom.size()) == kBom ? kBom.size() : 0;
  std::string_view text;
  std::string why;
  for (; at < all.size(); ++out.lines) {
    const std::size_t end = std::min(all.find('\n', at), all.size());
    std::string_view line = all.substr(at, end - at);
    at = end + 1;
    const bool too_long = line.size() > options_.longest_line;
    if (too_long) why = too_long_line(line.size());
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (line.find_first_not_of(" \t") == std::string_view::npos && !too_long) continue;
    if (!too_long && options_.chat) {
      if (!add_conversation(line, out)) return;
    } else if (!too_long && field_.get(line, text, why)) {
      const bool newline = options_.end_with_newline && !text.empty() && text.back() != '\n';
      if (!add(text, out.lines, 0, newline, out)) return;
    } else if (!refuse_line(std::move(why), out)) {
      return;
    }
  }
}

bool BlockEncoder::add_conversation(std::string_view line, Encoded& out) {
  std::string why;
  const std::vector<ChatMessage> messages = parse_chat(line, why);
  std::vector<ChatPiece> pieces;
  if (why.empty()) pieces = chat_pieces(*options_.chat, messages, why);
  if (!why.empty()) return refuse_line(std::move(why), out);
  try {
    if (tokenizer_ != nullptr) encode_pieces(*tokenizer_, pieces, out.ids, out.trained);
  } catch (const Error& e) {
    out.failure = e;
    out.failure_line = out.lines;
    return false;
  }
  if (tokenizer_ == nullptr)
    for (const ChatPiece& piece : pieces) out.text += piece.text;
  out.documents.push_back({out.ids.size(), out.text.size(), out.lines, 0});
  return true;
}

void BlockEncoder::documents(const Block& block, Encoded& out) {
  const std::string_view all = block.text();
  std::size_t begin = 0;
  while (options_.separator && begin < all.size()) {
    const auto line = find_separator(all.substr(begin), *options_.separator, true, true);
    if (!line) break;
    if (!add(all.substr(begin, line->begin), 0, block.offset + begin, false, out)) return;
    begin += line->end;
  }
  // Behind the last separator there is only a document if there is anything; a file of nothing is one.
  if (begin < all.size() || all.empty()) add(all.substr(begin), 0, block.offset + begin, false, out);
}

bool BlockEncoder::add(std::string_view text, std::uint64_t line, std::uint64_t base, bool newline,
                       Encoded& out) {
  if (tokenizer_ == nullptr || text.size() > options_.whole_document) {
    out.text += text;
    if (newline) out.text += '\n';
  } else {
    if (newline) text = with_newline_.assign(text).append(1, '\n');
    try {
      tokenizer_->encode_some(text, true, base, out.ids);
    } catch (const Error& e) {
      out.failure = e;
      out.failure_line = line;
      return false;
    }
  }
  out.documents.push_back({out.ids.size(), out.text.size(), line, base});
  return true;
}

}  // namespace rt::data
