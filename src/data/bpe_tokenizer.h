#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/added_tokens.h"
#include "data/byte_pairs.h"
#include "data/splitter.h"
#include "rt/data/tokenizer.h"

namespace rt::data {

// A byte-level BPE tokenizer, whatever file it came from.
struct BpeSpec {
  std::string type;                 // "hf_json" or "tiktoken"
  std::string json;                 // what to_json() gives
  std::vector<std::string> tokens;  // the bytes of each id; empty: it stands for no text
  std::vector<BytePairs::Merge> merges;
  bool whole_first = false;       // see BytePairs
  std::vector<AddedToken> added;  // their ids are in `tokens` too
  bool nfc = false;               // text is normalized first
  bool prefix_blank = false;      // text that begins with no white space gets a blank
  std::unique_ptr<Splitter> splitter;
};
// Without the tokens that a template adds before and after a text.
std::unique_ptr<Tokenizer> make_bpe_tokenizer(BpeSpec spec);

}  // namespace rt::data
