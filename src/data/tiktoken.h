#pragma once
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "rt/data/tokenizer.h"

namespace rt::data {

// tiktoken's rank files: lines of `base64 rank`. How text is split is not in them: it goes by the file's name
// (r50k_base, p50k_base, cl100k_base, o200k_base, llama3, qwen), else by how many ranks there are. Text is
// encoded as by encode_ordinary: special tokens have ids, but are not looked for in text. Exit::Data with
// path:line.
std::unique_ptr<Tokenizer> read_tiktoken(std::string_view text, std::string_view path);
// The inverse of to_json().
std::unique_ptr<Tokenizer> tiktoken_from_json(const nlohmann::json& json, std::string_view where);
bool looks_like_tiktoken(std::string_view text);  // by its first line

}  // namespace rt::data
