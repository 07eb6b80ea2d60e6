#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "data/utf8.h"

namespace rt::data {

// What the patterns of pre-tokenizers ask of a character (Unicode 16.0). Word and NumberWord are the rest of
// \w.
enum class CharClass : std::uint8_t { Other, Word, Space, Letter, Number, NumberWord };

// One look per character: blocks of 256 code points, equal blocks once.
class CharClasses {
 public:
  static const CharClasses& get();
  CharClass operator()(char32_t code) const {  // at most U+10FFFF
    return blocks_[std::size_t{block_of_[code >> 8]} << 8 | (code & 255)];
  }
  bool is_letter(char32_t code) const { return (*this)(code) == CharClass::Letter; }
  bool is_number(char32_t code) const { return (*this)(code) >= CharClass::Number; }
  bool is_space(char32_t code) const { return (*this)(code) == CharClass::Space; }
  bool is_word(char32_t code) const {  // \w
    const CharClass c = (*this)(code);
    return c == CharClass::Word || c == CharClass::Letter || c == CharClass::NumberWord;
  }

 private:
  CharClasses();
  std::uint8_t block_of_[0x1100] = {};
  std::unique_ptr<CharClass[]> blocks_;
};

// Normalization form C as of Unicode 9.0. Bytes that are not UTF-8 stay as they are and nothing composes
// across them.
std::string nfc(std::string_view text);
// False: `text` is in form C for sure, without a look at more than its bytes and their characters.
bool may_change_in_nfc(std::string_view text);
// Whether text before this character and text from it on are normalized without regard to each other.
bool nfc_boundary_before(char32_t code);

}  // namespace rt::data
