#pragma once
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "rt/data/tokenizer.h"

namespace rt::data {

// A SentencePiece model by its own library; Exit::Config where the program was built without it. It
// normalizes text as the model says, so that decoding gives that form back, with the blank it may put in
// front, and bytes that are no UTF-8 are lost. It looks at the whole text: encode_some takes all or nothing.
// Without bos and eos.
std::unique_ptr<Tokenizer> read_sentencepiece(std::string_view model, std::string_view where);
// The inverse of to_json().
std::unique_ptr<Tokenizer> sentencepiece_from_json(const nlohmann::json& json, std::string_view where);

}  // namespace rt::data
