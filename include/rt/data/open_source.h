#pragma once
#include <filesystem>
#include <memory>

#include "rt/data/stored_tokens.h"

namespace rt::data {

// Opens token data in any format there is a reader for, told by its content:
//   a token directory            made by `rwkv data prepare` (index.json inside)
//   X.bin, X.idx or X            Megatron-LM's and RWKV-LM's "binidx": X.idx begins with MMIDIDX\0\0
//   X.bin, a directory of them,  llm.c's (256 i32 of header, the first 20240520 with version 1 and u16
//   or a pattern dir/train_*.bin tokens, or 20240801 with version 7 and u32) or llmq's (BIN.TOK\n);
//                                files in byte order of their names, one after another
// Null when it is none of these, so raw text. Exit::Data when it is one and is damaged, or is named *.bin or
// *.idx and is none. `tokenizer` is what foreign files, which carry none, were made with: Exit::Config when
// they need it and it is null; it must outlive the result. A token directory ignores it.
std::unique_ptr<StoredTokens> open_source(const std::filesystem::path& path, const Tokenizer* tokenizer);

// The foreign ones only: null for a token directory.
std::unique_ptr<StoredTokens> open_foreign(const std::filesystem::path& path, const Tokenizer* tokenizer);

// Whether open_foreign() would open it. Throws as it does for a mixed set of files.
bool is_foreign(const std::filesystem::path& path);

}  // namespace rt::data
