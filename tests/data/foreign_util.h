#pragma once
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "rt/data/token_source.h"
#include "rt/data/tokenizer.h"
#include "tests/data/data_test_util.h"

// Foreign token files, written byte by byte from their descriptions and not by the product's own writers.
namespace rt::data {

template <class T>
void put(std::string& to, T value) {
  to.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

template <class T>
std::string packed(const std::vector<std::int32_t>& ids) {
  std::string bytes;
  for (const std::int32_t id : ids) put(bytes, static_cast<T>(id));
  return bytes;
}

struct MegatronIndex {
  std::uint8_t code = 8;
  std::uint32_t width = 2;
  std::vector<std::int32_t> lengths;    // of sequences
  std::vector<std::int64_t> documents;  // first sequence of each, and the closing number

  std::string text() const {
    std::string idx("MMIDIDX\0\0", 9);
    put(idx, std::uint64_t{1});
    put(idx, code);
    put(idx, std::uint64_t{lengths.size()});
    put(idx, std::uint64_t{documents.size()});
    for (const std::int32_t n : lengths) put(idx, n);
    std::int64_t at = 0;
    for (const std::int32_t n : lengths) {
      put(idx, at);
      at += std::int64_t{n} * width;
    }
    for (const std::int64_t d : documents) put(idx, d);
    return idx;
  }
};

inline std::string llmc_header(std::int32_t magic, std::int32_t version, std::uint32_t tokens) {
  std::string header;
  put(header, magic);
  put(header, version);
  put(header, tokens);
  header.resize(1024);
  return header;
}

inline std::string llmq_header(std::int32_t version, std::uint32_t tokens, std::int32_t vocab) {
  std::string header = "BIN.TOK\n";
  for (const std::int32_t v : {version, 4, static_cast<std::int32_t>(tokens), vocab}) put(header, v);
  header.resize(1024);
  return header;
}

// A tokenizer of which only the size of the vocabulary matters.
class SizedTokenizer final : public Tokenizer {
 public:
  explicit SizedTokenizer(std::int64_t vocab) : vocab_(vocab) {}
  std::string_view type() const override { return "sized"; }
  std::int64_t vocab_size() const override { return vocab_; }
  std::size_t encode_some(std::string_view, bool, std::uint64_t, std::vector<std::int32_t>&) const override {
    return 0;
  }
  std::string_view decode_bytes(std::int32_t) const override { return "?"; }
  std::string to_json() const override { return "{\"vocab\":" + std::to_string(vocab_) + "}"; }

 private:
  std::int64_t vocab_;
};

inline std::vector<std::int32_t> read_ids(const TokenSource& s, std::uint64_t offset, std::size_t n) {
  std::vector<std::int32_t> out(n);
  s.read(offset, n, out.data());
  return out;
}

}  // namespace rt::data
