#pragma once
#include <array>
#include <bitset>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/byte_trie.h"

namespace rt::data {

// A token that is looked for in the text itself, before anything is split. The flags are those of
// tokenizer.json: lstrip and rstrip take the white space beside it with it; single_word: only where no
// letter, number or underscore touches it; normalized: looked for in the normalized text.
struct AddedToken {
  std::string content;
  std::int32_t id = 0;
  bool lstrip = false, rstrip = false, single_word = false, normalized = false;
};

// Finds added tokens as Hugging Face tokenizers does: the leftmost, of those the longest.
class AddedTokens {
 public:
  explicit AddedTokens(std::vector<AddedToken> tokens);

  struct Piece {
    std::string_view text;
    std::int32_t id = -1;  // -1: plain text
  };
  // Appends the pieces of `text`, none of them empty.
  void split(std::string_view text, std::vector<Piece>& out) const;
  // Whether text that follows `left` and begins with the byte `next` could make a token that reaches over
  // the border, or whose flags make it look across. `left` ends in no white space.
  bool may_span(std::string_view left, char next) const;
  std::size_t longest() const { return longest_; }  // bytes
  bool empty() const { return tokens_.empty(); }

 private:
  std::size_t candidate(std::string_view text, std::size_t at) const;
  bool stands_alone(std::string_view text, std::size_t begin, std::size_t end) const;
  std::vector<AddedToken> tokens_;
  std::unique_ptr<ByteTrie> trie_;              // its ids are places in tokens_
  std::array<bool, 256> first_{};               // bytes that tokens begin with
  std::array<std::bitset<256>, 256> second_{};  // after which first byte; all after one that is a token
  std::size_t longest_ = 0;
  bool any_single_word_ = false;
};

}  // namespace rt::data
