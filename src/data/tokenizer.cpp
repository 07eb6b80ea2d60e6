#include "rt/data/tokenizer.h"

#include <algorithm>
#include <array>

#include "data/char_tokenizer.h"
#include "data/hash.h"
#include "data/json.h"
#include "data/token_table.h"
#include "data/utf8.h"
#include "rt/core/error.h"

namespace rt::data {
namespace {

constexpr char32_t kReplacement = 0xFFFD;

[[noreturn]] void fail_utf8(std::string_view text, std::size_t at, std::uint64_t base) {
  const auto byte = static_cast<unsigned>(static_cast<unsigned char>(text[at]));
  fail(Exit::Data,
       "invalid UTF-8 (byte 0x{}) at byte {}; convert the text to UTF-8 or use the bytes tokenizer",
       hex16(byte).substr(14), base + at);
}

// Returns where it stopped: at the end, or unless `last` before a character that is not all there.
template <class F>
std::size_t for_each_character(std::string_view text, bool last, std::uint64_t base, F&& visit) {
  std::size_t at = 0;
  while (at < text.size()) {
    const Utf8Step step = utf8_step(text, at);
    if (step.state == Utf8State::Incomplete && !last) break;
    if (step.state != Utf8State::Valid) fail_utf8(text, at, base);
    visit(step.code, at);
    at += step.length;
  }
  return at;
}

class ByteTokenizer final : public Tokenizer {
 public:
  ByteTokenizer() {
    for (std::size_t i = 0; i < bytes_.size(); ++i) bytes_[i] = static_cast<char>(i);
  }
  std::string_view type() const override { return "bytes"; }
  std::int64_t vocab_size() const override { return 256; }
  std::string to_json() const override { return R"({"type":"bytes"})"; }
  std::size_t encode_some(std::string_view text, bool, std::uint64_t,
                          std::vector<std::int32_t>& out) const override {
    out.reserve(out.size() + text.size());
    for (const char c : text) out.push_back(static_cast<unsigned char>(c));
    return text.size();
  }
  std::string_view decode_bytes(std::int32_t id) const override {
    if (id < 0 || id > 255) fail_token_id(id, vocab_size(), type());
    return {&bytes_[static_cast<std::size_t>(id)], 1};
  }

 private:
  std::array<char, 256> bytes_{};
};

class CharTokenizer final : public Tokenizer {
 public:
  explicit CharTokenizer(std::vector<char32_t> sorted) : codes_(std::move(sorted)) {
    ascii_.fill(-1);
    for (const char32_t code : codes_) {
      if (code < ascii_.size()) ascii_[code] = static_cast<std::int32_t>(begin_.size());
      begin_.push_back(static_cast<std::uint32_t>(text_.size()));
      utf8_append(text_, code);
    }
    begin_.push_back(static_cast<std::uint32_t>(text_.size()));
  }
  std::string_view type() const override { return "chars"; }
  std::int64_t vocab_size() const override { return static_cast<std::int64_t>(codes_.size()); }
  std::string to_json() const override {
    nlohmann::ordered_json json;
    json["type"] = "chars";
    json["chars"] = text_;
    return json_text(json);
  }
  std::size_t encode_some(std::string_view text, bool last, std::uint64_t base,
                          std::vector<std::int32_t>& out) const override {
    out.reserve(out.size() + text.size());
    return for_each_character(text, last, base, [&](char32_t code, std::size_t at) {
      const std::int32_t id = find(code);
      if (id < 0) {
        fail(Exit::Data,
             "character {} at byte {} is not among the {} characters of the vocabulary; remove it, build the "
             "vocabulary "
             "from this text too, or use the bytes tokenizer",
             describe_character(code), base + at, codes_.size());
      }
      out.push_back(id);
    });
  }
  std::string_view decode_bytes(std::int32_t id) const override {
    if (id < 0 || id >= vocab_size()) fail_token_id(id, vocab_size(), type());
    const auto i = static_cast<std::size_t>(id);
    return std::string_view(text_).substr(begin_[i], begin_[i + 1] - begin_[i]);
  }

 private:
  std::int32_t find(char32_t code) const {  // -1: not in the vocabulary
    if (code < ascii_.size()) return ascii_[code];
    const auto found = std::lower_bound(codes_.begin(), codes_.end(), code);
    return found != codes_.end() && *found == code ? static_cast<std::int32_t>(found - codes_.begin()) : -1;
  }
  std::array<std::int32_t, 128> ascii_{};
  std::vector<char32_t> codes_;       // ascending
  std::string text_;                  // all characters, in order
  std::vector<std::uint32_t> begin_;  // (V + 1) offsets into text_
};

}  // namespace

std::uint64_t Tokenizer::fingerprint() const {
  std::uint64_t value = fingerprint_.load(std::memory_order_relaxed);  // any thread finds the same one
  if (value == 0) fingerprint_.store(value = xxh3(to_json()), std::memory_order_relaxed);
  return value;
}

std::vector<std::int32_t> Tokenizer::encode(std::string_view text) const {
  std::vector<std::int32_t> ids;
  encode_some(text, true, 0, ids);
  return ids;
}

std::string Tokenizer::decode(std::span<const std::int32_t> ids) const {
  std::string text;
  for (const std::int32_t id : ids) text += decode_bytes(id);
  return text;
}

std::unique_ptr<Tokenizer> make_byte_tokenizer() { return std::make_unique<ByteTokenizer>(); }

std::size_t CharVocabulary::add(std::string_view text, bool last, std::uint64_t base) {
  std::array<bool, 128> ascii{};  // spares the set one lookup per byte of plain text
  const std::size_t taken = for_each_character(text, last, base, [&](char32_t code, std::size_t) {
    if (code < ascii.size()) {
      ascii[code] = true;
    } else {
      codes_.insert(code);
    }
  });
  for (std::size_t i = 0; i < ascii.size(); ++i) {
    if (ascii[i]) codes_.insert(static_cast<char32_t>(i));
  }
  return taken;
}

std::unique_ptr<Tokenizer> CharVocabulary::build() const {
  if (codes_.empty()) fail(Exit::Data, "cannot build a character vocabulary: the text is empty");
  return std::make_unique<CharTokenizer>(std::vector<char32_t>(codes_.begin(), codes_.end()));
}

std::unique_ptr<Tokenizer> chars_from_json(const nlohmann::json& json, std::string_view where) {
  if (!json.contains("chars") || !json["chars"].is_string()) {
    fail(Exit::Data, "{}: a chars tokenizer needs the string \"chars\"", where);
  }
  const auto text = json["chars"].get<std::string>();
  std::vector<char32_t> codes;
  for_each_character(text, true, 0, [&](char32_t code, std::size_t) { codes.push_back(code); });
  if (codes.empty() || !std::is_sorted(codes.begin(), codes.end(), std::less_equal<>{})) {
    fail(Exit::Data, "{}: the characters of a chars tokenizer must be ascending and without repeats", where);
  }
  return std::make_unique<CharTokenizer>(std::move(codes));
}

std::string StreamDecoder::push(std::int32_t id) {
  held_ += tokenizer_->decode_bytes(id);
  std::string out;
  std::size_t at = 0;
  while (at < held_.size()) {
    const Utf8Step step = utf8_step(held_, at);
    if (step.state == Utf8State::Incomplete) break;
    if (step.state == Utf8State::Valid) {
      out.append(held_, at, step.length);
    } else {
      utf8_append(out, kReplacement);
    }
    at += step.length;
  }
  held_.erase(0, at);
  return out;
}

std::string StreamDecoder::finish() {
  std::string out;
  if (!held_.empty()) utf8_append(out, kReplacement);
  held_.clear();
  return out;
}

}  // namespace rt::data
