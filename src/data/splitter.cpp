#include "data/splitter.h"

#include <array>

#include "data/regex_splitter.h"
#include "data/unicode.h"

namespace rt::data {

namespace {

enum Kind : std::uint8_t { kSymbol, kSpace, kLetter, kNumber, kNotAscii };

constexpr std::array<Kind, 6> kKindOf = {kSymbol, kSymbol, kSpace,
                                         kLetter, kNumber, kNumber};  // by CharClass

constexpr std::array<Kind, 256> kAscii = [] {
  std::array<Kind, 256> kinds{};
  for (std::size_t c = 0; c < 256; ++c) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const bool space = c == ' ' || (c >= '\t' && c <= '\r');
    const bool number = c >= '0' && c <= '9';
    kinds[c] = c >= 128 ? kNotAscii : letter ? kLetter : space ? kSpace : number ? kNumber : kSymbol;
  }
  return kinds;
}();

struct Char {
  Kind kind = kSymbol;
  std::size_t length = 1;
};

bool is_newline(char c) { return c == '\n' || c == '\r'; }

// Reads a text by kinds of characters.
class Reader {
 public:
  Reader(const CharClasses& classes, std::string_view text) : classes_(classes), text_(text) {}

  Char at(std::size_t i) const {  // i < size
    const Kind kind = kAscii[static_cast<unsigned char>(text_[i])];
    if (kind != kNotAscii) return {kind, 1};
    const Utf8Step step = utf8_step(text_, i);
    if (step.state != Utf8State::Valid) return {kSymbol, step.length};
    return {kKindOf[static_cast<std::size_t>(classes_(step.code))], step.length};
  }
  bool is(std::size_t i, Kind kind) const { return i < text_.size() && at(i).kind == kind; }
  // Past the characters of this kind; `before` becomes where the last of them begins.
  std::size_t run(std::size_t i, Kind kind, std::size_t* before = nullptr) const {
    while (i < text_.size()) {
      const Char c = at(i);
      if (c.kind != kind) break;
      if (before) *before = i;
      i += c.length;
    }
    return i;
  }
  // White space that has no newline to end at: all of it at the end of the text, else all but its last
  // character, which may belong to what follows.
  std::size_t space(std::size_t i) const {
    std::size_t last = i;
    const std::size_t end = run(i, kSpace, &last);
    return end == text_.size() || last == i ? end : last;
  }

 private:
  const CharClasses& classes_;
  std::string_view text_;
};

// The length of 's 't 'm 'd 're 've 'll at `i`, else 0. Without regard to case, the long s is an s too.
std::size_t contraction(std::string_view text, std::size_t i, bool any_case) {
  const std::string_view rest = text.substr(i, 3);
  if (rest.size() < 2) return 0;
  const auto lower = [&](std::size_t j) {
    const char c = j < rest.size() ? rest[j] : ' ';
    return any_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  };
  const char a = lower(1), b = lower(2);
  if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
  if ((b == 'e' && (a == 'r' || a == 'v')) || (a == 'l' && b == 'l')) return 3;
  return any_case && rest.substr(1) == "\xC5\xBF" ? 3 : 0;
}

class Gpt2Splitter final : public Splitter {
 public:
  Cut cut() const override { return Cut::Words; }
  void split(std::string_view text, std::vector<std::size_t>& ends) const override {
    const Reader reader(classes_, text);
    for (std::size_t at = 0; at < text.size(); ends.push_back(at)) at = next(reader, text, at);
  }

 private:
  static std::size_t next(const Reader& reader, std::string_view text, std::size_t at) {
    if (text[at] == '\'') {
      const std::size_t length = contraction(text, at, false);
      if (length > 0) return at + length;
    }
    const std::size_t body = at + (text[at] == ' ' ? 1 : 0);
    if (body == text.size()) return body;
    const Char first = reader.at(body);
    return first.kind == kSpace ? reader.space(at) : reader.run(body + first.length, first.kind);
  }
  const CharClasses& classes_ = CharClasses::get();
};

// Of Llama 3 and the like. `digits`: how many numbers stay together. `blank_end`: white space at the end of
// the text is one pre-token even if there are newlines in it.
class Cl100kSplitter final : public Splitter {
 public:
  Cl100kSplitter(std::size_t digits, bool blank_end) : digits_(digits), blank_end_(blank_end) {}
  Cut cut() const override { return Cut::Words; }
  void split(std::string_view text, std::vector<std::size_t>& ends) const override {
    const Reader reader(classes_, text);
    for (std::size_t at = 0; at < text.size(); ends.push_back(at)) at = next(reader, text, at);
  }

 private:
  std::size_t next(const Reader& reader, std::string_view text, std::size_t at) const {
    const char c = text[at];
    if (c == '\'') {
      const std::size_t length = contraction(text, at, true);
      if (length > 0) return at + length;
    }
    const Char first = reader.at(at);
    const std::size_t second = at + first.length;
    if (first.kind == kLetter) return reader.run(second, kLetter);
    if (first.kind == kNumber) return numbers(reader, second);
    if (!is_newline(c) && reader.is(second, kLetter)) return reader.run(second, kLetter);
    const std::size_t body = c == ' ' ? second : at;
    if (reader.is(body, kSymbol)) {
      std::size_t end = reader.run(body, kSymbol);
      while (end < text.size() && is_newline(text[end])) ++end;
      return end;
    }
    const std::size_t end = reader.run(at, kSpace);
    if (blank_end_ && end == text.size()) return end;
    const std::size_t newline = text.substr(at, end - at).find_last_of("\r\n");
    return newline != std::string_view::npos ? at + newline + 1 : reader.space(at);
  }
  std::size_t numbers(const Reader& reader, std::size_t at) const {
    for (std::size_t n = 1; n < digits_ && reader.is(at, kNumber); ++n) at += reader.at(at).length;
    return at;
  }
  const CharClasses& classes_ = CharClasses::get();
  std::size_t digits_;
  bool blank_end_;
};

class DigitSplitter final : public Splitter {
 public:
  Cut cut() const override { return Cut::Anywhere; }
  void split(std::string_view text, std::vector<std::size_t>& ends) const override {
    const Reader reader(classes_, text);
    for (std::size_t at = 0; at < text.size();) {
      const Char c = reader.at(at);
      if (c.kind == kNumber && at > 0 && (ends.empty() || ends.back() != at)) ends.push_back(at);
      at += c.length;
      if (c.kind == kNumber || at == text.size()) ends.push_back(at);
    }
  }

 private:
  const CharClasses& classes_ = CharClasses::get();
};

class SequenceSplitter final : public Splitter {
 public:
  explicit SequenceSplitter(std::vector<std::unique_ptr<Splitter>> steps) : steps_(std::move(steps)) {}
  Cut cut() const override {
    if (steps_.size() == 1) return steps_[0]->cut();
    Cut all = Cut::Anywhere;
    for (const auto& step : steps_) {
      if (step->cut() == Cut::Nowhere || step->cut() == Cut::Matches) return Cut::Nowhere;
      if (step->cut() == Cut::Words) all = Cut::Words;
    }
    return all;
  }
  void settled(std::string_view text, std::vector<std::size_t>& ends) const override {
    if (steps_.size() == 1) steps_[0]->settled(text, ends);
  }
  void split(std::string_view text, std::vector<std::size_t>& ends) const override {
    std::vector<std::size_t> pieces{text.size()}, finer;
    for (const auto& step : steps_) {
      finer.clear();
      std::size_t begin = 0;
      for (const std::size_t end : pieces) {
        std::vector<std::size_t> inner;
        step->split(text.substr(begin, end - begin), inner);
        for (const std::size_t e : inner) finer.push_back(begin + e);
        begin = end;
      }
      pieces.swap(finer);
    }
    ends.insert(ends.end(), pieces.begin(), pieces.end());
  }

 private:
  std::vector<std::unique_ptr<Splitter>> steps_;
};

// The patterns as their publishers write them; those of one table split alike.
constexpr std::string_view kGpt2Patterns[] = {
    kGpt2Pattern,
    R"('(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)",
    R"('(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s)",
};
struct Cl100kPattern {
  std::string_view pattern;
  std::size_t digits;
  bool blank_end;
};
constexpr Cl100kPattern kCl100kPatterns[] = {
    {kLlama3Pattern, 3, false},
    {kQwen2Pattern, 1, false},
    {R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)",
     3, false},
    {kCl100kPattern, 3, true},
};

}  // namespace

std::unique_ptr<Splitter> make_splitter(const std::string& pattern, std::string_view where) {
  for (const std::string_view known : kGpt2Patterns) {
    if (pattern == known) return std::make_unique<Gpt2Splitter>();
  }
  for (const Cl100kPattern& known : kCl100kPatterns) {
    if (pattern == known.pattern) return std::make_unique<Cl100kSplitter>(known.digits, known.blank_end);
  }
  return make_regex_splitter(pattern, where);
}

std::unique_ptr<Splitter> make_sequence(std::vector<std::unique_ptr<Splitter>> steps) {
  return std::make_unique<SequenceSplitter>(std::move(steps));
}

std::unique_ptr<Splitter> make_digit_splitter() { return std::make_unique<DigitSplitter>(); }

}  // namespace rt::data
