#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "rt/data/stored_tokens.h"

namespace rt::data {

enum class TokenType : std::uint8_t { U8, I8, I16, U16, I32, U32, I64 };

std::uint32_t token_width(TokenType type);  // bytes

// Tokens as they lie in a mapped file, aligned to their width.
struct TokenArray {
  const std::byte* data = nullptr;
  TokenType type = TokenType::U16;
  std::uint64_t size = 0;  // tokens

  std::int64_t at(std::uint64_t i) const;
  // Tokens [offset, offset + n) to `out`. The first that is not in [0, vocab) is Exit::Data:
  // "PATH: offset 88121004: token 65536 >= vocab 65536; ADVICE".
  void read(std::uint64_t offset, std::size_t n, std::int64_t vocab, std::int32_t* out,
            const std::string& path, const char* advice) const;
  // The first index in [begin, end) whose token is not in [0, vocab); `end` when there is none.
  std::uint64_t first_outside(std::uint64_t begin, std::uint64_t end, std::int64_t vocab) const;
  std::vector<std::uint64_t> positions_of(std::int32_t id) const;  // `id` must be a value of the type
};

// Identifies a file too large to be read: its size, its first and last 64 KiB, and 4 KiB at each of 62 places
// between. A change elsewhere goes unnoticed.
std::uint64_t sampled_hash(const std::byte* data, std::uint64_t bytes);

inline constexpr char kForeignAdvice[] =
    "the data was made with another tokenizer than `tokenizer` says, or is damaged";

// Appends a Damage for the first token of [begin, end) that is outside the vocabulary, if any. The tokens
// begin at byte `data_offset` of `path`.
void scan_tokens(const TokenArray& tokens, std::uint64_t begin, std::uint64_t end, std::int64_t vocab,
                 std::uint64_t data_offset, const std::string& path, const char* advice,
                 std::vector<Damage>& out);
// All of them, with one line per MiB at most. `progress` gets bytes done; may be empty.
void scan_foreign(const TokenArray& tokens, std::int64_t vocab, std::uint64_t data_offset,
                  const std::string& path, const std::function<void(std::uint64_t)>& progress,
                  std::vector<Damage>& out);

}  // namespace rt::data
