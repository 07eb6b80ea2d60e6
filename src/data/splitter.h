#pragma once
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace rt::data {

// Cuts text into pre-tokens, across which byte-pair merges never reach.
class Splitter {
 public:
  virtual ~Splitter() = default;
  // Appends the end of each pre-token of `text`; the last one is text.size(). Invalid UTF-8 counts as
  // symbols.
  virtual void split(std::string_view text, std::vector<std::size_t>& ends) const = 0;
  // Where a text may be cut into two that split as the whole does. Words: after a letter or a number that
  // another kind of character follows, and before a blank (U+0020) that follows anything but white space;
  // a pre-token always ends there. Anywhere: between any two characters, but a pre-token need not end there.
  // Matches: where settled() says.
  enum class Cut { Nowhere, Words, Anywhere, Matches };
  virtual Cut cut() const = 0;
  // Cut::Matches: appends ends of pre-tokens of `text` that nothing behind it can move.
  virtual void settled(std::string_view, std::vector<std::size_t>&) const {}
};

// For a pattern as it stands in tokenizer.json. Those of GPT-2, GPT-NeoX, Llama 3, Qwen 2, cl100k and their
// like are written out in code; others go to PCRE2. Exit::Config where the program was built without it,
// Exit::Data when the pattern is wrong; both begin with `where`.
std::unique_ptr<Splitter> make_splitter(const std::string& pattern, std::string_view where);
// One after the other, each within the pieces of the one before.
std::unique_ptr<Splitter> make_sequence(std::vector<std::unique_ptr<Splitter>> steps);
// Each character that is a number alone.
std::unique_ptr<Splitter> make_digit_splitter();

// clang-format off
inline constexpr char kGpt2Pattern[] =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
inline constexpr char kLlama3Pattern[] =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
inline constexpr char kQwen2Pattern[] =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
inline constexpr char kCl100kPattern[] =
    R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s)";
inline constexpr char kO200kPattern[] =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"(\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
// clang-format on

}  // namespace rt::data
