#include "data/unicode.h"

#include <algorithm>
#include <map>
#include <unordered_map>
#include <utility>
#include <vector>

#include "data/base64.h"
#include "data/unicode_tables.inc"
#include "rt/core/error.h"

namespace rt::data {
namespace {

// Numbers of the generated tables, low seven bits first.
class Numbers {
 public:
  explicit Numbers(std::string_view text) { RT_CHECK(base64_decode(text, bytes_), "the table is damaged"); }
  bool more() const { return at_ < bytes_.size(); }
  std::uint32_t byte() { return static_cast<unsigned char>(bytes_.at(at_++)); }
  std::uint32_t next() {
    std::uint32_t value = 0, shift = 0, b = 0;
    do {
      b = byte();
      value |= (b & 127) << shift;
      shift += 7;
    } while (b >= 128);
    return value;
  }

 private:
  std::string bytes_;
  std::size_t at_ = 0;
};

// Hangul syllables are computed (Unicode 9, section 3.12).
constexpr char32_t kS = 0xAC00, kL = 0x1100, kV = 0x1161, kT = 0x11A7, kLs = 19, kVs = 21, kTs = 28;

struct Tables {
  Tables() {
    char32_t code = 0;
    for (Numbers in(kCombining); in.more();) {
      code += in.next();
      combining[code] = static_cast<std::uint8_t>(in.byte());
    }
    code = 0;
    for (Numbers in(kDecompositions); in.more();) {
      const std::uint32_t gap = in.next();
      code += gap / 2;
      const char32_t first = in.next(), second = in.next();
      decompose[code] = {first, second};
      if (gap % 2 == 0) continue;
      compose[std::uint64_t{first} << 32 | second] = code;
      joins[second] = true;
    }
    // Vowels and finals of Hangul join what is before them.
    for (char32_t c = kV; c < kT + kTs; ++c) joins[c] = true;
    for (const auto& [c, unused] : combining) joins[c] = true;
    changes = joins;
    for (const auto& [c, parts] : decompose) {
      const auto whole = compose.find(std::uint64_t{parts.first} << 32 | parts.second);
      if (whole == compose.end() || whole->second != c) changes[c] = true;
      char32_t first = parts.first;
      while (decompose.count(first)) first = decompose.at(first).first;
      if (joins[first]) joins[c] = changes[c] = true;
    }
  }
  static const Tables& get() {
    static const Tables tables;
    return tables;
  }
  std::uint8_t ccc(char32_t code) const {
    const auto found = combining.find(code);
    return found == combining.end() ? std::uint8_t{0} : found->second;
  }
  std::unordered_map<char32_t, std::uint8_t> combining;
  std::unordered_map<char32_t, std::pair<char32_t, char32_t>> decompose;  // second 0: one character only
  std::unordered_map<std::uint64_t, char32_t> compose;
  std::vector<bool> joins =
      std::vector<bool>(0x110000);  // may move before, or compose with, what is before it
  std::vector<bool> changes;        // ... or is written in another way in form C
};

struct Mark {
  char32_t code;
  std::uint8_t ccc;
};

void decompose(const Tables& t, char32_t code, std::vector<Mark>& out) {
  if (code >= kS && code < kS + kLs * kVs * kTs) {
    const char32_t s = code - kS;
    out.push_back({kL + s / (kVs * kTs), 0});
    out.push_back({kV + s % (kVs * kTs) / kTs, 0});
    if (s % kTs != 0) out.push_back({kT + s % kTs, 0});
    return;
  }
  const auto found = t.decompose.find(code);
  if (found == t.decompose.end()) {
    out.push_back({code, t.ccc(code)});
    return;
  }
  decompose(t, found->second.first, out);
  if (found->second.second != 0) decompose(t, found->second.second, out);
}

char32_t composed(const Tables& t, char32_t a, char32_t b) {  // 0: they do not compose
  if (a >= kL && a < kL + kLs && b >= kV && b < kV + kVs) return kS + ((a - kL) * kVs + (b - kV)) * kTs;
  if (a >= kS && a < kS + kLs * kVs * kTs && (a - kS) % kTs == 0 && b > kT && b < kT + kTs)
    return a + (b - kT);
  const auto found = t.compose.find(std::uint64_t{a} << 32 | b);
  return found == t.compose.end() ? 0 : found->second;
}

// Canonical order, then each mark into the last starter unless something between blocks it.
void compose_run(const Tables& t, std::vector<Mark>& run, std::string& out) {
  for (std::size_t begin = 0; begin < run.size();) {
    std::size_t end = begin;
    while (end < run.size() && run[end].ccc != 0) ++end;
    const auto at = [&](std::size_t i) { return run.begin() + static_cast<std::ptrdiff_t>(i); };
    std::stable_sort(at(begin), at(end), [](Mark a, Mark b) { return a.ccc < b.ccc; });
    begin = end + 1;
  }
  std::size_t kept = 0, starter = run.size();
  for (std::size_t i = 0; i < run.size(); ++i) {
    const Mark mark = run[i];
    // What lies between the starter and this mark has lower classes, or there is nothing.
    const bool adjacent = starter < kept && kept == starter + 1;
    const bool free =
        starter < kept && (adjacent || (run[kept - 1].ccc != 0 && run[kept - 1].ccc < mark.ccc));
    const char32_t whole = free ? composed(t, run[starter].code, mark.code) : 0;
    if (whole != 0) {
      run[starter].code = whole;
      continue;
    }
    if (mark.ccc == 0) starter = kept;
    run[kept++] = mark;
  }
  for (std::size_t i = 0; i < kept; ++i) utf8_append(out, run[i].code);
  run.clear();
}

}  // namespace

const CharClasses& CharClasses::get() {
  static const CharClasses classes;
  return classes;
}

CharClasses::CharClasses() {
  std::vector<CharClass> all;
  for (Numbers in(kClassRuns); in.more();) {
    const std::uint32_t run = in.next();
    all.insert(all.end(), run / 6, static_cast<CharClass>(run % 6));
  }
  RT_CHECK(all.size() == 0x110000, "the table of classes covers {} code points", all.size());
  std::map<std::vector<CharClass>, std::size_t> known;
  std::vector<CharClass> blocks;
  for (std::size_t i = 0; i < 0x1100; ++i) {
    const auto begin = all.begin() + static_cast<std::ptrdiff_t>(i * 256);
    const auto [place, is_new] = known.insert({std::vector<CharClass>(begin, begin + 256), known.size()});
    if (is_new) blocks.insert(blocks.end(), begin, begin + 256);
    RT_CHECK(place->second < 256, "too many different blocks of characters");
    block_of_[i] = static_cast<std::uint8_t>(place->second);
  }
  blocks_ = std::make_unique<CharClass[]>(blocks.size());
  std::copy(blocks.begin(), blocks.end(), blocks_.get());
}

bool nfc_boundary_before(char32_t code) { return code < 0x300 || !Tables::get().joins[code]; }

bool may_change_in_nfc(std::string_view text) {
  const Tables& t = Tables::get();
  for (std::size_t at = 0; at < text.size();) {
    if (static_cast<unsigned char>(text[at]) < 0xCC) {  // below U+0300, or a stray byte
      ++at;
      continue;
    }
    const Utf8Step step = utf8_step(text, at);
    if (step.state == Utf8State::Valid && t.changes[step.code]) return true;
    at += step.length;
  }
  return false;
}

std::string nfc(std::string_view text) {
  const Tables& t = Tables::get();
  std::string out;
  out.reserve(text.size());
  std::vector<Mark> run;  // from one boundary to the next
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_step(text, at);
    const bool valid = step.state == Utf8State::Valid;
    if (!valid || nfc_boundary_before(step.code)) compose_run(t, run, out);
    if (valid) {
      decompose(t, step.code, run);
    } else {
      out.append(text, at, step.length);
    }
    at += step.length;
  }
  compose_run(t, run, out);
  return out;
}

}  // namespace rt::data
