#pragma once
#include <memory>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "rt/data/tokenizer.h"

namespace rt::data {

// RWKV's "World" tokenizer: at each place the longest token that fits, on bytes, without any splitting
// before. Id 0 ends a document and stands for no text; so do the ids between the last token and vocab_size(),
// which is a multiple of 64 (65536 for the 65529 tokens of rwkv_vocab_v20230424.txt), as the models have it.
//
// `text` is such a vocabulary file: lines of `id literal length`, where literal is a Python str or bytes
// literal and length its size in bytes. The 256 single bytes must be there; ids may be left out.
// Exit::Data with path:line.
std::unique_ptr<Tokenizer> read_world_vocabulary(std::string_view text, std::string_view path);
// The inverse of to_json().
std::unique_ptr<Tokenizer> world_from_json(const nlohmann::json& json, std::string_view where);

}  // namespace rt::data
