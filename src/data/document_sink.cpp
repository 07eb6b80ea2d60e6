#include "data/document_sink.h"

#include "data/json.h"
#include "rt/core/error.h"

namespace rt::data {
namespace {

using Json = nlohmann::ordered_json;

}  // namespace

std::string JobPosition::to_text() const {
  Json bad = Json::array();
  for (const BadLine& line : first_bad_lines) bad.push_back({line.where, line.why});
  const Json json = {{"file", place.file},     {"offset", place.offset}, {"inside", place.inside},
                     {"skip", skip},           {"lines", lines},         {"empty_documents", empty_documents},
                     {"bad_lines", bad_lines}, {"first_bad_lines", bad}};
  return json_text(json, -1, BadUtf8::Replace);  // a path may be in any encoding
}

JobPosition JobPosition::from_text(const std::string& text) {
  const Json json = parse_json<Json>(text);
  JobPosition p;
  p.place = {json.at("file").get<std::size_t>(), json.at("offset").get<std::uint64_t>(),
             json.at("inside").get<bool>()};
  p.skip = json.at("skip").get<std::uint64_t>();
  p.lines = json.at("lines").get<std::uint64_t>();
  p.empty_documents = json.at("empty_documents").get<std::uint64_t>();
  p.bad_lines = json.at("bad_lines").get<std::uint64_t>();
  for (const Json& line : json.at("first_bad_lines")) {
    p.first_bad_lines.push_back({line.at(0).get<std::string>(), line.at(1).get<std::string>()});
  }
  return p;
}

void DocumentSink::resume(const JobPosition& from) {
  now_ = from;
  part_base_ = from.place.offset;
  be_at(from.place);
}

void DocumentSink::be_at(BlockPlace place) {
  now_.place = place;
  at_place_ = now_;
  tokens_at_place_ = target_.tokens();
}

JobPosition DocumentSink::position() const {
  JobPosition p = at_place_;
  p.skip = target_.tokens() - tokens_at_place_;
  return p;
}

std::string DocumentSink::where(std::uint64_t line) const {
  const InputFile& file = list_.files[now_.place.file];
  if (!file.jsonl) return file.path.string();
  return format("{}:{}", file.path.string(), now_.lines + line + 1);
}

void DocumentSink::refuse(std::uint64_t line, const Error& error) const {
  if (error.code() != Exit::Data) throw error;
  fail(Exit::Data, "{}: {}", where(line), error.what());
}

void DocumentSink::add_bad(std::uint64_t line, std::string why) {
  ++now_.bad_lines;
  if (now_.first_bad_lines.size() < PrepareReport::kMaxListed) {
    now_.first_bad_lines.push_back({where(line), std::move(why)});
  }
}

void DocumentSink::take(const Block& block, const Encoded& encoded) {
  if (block.file != now_.place.file) now_.lines = 0;
  if (block.kind == Block::Kind::Part) return take_part(block);
  be_at({block.file, block.offset, false});
  take_documents(encoded);
  for (const Encoded::BadLine& bad : encoded.bad) add_bad(bad.line, bad.why);
  if (encoded.failure) refuse(encoded.failure_line, *encoded.failure);
  now_.lines += encoded.lines;
}

void DocumentSink::take_documents(const Encoded& encoded) {
  std::size_t ids = 0, text = 0;
  for (const Encoded::Document& d : encoded.documents) {
    target_.begin_document();
    const std::size_t n = d.ids_end - ids;
    const std::span trained = encoded.trained.empty() ? std::span<const std::uint8_t>{}
                                                      : std::span(encoded.trained).subspan(ids, n);
    if (n > 0) target_.take_ids(std::span(encoded.ids).subspan(ids, n), trained);
    try {
      take_text(std::string_view(encoded.text).substr(text, d.text_end - text), true, d.base, false);
    } catch (const Error& e) { refuse(d.line, e); }
    now_.empty_documents += d.ids_end == ids && d.text_end == text;
    ids = d.ids_end;
    text = d.text_end;
  }
}

void DocumentSink::take_part(const Block& block) {
  if (block.begins) {
    be_at({block.file, block.offset, false});
    target_.begin_document();
    part_.clear();
    part_base_ = block.offset;
  }
  part_ += block.text();
  try {
    const std::size_t taken = take_text(part_, block.ends, part_base_, true);
    part_.erase(0, taken);
    part_base_ += taken;
  } catch (const Error& e) { refuse(0, e); }
}

// In pieces, so that a huge document needs little memory. Returns how much was taken, all of it when `last`.
std::size_t DocumentSink::take_text(std::string_view text, bool last, std::uint64_t base, bool is_part) {
  std::size_t begin = 0;
  for (std::size_t length = options_.block_bytes; begin < text.size();) {
    const std::string_view piece = text.substr(begin, length);
    const bool reaches_end = begin + piece.size() == text.size();
    const std::uint64_t before = target_.tokens();
    const std::size_t taken = target_.take_text(piece, last && reaches_end, base + begin);
    begin += taken;
    // Reading can go on here, but not before the document's first token: it would not be known to begin.
    if (is_part && target_.tokens() > before) be_at({now_.place.file, base + begin, true});
    if (taken == 0 && reaches_end) break;
    length = taken > 0 ? options_.block_bytes : 2 * length;
  }
  return begin;
}

}  // namespace rt::data
