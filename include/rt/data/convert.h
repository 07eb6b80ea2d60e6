#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>

#include "rt/data/stored_tokens.h"
#include "rt/data/token_writer.h"

namespace rt::data {

using TokensDone = std::function<void(std::uint64_t)>;  // about every million tokens

// Copies documents [begin, end) of `source`, in order, into a token directory with the source's tokenizer.
void append_documents(const StoredTokens& source, std::uint64_t begin, std::uint64_t end, TokenSetWriter& to,
                      const TokensDone& progress = {});

// Writes X.bin and X.idx (`stem`: X) as Megatron-LM and RWKV-LM read them: u16 tokens for a vocabulary of at
// most 65536, else i32; a document is one sequence, or several where it is longer than an i32 can count.
// X.idx gets its name last: where it is, both are whole. Exit::Data when either exists, unless `overwrite`.
void write_megatron(const StoredTokens& source, const std::filesystem::path& stem, bool overwrite,
                    const TokensDone& progress = {});

}  // namespace rt::data
