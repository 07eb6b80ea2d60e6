#include "data/token_array.h"

#include <algorithm>

#include "data/hash.h"
#include "rt/core/error.h"

namespace rt::data {
namespace {

template <class F>
auto with_type(TokenType type, F&& f) {
  switch (type) {
    case TokenType::U8: return f(std::uint8_t{});
    case TokenType::I8: return f(std::int8_t{});
    case TokenType::I16: return f(std::int16_t{});
    case TokenType::U16: return f(std::uint16_t{});
    case TokenType::I32: return f(std::int32_t{});
    case TokenType::U32: return f(std::uint32_t{});
    case TokenType::I64: break;
  }
  return f(std::int64_t{});
}

// Whether all are in [0, vocab). As unsigned, a negative id is a large one: one comparison, and a loop that
// the compiler makes vectors of.
template <class T>
bool widen(const T* from, std::size_t n, std::int64_t vocab, std::int32_t* out) {
  using Unsigned = std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>;
  Unsigned highest = 0;
  for (std::size_t i = 0; i < n; ++i) {
    highest = std::max(highest, static_cast<Unsigned>(from[i]));
    out[i] = static_cast<std::int32_t>(from[i]);
  }
  return highest < static_cast<std::uint64_t>(vocab);
}

std::string outside_message(const TokenArray& tokens, std::uint64_t index, std::int64_t vocab,
                            const std::string& path, const char* advice) {
  const std::int64_t id = tokens.at(index);
  if (id < 0) return format("{}: offset {}: token {} is negative; {}", path, index, id, advice);
  return format("{}: offset {}: token {} >= vocab {}; {}", path, index, id, vocab, advice);
}

}  // namespace

std::uint32_t token_width(TokenType type) {
  return with_type(type, [](auto t) { return static_cast<std::uint32_t>(sizeof(t)); });
}

std::int64_t TokenArray::at(std::uint64_t i) const {
  return with_type(
      type, [&](auto t) { return static_cast<std::int64_t>(reinterpret_cast<const decltype(t)*>(data)[i]); });
}

void TokenArray::read(std::uint64_t offset, std::size_t n, std::int64_t vocab, std::int32_t* out,
                      const std::string& path, const char* advice) const {
  RT_CHECK(offset <= size && n <= size - offset, "{}: tokens [{}, {} + {}) asked of {}", path, offset, offset,
           n, size);
  const bool good = with_type(type, [&](auto t) {
    return widen(reinterpret_cast<const decltype(t)*>(data) + offset, n, vocab, out);
  });
  if (!good) {
    fail(Exit::Data, "{}",
         outside_message(*this, first_outside(offset, offset + n, vocab), vocab, path, advice));
  }
}

std::uint64_t TokenArray::first_outside(std::uint64_t begin, std::uint64_t end, std::int64_t vocab) const {
  return with_type(type, [&](auto t) {
    const auto* ids = reinterpret_cast<const decltype(t)*>(data);
    const auto* found = std::find_if(ids + begin, ids + end, [vocab](auto id) {
      return static_cast<std::uint64_t>(static_cast<std::int64_t>(id)) >= static_cast<std::uint64_t>(vocab);
    });
    return static_cast<std::uint64_t>(found - ids);
  });
}

std::vector<std::uint64_t> TokenArray::positions_of(std::int32_t id) const {
  return with_type(type, [&](auto t) {
    using T = decltype(t);
    std::vector<std::uint64_t> found;
    const T *ids = reinterpret_cast<const T*>(data), *end = ids + size;
    for (const T* p = std::find(ids, end, static_cast<T>(id)); p != end;
         p = std::find(p + 1, end, static_cast<T>(id))) {
      found.push_back(static_cast<std::uint64_t>(p - ids));
    }
    return found;
  });
}

std::uint64_t sampled_hash(const std::byte* data, std::uint64_t bytes) {
  constexpr std::uint64_t kEnd = 64 << 10, kPiece = 4 << 10, kPieces = 62;
  if (bytes <= 2 * kEnd + kPieces * kPiece) return xxh3(data, bytes, bytes);
  std::uint64_t sum = xxh3(data, kEnd, bytes);
  const std::uint64_t between = bytes - 2 * kEnd - kPiece;
  for (std::uint64_t i = 0; i < kPieces; ++i) {
    sum = xxh3(data + kEnd + between / (kPieces - 1) * i, kPiece, sum);
  }
  return xxh3(data + bytes - kEnd, kEnd, sum);
}

void scan_tokens(const TokenArray& tokens, std::uint64_t begin, std::uint64_t end, std::int64_t vocab,
                 std::uint64_t data_offset, const std::string& path, const char* advice,
                 std::vector<Damage>& out) {
  const std::uint64_t i = tokens.first_outside(begin, end, vocab), width = token_width(tokens.type);
  const std::uint64_t at = data_offset + i * width;
  if (i < end) out.push_back({path, at, at + width, outside_message(tokens, i, vocab, path, advice)});
}

void scan_foreign(const TokenArray& tokens, std::int64_t vocab, std::uint64_t data_offset,
                  const std::string& path, const std::function<void(std::uint64_t)>& progress,
                  std::vector<Damage>& out) {
  const std::uint64_t width = token_width(tokens.type), step = (std::uint64_t{1} << 20) / width;
  for (std::uint64_t begin = 0; begin < tokens.size; begin += step) {
    const std::uint64_t end = std::min(tokens.size, begin + step);
    scan_tokens(tokens, begin, end, vocab, data_offset, path, kForeignAdvice, out);
    if (progress) progress(data_offset + end * width);
  }
}

}  // namespace rt::data
