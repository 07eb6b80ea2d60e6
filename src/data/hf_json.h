#pragma once
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "rt/data/tokenizer.h"

namespace rt::data {

// Hugging Face's tokenizer.json with a byte-level BPE model: of GPT-2, GPT-NeoX, Llama 3, Qwen 2 and their
// like. Normalizers: none or NFC; pre-tokenizers: ByteLevel, Split by a pattern, Digits and sequences of
// them. What is not supported is refused, not left out: Exit::Data, beginning with `where`. Ids are those of
// encode(text, add_special_tokens=False). to_json() is the same file in one line, without its truncation and
// padding.
std::unique_ptr<Tokenizer> hf_from_json(nlohmann::json json, std::string_view where);

// Byte-level tokens as tokenizer.json writes them: each byte is a printable character (GPT-2's table).
std::string byte_level_encode(std::string_view bytes);
// False when `text` has a character that stands for no byte.
bool byte_level_decode(std::string_view text, std::string& bytes);

}  // namespace rt::data
