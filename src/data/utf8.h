#pragma once
#include <cstddef>
#include <string>
#include <string_view>

namespace rt::data {

enum class Utf8State { Valid, Invalid, Incomplete };

// One step of decoding at text[at]. `length` is the bytes taken: the character's, or for bad input those of
// the "maximal subpart" (Unicode 15, section 3.9, table 3-7), at least 1. Incomplete: the text ends inside a
// sequence that is valid so far.
struct Utf8Step {
  char32_t code = 0;
  std::size_t length = 1;
  Utf8State state = Utf8State::Invalid;
};

Utf8Step utf8_step(std::string_view text, std::size_t at);
// Where the last character of `text`, which is not empty, begins; a stray byte is a character.
std::size_t utf8_last(std::string_view text);
// `text` without the first bytes of a character at its end, if it ends in such.
std::string_view utf8_whole(std::string_view text);
void utf8_append(std::string& out, char32_t code);
std::string describe_character(char32_t code);  // "'é' (U+00E9)", control characters by number only

}  // namespace rt::data
